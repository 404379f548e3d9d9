"""Reports as termination messages: always whole JSON, never over the kubelet's share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainyard.api.names import TERMINATION_MESSAGE_BYTES, agent_token, cut_utf8
from trainyard.api.report import Artifact, CheckpointReport, Phase, Report, Result

TEXT = st.one_of(st.none(), st.text(max_size=4000))


@given(message=TEXT, failure=TEXT, artifacts=st.integers(0, 40), trouble=TEXT)
def test_a_termination_message_is_whole_json_within_its_limit_and_keeps_the_result(
    message: str | None, failure: str | None, artifacts: int, trouble: str | None
) -> None:
    report = Report(
        host="algo-1",
        phase=Phase.DONE,
        result=Result.FAILED,
        reason="ArtifactUploadFailed",
        message=message,
        failure=failure,
        artifacts=[Artifact(uri=f"s3://bucket/{n}", size=n, sha256="0" * 64) for n in range(artifacts)],
        checkpoints=CheckpointReport(files=10**6, trouble=trouble),
    )
    text = report.to_termination_message()
    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES
    back = Report.from_json(text)
    assert (back.result, back.reason, back.host) == (Result.FAILED, "ArtifactUploadFailed", "algo-1")


@given(st.text(max_size=50), st.integers(0, 60))
def test_a_text_is_cut_between_characters(text: str, limit: int) -> None:
    short = cut_utf8(text, limit)
    assert len(short.encode()) <= limit
    assert text.encode("utf-8", "replace").startswith(short.encode())


def test_each_attempt_of_each_job_has_its_own_token() -> None:
    assert len({agent_token("a", 1), agent_token("a", 2), agent_token("b", 1)}) == 3
