"""The names of metrics that tests ask for: one that does not exist would read as a good value for ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.operator import OperatorProcess
from trainyard.controller.app.metrics import Metrics

TESTS = Path(__file__).resolve().parents[2]
ASKED = re.compile(r'"(trainyard_[a-z_]+_(?:total|seconds))"')


class Answering(OperatorProcess):
    """Its metrics page is that of an operator that has done nothing yet."""

    def _get(self, port: int, path: str) -> str:
        return Metrics().render().decode()


@pytest.fixture
def operator() -> OperatorProcess:
    return Answering(kubeconfig="", namespace="", log=Path("unused"))


def test_every_metric_that_the_tests_read_is_exported(operator: OperatorProcess) -> None:
    files = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    names = sorted({name for path in files for name in ASKED.findall(path.read_text())})
    assert "trainyard_watch_missed_total" in names
    assert [operator.metric(name) for name in names] == [0.0] * len(names)


def test_a_metric_that_does_not_exist_is_no_zero(operator: OperatorProcess) -> None:
    with pytest.raises(AssertionError, match="no metric trainyard_nothing_total"):
        operator.metric("trainyard_nothing_total")
