"""Hosts of one job and a line between them that breaks, or one of them that goes: no host's files are lost, and none waits for ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal
from uuid import uuid4

import pytest

from tests.integration.agent_rig import JOB_ID, Job, Pod, S3Server, job, wait_for
from tests.support.faults import Fault, FaultProxy
from trainyard.api.report import Phase, Result

ARCHIVE = "/peer/archive.*tree=model"
LARGE = 3_000_000


@pytest.fixture
def two(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as made:
        yield made


def begin(two: Job) -> list[dict[str, bytes]]:
    """Both train; what each has written."""
    first, second = two.pods
    for pod in two.pods:
        pod.start()
    other = second.stage_in_background()
    first.stage()
    assert other.wait(30) == 0
    written = [{"a": os.urandom(1000)}, {"large": os.urandom(LARGE), "z": b"last"}]
    for pod, content in zip(two.pods, written, strict=True):
        pod.write(content)
        pod.probe()
    return written


@contextmanager
def between(two: Job) -> Iterator[FaultProxy]:
    """On the way from algo-1 to algo-2: where algo-1 believes algo-2 to be."""
    first, second = two.plan.hosts
    listen = ("127.0.0.77", two.port)
    with FaultProxy(f"http://{second.address}:{two.port}", listen=listen) as proxy:
        seen = two.plan.but(hosts=[first, second.but(address=listen[0])])
        (two.pods[0].root / "plan.json").write_text(seen.to_json())
        yield proxy


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        pytest.param(Fault(ARCHIVE, 3, down="cut", at=0), 0, id="before its first byte"),
        pytest.param(Fault(ARCHIVE, 3, down="cut", at=100), 0, id="in a header"),
        pytest.param(Fault(ARCHIVE, 3, down="cut", at=LARGE // 2), 0, id="in a file"),
        pytest.param(Fault(ARCHIVE, 3, down="cut"), 1500, id="in its trailer"),
        pytest.param(Fault(ARCHIVE, 3, down="cut"), 2088, id="after its last file"),
        pytest.param(Fault(ARCHIVE, 3, down="cut"), 8, id="before its end is said"),
        pytest.param(Fault(ARCHIVE, 3, down="flip", at=3), 0, id="flipped in a frame's length"),
        pytest.param(Fault(ARCHIVE, 3, down="flip", at=7), 0, id="flipped in a frame's checksum"),
        pytest.param(Fault(ARCHIVE, 3, down="flip", at=100), 0, id="flipped in a header"),
        pytest.param(Fault(ARCHIVE, 3, down="flip", at=LARGE // 2), 0, id="flipped in a file"),
        pytest.param(Fault(ARCHIVE, 3, down="flip"), 1500, id="flipped in its trailer"),
        pytest.param(Fault(ARCHIVE, 3, down="flip"), 1, id="flipped in its end"),
        pytest.param(Fault(ARCHIVE, 3, down="stall", at=LARGE // 2), 0, id="stalled"),
        pytest.param(Fault(ARCHIVE, 3, reset="after"), 0, id="reset"),
        pytest.param(Fault(ARCHIVE, 3, answer=(500, "")), 0, id="500"),
        pytest.param(Fault("/peer/tree", 3, down="cut", at=5), 0, id="tree cut"),
        pytest.param(Fault("/peer/tree", 3, reset="before"), 0, id="tree reset"),
        pytest.param(Fault("/peer/state", 3, reset="after"), 0, id="state reset"),
    ],
)
def test_files_of_a_host_whose_stream_breaks_or_is_damaged_are_whole_in_the_end(
    two: Job, fault: Fault, end: int
) -> None:
    two.timing = replace(two.timing, read=3, peer_lost=30)  # what sends the files takes a while to start
    with between(two) as proxy:
        first, second = begin(two)
        if end:
            length = len(two.pods[1].request("GET", "/peer/archive?tree=model", token=True)[1])
            fault.at = length - end
        proxy.faults.append(fault)
        for pod in two.pods:
            pod.training_ends()
        assert [pod.end().result for pod in reversed(two.pods)] == [Result.COMMITTED, Result.COMMITTED]
        assert fault.hits == fault.times
    assert two.model() == first | second
    assert (two.manifest()["outcome"], two.manifest()["missingHosts"]) == ("Completed", [])
    assert two.server.uploads(two.bucket) == []


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_files_that_are_damaged_on_every_way_to_algo_1_are_kept_apart_by_their_host(
    two: Job, compression: Literal["GZIP", "NONE"]
) -> None:
    """What is wrong reaches no key, and the status says why nothing came."""
    two.change(compression=compression)
    with between(two) as proxy:
        first, second = begin(two)
        proxy.faults.append(Fault(ARCHIVE, None, down="flip", at=LARGE // 2))
        for pod in two.pods:
            pod.training_ends()
        wait_for("its report", lambda: "it was changed on the way" in (two.pods[0].report().message or ""))
        reports = [pod.end() for pod in reversed(two.pods)]
    assert "are kept apart" in (reports[0].message or "")
    assert "the files of algo-2 are missing" in (reports[1].message or "")
    assert two.artifact("out/Job/output/model") == first
    assert two.artifact(f"out/Job/trainyard-shares/{JOB_ID}-1/algo-2/model") == second
    assert (two.manifest()["outcome"], two.manifest()["missingHosts"]) == ("Failed", ["algo-2"])
    assert two.server.uploads(two.bucket) == []


def test_a_host_that_is_killed_while_its_files_are_read_is_read_again(two: Job) -> None:
    two.timing = replace(two.timing, read=3, peer_lost=30)  # a start may take a while
    with between(two) as proxy:
        first, second = begin(two)
        proxy.faults.append(Fault(ARCHIVE, None, down="stall", at=LARGE // 2))
        for pod in two.pods:
            pod.training_ends()
        wait_for("half of its files", lambda: proxy.faults[0].hits)
        two.pods[1].kill()
        proxy.faults.clear()
        two.pods[1].start()
        assert [pod.end().result for pod in reversed(two.pods)] == [Result.COMMITTED, Result.COMMITTED]
    assert two.model() == first | second
    assert (two.manifest()["outcome"], two.manifest()["missingHosts"]) == ("Completed", [])
    assert two.server.uploads(two.bucket) == []


def test_a_host_that_must_leave_before_algo_1_has_ended_keeps_its_files_itself(two: Job) -> None:
    two.timing = replace(two.timing, peer_wait=1)
    first, second = begin(two)
    leaving = two.pods[1]
    assert leaving.process
    leaving.probing.clear()
    assert leaving.get("/prestop") == 200
    leaving.process.send_signal(signal.SIGTERM)
    assert leaving.process.wait(30) == 0
    report = leaving.report_left()
    assert two.pods[0].report().phase is Phase.TRAINING
    assert report.result is Result.FAILED
    kept = f"out/Job/trainyard-shares/{JOB_ID}-1/algo-2/model.tar.gz"
    assert f"are kept apart: {two.uri(kept)}" in (report.message or "")
    assert "algo-2 had to leave before algo-1 had ended" in (report.message or "")
    assert two.server.archive(two.bucket, kept) == second
    two.pods[0].training_ends()
    report = two.pods[0].end()
    assert "the files of algo-2 are missing" in (report.message or "")
    assert two.model() == first
    assert two.manifest()["missingHosts"] == ["algo-2"]


def ended(stage: subprocess.Popen[bytes]) -> int:
    return stage.wait(30)


def missing(leader: Pod) -> list[str]:
    """Whom algo-1 waits for."""
    status, body = leader.request("POST", "/barrier?host=nobody", token=True)
    assert status == 200
    found: list[str] = json.loads(body)["missing"]
    return found


def test_the_barrier_survives_restarts_of_algo_1(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=3) as three:
        first, second, third = three.pods
        for pod in three.pods:
            pod.start()
        early = second.stage_in_background()
        wait_for("algo-2 at the barrier", lambda: missing(first) == ["algo-1", "algo-3"])
        early.send_signal(signal.SIGSTOP)  # from here on it asks nobody
        first.kill()
        first.start()
        assert missing(first) == ["algo-1", "algo-3"]
        others = [pod.stage_in_background() for pod in (first, third)]
        assert [ended(stage) for stage in others] == [0, 0]  # they are inside, and will not ask again
        first.kill()
        first.start()
        assert missing(first) == []
        early.send_signal(signal.SIGCONT)
        assert ended(early) == 0
        assert [pod.staged_report().result for pod in three.pods] == [Result.STAGED] * 3
