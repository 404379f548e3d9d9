"""Training asks for the role's credentials, and what finds them does not answer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.unit.agent import builders
from trainyard.agent.adapters.server import Request
from trainyard.agent.app import lending
from trainyard.agent.app.settings import Settings
from trainyard.api.names import credentials_token


async def test_a_question_that_nobody_answers_is_given_up_and_its_process_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "hangs"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(lending, "ANSWER_SECONDS", 0.5)
    plan = builders.plan().but(training_credentials=True)
    asked = lending.Lending(Settings("algo-1", state=tmp_path, credentials=tmp_path / "keys"), plan)
    token = credentials_token(plan.job.uid, plan.job.attempt)
    request = Request("GET", "/credentials", {}, {"authorization": token}, b"", local=True)
    reply = await asked(request)
    assert reply.status == 503
    assert "no answer within" in str(reply.body)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
