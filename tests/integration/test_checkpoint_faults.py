"""Checkpoints and S3 behind a proxy that misbehaves: both sides have the right bytes in the end, and it shows while they have not."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.agent_rig import Job, wait_for
from tests.support.faults import Fault, FaultProxy
from trainyard.agent.app.keeper import Keeper
from trainyard.agent.app.mirrored import mirrored
from trainyard.api.plan import FolderPlan
from trainyard.api.report import Phase, Result

GET = r"^GET \S+/ck/"
PUT = r"^PUT \S+/ck/"
SMALL = r"^PUT \S+/ck/deep"
PART = r"^PUT \S+/ck/large\?\S*partNumber="
COMPLETE = r"^POST \S+/ck/large\?uploadId="
MARKER = r"^GET \S+trainyard-attempt"
LARGE = 20_000_000  # three parts to write, three ranges to read


@pytest.fixture
def one(behind: Job) -> Job:
    behind.timing = replace(behind.timing, blocked_told=0.2)
    behind.keep_checkpoints()
    return behind


def local(one: Job) -> dict[str, bytes]:
    here = one.pod.ml / "checkpoints"
    return {str(path.relative_to(here)): path.read_bytes() for path in here.rglob("*") if path.is_file()}


def restored(one: Job) -> dict[str, bytes]:
    """What S3 has before training."""
    content = {"large": os.urandom(LARGE), "deep/er": os.urandom(5000), "empty": b""}
    for path, body in content.items():
        one.put(f"ck/{path}", body=body)
    one.change(download_retry_seconds=20)
    return content


def written(one: Job) -> dict[str, bytes]:
    """A job is staged, and training has written: a file of three parts, and small ones."""
    assert one.pod.stage().result is Result.STAGED
    content = {"large": os.urandom(LARGE), "deep/er": os.urandom(200_000), "empty": b""}
    one.pod.write(content, "checkpoints")
    return content


def keeper(one: Job) -> Keeper:
    """What the mirror process has, in this one."""

    def tell(_event: str, **_: Any) -> None:
        pass

    return Keeper(one.pod.settings, one.plan, mirrored(one.pod.settings, one.plan)[0], tell, threading.Event())


def keep(one: Job) -> None:
    """Looks as while training runs, until everything was sent and nothing is refused any more, and the last look."""
    made = keeper(one)

    def done() -> bool:
        said = made.keep(last=False)
        return said["refused"] is None and said["open"] == 0

    wait_for("a look without a refusal", done, 60)
    assert made.keep(last=True)["refused"] is None


def abort(one: Job) -> None:
    """As a lifecycle rule does, to all uploads that are on their way."""
    for upload in one.server.client.list_multipart_uploads(Bucket=one.bucket).get("Uploads", []):
        one.server.client.abort_multipart_upload(Bucket=one.bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def are_kept(one: Job, content: dict[str, bytes]) -> None:
    assert one.checkpoints() == content
    assert one.server.uploads(one.bucket) == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(GET, 8, answer=(503, "SlowDown")), id="503"),
        pytest.param(Fault(GET, 4, reset="before"), id="reset before"),
        pytest.param(Fault(GET, 4, reset="after"), id="reset after"),
        pytest.param(Fault(GET, 4, down="cut", at=1000), id="truncated"),
        pytest.param(Fault(GET, 4, down="flip", at=1000), id="corrupted"),
        pytest.param(Fault(GET, 2, down="stall", at=1000), id="stalled"),
        pytest.param(Fault("list-type=2", 2, down="cut", at=400), id="listing truncated"),
        pytest.param(Fault(GET, 4, skip=1, answer=(400, "ExpiredToken")), id="expired token"),
    ],
)
def test_checkpoints_are_restored_as_they_are_in_s3_whatever_happens_on_the_way(
    one: Job, proxy: FaultProxy, fault: Fault
) -> None:
    content = restored(one)
    proxy.faults.append(fault)
    assert one.pod.stage().result is Result.STAGED
    assert fault.hits == fault.times
    assert local(one) == content


def test_a_checkpoint_that_always_comes_damaged_is_not_given_to_training(one: Job, proxy: FaultProxy) -> None:
    restored(one)
    one.change(download_retry_seconds=2)
    proxy.faults.append(Fault(r"^GET \S+/ck/large", None, down="flip", at=10))
    report = one.pod.stage(code=1)
    assert report.reason == "DataDownloadFailed"
    assert f"{one.uri('ck/large')} arrived damaged: " in (report.message or "")
    assert "large" not in local(one)


def test_a_restore_whose_credentials_expire_in_the_middle_gives_no_half_directory_to_training(
    one: Job, proxy: FaultProxy
) -> None:
    content = restored(one)
    one.timing = replace(one.timing, renewal=1)
    expired = Fault(GET, None, skip=2, answer=(400, "ExpiredToken"))
    proxy.faults.append(expired)
    report = one.pod.stage(code=1)
    assert report.result is Result.FAILED
    assert "ExpiredToken" in (report.message or "")
    proxy.faults.clear()
    assert one.pod.stage().result is Result.STAGED
    assert local(one) == content


def test_a_restore_that_is_held_up_says_so_and_goes_on(one: Job, proxy: FaultProxy) -> None:
    content = restored(one)
    one.change(download_retry_seconds=60)
    proxy.faults.append(Fault(GET, None, answer=(503, "SlowDown")))
    one.pod.start()
    process = one.pod.stage_in_background()
    report = wait_for("the reason", lambda: (r := one.pod.report()).reason == "DownloadBlocked" and r)
    assert report.phase is Phase.STAGING
    assert "SlowDown" in (report.message or "")
    proxy.faults.clear()
    assert process.wait(30) == 0
    assert one.pod.report().reason is None
    assert local(one) == content


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(PUT, 12, answer=(503, "SlowDown")), id="503"),
        pytest.param(Fault(PUT, 5, reset="before"), id="reset before"),
        pytest.param(Fault(PUT, 5, reset="after"), id="reset after"),
        pytest.param(Fault(PART, 3, up="cut", at=100_000), id="part truncated"),
        pytest.param(Fault(PART, 3, up="flip", at=100_000), id="part corrupted"),
        pytest.param(Fault(PART, 2, up="stall", at=100_000), id="part stalled"),
        pytest.param(Fault(SMALL, 3, up="cut", at=1000), id="file truncated"),
        pytest.param(Fault(SMALL, 3, up="flip", at=1000), id="file corrupted"),
        pytest.param(Fault(COMPLETE, 1, up="flip", at=100), id="completion corrupted"),
        pytest.param(Fault(COMPLETE, 1, down="flip", at=60), id="completion's answer corrupted"),
        pytest.param(Fault(COMPLETE, 2, reset="after"), id="completion's answer lost"),
        pytest.param(Fault(r"^POST \S+/ck/large\?uploads", 2, reset="after"), id="beginning's answer lost"),
        pytest.param(Fault(MARKER, 2, reset="after"), id="marker reset"),
        pytest.param(Fault(PART, 3, skip=1, answer=(400, "ExpiredToken")), id="expired token"),
    ],
)
def test_checkpoints_are_in_s3_as_they_were_written_whatever_happens_on_the_way(
    one: Job, proxy: FaultProxy, fault: Fault
) -> None:
    content = written(one)
    proxy.faults.append(fault)
    keep(one)
    assert fault.hits == fault.times
    are_kept(one, content)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_large_checkpoint_that_is_aborted_at_any_part_is_sent_again(one: Job, proxy: FaultProxy, number: int) -> None:
    content = written(one)

    # Up to twice: what was begun again may meet the same fate.
    fault = Fault(rf"^PUT \S+/ck/large\?\S*partNumber={number}" if number < 4 else COMPLETE, 2, then=lambda: abort(one))
    proxy.faults.append(fault)
    keep(one)
    assert fault.hits == 2
    are_kept(one, content)


def test_the_last_look_leaves_no_upload_behind_whose_id_never_came(one: Job, proxy: FaultProxy) -> None:
    content = written(one)
    fault = Fault(r"^POST \S+/ck/large\?uploads", 1, reset="after")
    proxy.faults.append(fault)
    assert keeper(one).keep(last=True, stubborn=True)["refused"] is None
    assert fault.hits == 1
    are_kept(one, content)


@pytest.mark.parametrize("number", [1, 4])
def test_a_large_checkpoint_of_the_last_moment_that_is_aborted_is_sent_again(
    one: Job, proxy: FaultProxy, number: int
) -> None:
    one.keep_checkpoints(interval=60)

    fault = Fault(rf"^PUT \S+/ck/large\?\S*partNumber={number}" if number < 4 else COMPLETE, 1, then=lambda: abort(one))
    proxy.faults.append(fault)
    one.pod.start()
    one.pod.run_training()
    content = {"large": os.urandom(LARGE)}
    one.pod.write(content, "checkpoints")
    one.pod.training_ends()
    report = one.pod.end()
    assert (report.result, report.message) == (Result.COMMITTED, None)
    assert fault.hits == 1
    are_kept(one, content)


def test_a_changed_checkpoint_is_the_old_or_the_new_one_in_s3_at_every_moment(one: Job, proxy: FaultProxy) -> None:
    old = written(one)
    keep(one)
    new = old | {"large": os.urandom(LARGE), "deep/er": os.urandom(200_000)}
    one.pod.write(new, "checkpoints")
    seen: list[dict[str, bytes]] = []
    fault = Fault(r"^(PUT|POST) \S+/ck/", 12, reset="after", then=lambda: seen.append(one.checkpoints()))
    proxy.faults.append(fault)
    keep(one)
    assert fault.hits >= 5
    for moment in seen:
        assert all(body in {old[path], new[path]} for path, body in moment.items())
        assert moment.keys() == old.keys()
    are_kept(one, new)


@pytest.mark.parametrize(
    ("answer", "words"),
    [((503, "SlowDown"), "SlowDown"), ((400, "ExpiredToken"), "ExpiredToken"), ((403, "AccessDenied"), "AccessDenied")],
    ids=["503", "expired token", "403"],
)
def test_checkpoints_that_are_held_up_say_so_and_follow(
    one: Job, proxy: FaultProxy, answer: tuple[int, str], words: str
) -> None:
    one.pod.start()
    one.pod.run_training()
    fault = Fault(PUT, None, answer=answer)
    proxy.faults.append(fault)
    content = {"step-1": os.urandom(1000)}
    one.pod.write(content, "checkpoints")

    def trouble() -> str:
        kept = one.pod.report().checkpoints
        return (kept and kept.trouble) or ""

    wait_for("the trouble", lambda: words in trouble())
    report = one.pod.report()
    assert (report.phase, report.reason) == (Phase.TRAINING, "CheckpointsNotKept")
    assert words in (report.message or "")
    proxy.faults.clear()
    wait_for("the file", lambda: one.checkpoints() == content)
    wait_for("no trouble any more", lambda: not trouble())
    assert one.pod.report().reason is None
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    are_kept(one, content)


# A folder whose files only go up

BOARD = "tb/Job/tensorboard-output/"
BOARD_PUT = rf"^PUT \S+/{BOARD}"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(BOARD_PUT, 12, answer=(503, "SlowDown")), id="503"),
        pytest.param(Fault(BOARD_PUT, 5, reset="before"), id="reset before"),
        pytest.param(Fault(BOARD_PUT, 5, reset="after"), id="reset after"),
        pytest.param(Fault(BOARD_PUT, 5, up="flip", at=2), id="corrupted"),
    ],
)
def test_a_folder_arrives_whole_whatever_happens_on_the_way(one: Job, proxy: FaultProxy, fault: Fault) -> None:
    board = FolderPlan(
        what="TensorBoard files",
        s3_uri=one.uri(BOARD),
        local_path="/opt/ml/output/tensorboard",
        directory="output/tensorboard",
        interval_seconds=0.4,
    )
    one.change(folders=[board], checkpoints=None)
    proxy.faults.append(fault)
    one.pod.start()
    one.pod.run_training()
    # While it is written, as such a program does: what arrives first is not all there is.
    with (one.pod.ml / "output/tensorboard/events").open("wb", buffering=0) as file:
        file.write(b"step," * 1000)
        one.pod.write({"worker-1/events": b"loss"}, "output/tensorboard")
        wait_for("the faults", lambda: fault.hits == fault.times)
        file.write(b"last")
    one.pod.training_ends()
    report = one.pod.end()
    assert (report.result, report.message) == (Result.COMMITTED, None)
    kept = {key: one.server.read(one.bucket, f"{BOARD}{key}") for key in ("events", "worker-1/events")}
    assert kept == {"events": b"step," * 1000 + b"last", "worker-1/events": b"loss"}
    assert one.server.uploads(one.bucket) == []
