"""The page of the agent's metrics."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from trainyard.agent.app import reporting
from trainyard.api.names import AGENT_PORT

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/agent-metrics.md"
NAME = re.compile(r"trainyard_agent_\w+")


def test_the_reference_has_every_metric_of_the_agent_and_no_other() -> None:
    text = PAGE.read_text()
    assert set(NAME.findall(text)) == set(NAME.findall(inspect.getsource(reporting)))
    assert f"port {AGENT_PORT}" in text
