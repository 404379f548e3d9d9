"""TensorBoard's files and the debugger's against a real S3 server: in S3 while training runs, as far as they are written, and to the end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.agent_rig import JOB_ID, Job, Pod, S3Server, job, wait_for
from trainyard.api.plan import FolderPlan
from trainyard.api.report import Phase, Result, StopReason

BOARD = "tb/Job/tensorboard-output/"
TENSORS = "debug/Job/debug-output/"


def keep(one: Job, *, bucket: str = "") -> None:
    """TensorBoard's files and the debugger's, looked at all the time."""
    where = f"s3://{bucket or one.bucket}"
    board = FolderPlan(
        what="TensorBoard files",
        s3_uri=f"{where}/{BOARD}",
        local_path="/opt/ml/output/tensorboard",
        directory="output/tensorboard",
        interval_seconds=0.4,
    )
    tensors = FolderPlan(
        what="debugger files",
        s3_uri=f"{where}/{TENSORS}",
        local_path="/work/tensors",
        directory="folders/debug-output",
        interval_seconds=0.4,
    )
    one.change(folders=[board, tensors], config_files={"debughookconfig.json": {"LocalPath": "/work/tensors"}})


@pytest.fixture
def one(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        keep(made)
        yield made


def board(pod: Pod) -> Path:
    return pod.ml / "output/tensorboard"


def stored(one: Job, prefix: str = BOARD) -> dict[str, bytes]:
    keys = [key for key in one.server.keys(one.bucket) if key.startswith(prefix)]
    return {key.removeprefix(prefix): one.server.read(one.bucket, key) for key in keys}


def in_s3(one: Job, files: dict[str, bytes], prefix: str = BOARD) -> None:
    wait_for(f"S3 has just {sorted(files)}", lambda: stored(one, prefix) == files)


def begin(one: Job) -> None:
    one.pod.start()
    one.pod.run_training()


def test_the_directories_are_there_for_any_user_and_the_configuration_beside_them(one: Job) -> None:
    one.pod.stage()
    for name in ("output/tensorboard", "folders/debug-output"):
        assert (one.pod.ml / name).stat().st_mode & 0o7777 == 0o777
    config = json.loads((one.pod.ml / "input/config/debughookconfig.json").read_text())
    assert config == {"LocalPath": "/work/tensors"}


def test_a_file_that_is_being_written_goes_up_as_far_as_it_is(one: Job) -> None:
    begin(one)
    with (board(one.pod) / "events").open("wb", buffering=0) as file:
        for count in range(1, 4):
            file.write(b"step,")
            in_s3(one, {"events": b"step," * count})
        one.pod.write({"worker_0.tfevents": b"loss"}, "folders/debug-output")
        in_s3(one, {"worker_0.tfevents": b"loss"}, TENSORS)
        file.write(b"last")
        one.pod.training_ends()
        assert one.pod.end().result is Result.COMMITTED
    assert stored(one) == {"events": b"step,step,step,last"}


def test_what_vanishes_stays_in_s3_and_no_markers_are_left(one: Job) -> None:
    begin(one)
    one.pod.write({"a/events": b"1", "b.sagemaker-ignore": b"2"}, "output/tensorboard")
    in_s3(one, {"a/events": b"1", "b.sagemaker-ignore": b"2"})
    assert sorted(path.name for path in (board(one.pod) / "a").iterdir()) == ["events"]
    (board(one.pod) / "a/events").unlink()
    one.pod.write({"c": b"3"}, "output/tensorboard")
    in_s3(one, {"a/events": b"1", "b.sagemaker-ignore": b"2", "c": b"3"})
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert set(stored(one)) == {"a/events", "b.sagemaker-ignore", "c"}


def looked_again(pod: Pod, times: int = 3) -> None:
    """So many looks have begun and ended since now; of a job that keeps checkpoints too."""

    def last() -> object:
        kept = pod.report().checkpoints
        return kept and kept.last_pass_at

    for _ in range(times):
        before = last()
        wait_for("a look", lambda: last() != before)  # noqa: B023


def test_a_folder_in_which_nothing_happens_makes_no_request(one: Job) -> None:
    one.keep_checkpoints()
    begin(one)
    one.pod.write({"events": b"1"}, "output/tensorboard")
    one.pod.write({"worker_0": b"2"}, "folders/debug-output")
    in_s3(one, {"events": b"1"})
    in_s3(one, {"worker_0": b"2"}, TENSORS)
    looked_again(one.pod)
    before = len(one.server.requests(one.bucket))
    looked_again(one.pod, times=5)
    assert len(one.server.requests(one.bucket)) == before


@pytest.mark.parametrize(
    ("reason", "code"), [(None, 0), (None, 7), (StopReason.USER_REQUESTED, 143)], ids=["success", "failure", "stop"]
)
def test_the_last_pass_has_what_was_written_at_the_very_end(one: Job, reason: StopReason | None, code: int) -> None:
    begin(one)
    if reason is not None:
        one.pod.annotate("stop", {"reason": reason.value})
        wait_for("the probe's no", lambda: one.pod.answers[-1] == 503)
    one.pod.write({"events": b"end"}, "output/tensorboard")
    one.pod.write({"worker_0": b"end"}, "folders/debug-output")
    one.pod.write({"weights": b"w"})
    one.pod.training_ends(code=code)
    assert one.pod.end().result is Result.COMMITTED
    assert stored(one) == {"events": b"end"}
    assert stored(one, TENSORS) == {"worker_0": b"end"}
    assert one.model() == {"weights": b"w"}


def test_hosts_write_below_the_same_prefix(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        keep(two)
        for pod in two.pods:
            pod.start()
        other = two.pods[1].stage_in_background()
        two.pods[0].run_training()
        assert other.wait(20) == 0
        two.pods[1].run_training()
        for pod in two.pods:
            pod.write({f"events.{pod.host.name}": b"x"}, "output/tensorboard")
        in_s3(two, {"events.algo-1": b"x", "events.algo-2": b"x"})


def test_a_directory_that_training_replaced_gives_nothing_from_elsewhere(one: Job) -> None:
    begin(one)
    secret = one.credentials / "AWS_SECRET_ACCESS_KEY"
    here = board(one.pod)
    (here / "escape").symlink_to(os.path.relpath(secret, here))
    os.mkfifo(here / "fifo")
    (here / "new\nline").write_bytes(b"n")
    os.close(os.open(os.fsencode(here) + b"/caf\xe9", os.O_CREAT))
    in_s3(one, {"new\nline": b"n"})
    here.rename(here.with_name("elsewhere"))
    here.symlink_to(one.credentials)
    one.pod.write({"worker_0": b"x"}, "folders/debug-output")
    in_s3(one, {"worker_0": b"x"}, TENSORS)
    one.pod.training_ends()
    report = one.pod.end()
    assert report.result is Result.FAILED
    assert "let training leave the directory in place" in (report.message or "")
    assert "This is about TensorBoard files; the model is in S3." in (report.message or "")
    assert stored(one) == {"new\nline": b"n"}


def test_a_directory_that_is_gone_is_nothing_to_keep(one: Job) -> None:
    begin(one)
    board(one.pod).rmdir()
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED


def test_what_s3_refuses_shows_and_fails_the_job_in_the_end_but_not_its_model(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        gone = f"b-{uuid4().hex}"
        keep(one, bucket=gone)
        one.change(upload_hold_seconds=2)
        begin(one)
        one.pod.write({"events": b"1"}, "output/tensorboard")
        wait_for("the refusal", lambda: f'bucket "{gone}" does not exist' in (one.pod.report().message or ""))
        assert one.pod.report().reason == "UploadBlocked"
        assert one.pod.report().phase is Phase.TRAINING
        one.pod.write({"weights": b"w"})
        one.pod.training_ends()
        report = one.pod.end()
        assert (report.result, report.reason) == (Result.FAILED, "NoSuchBucket")
        assert (report.message or "").endswith("This is about TensorBoard files; the model is in S3.")
        assert one.model() == {"weights": b"w"}
        assert one.manifest()["outcome"] == "Failed"


def test_trouble_with_a_folder_is_no_trouble_with_checkpoints(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        keep(one, bucket=f"b-{uuid4().hex}")
        one.keep_checkpoints()
        begin(one)
        one.pod.write({"events": b"1"}, "output/tensorboard")
        one.pod.write({"step-1": b"c"}, "checkpoints")
        wait_for("the checkpoint", lambda: one.checkpoints() == {"step-1": b"c"})
        wait_for("the refusal", lambda: "does not exist" in (one.pod.report().message or ""))

        def in_step() -> bool:
            kept = one.pod.report().checkpoints
            return kept is not None and kept.trouble is None and kept.uploaded == 1 and kept.last_pass_at is not None

        wait_for("checkpoints in step", in_step)
        assert (
            one.pod.report().reason == "UploadBlocked"
        )  # of the folder: CheckpointsNotKept would be of the checkpoints


def test_a_sidecar_that_is_killed_sends_nothing_twice(one: Job) -> None:
    one.keep_checkpoints()
    begin(one)
    one.pod.write({"events": b"1", "later": b"2"}, "output/tensorboard")
    in_s3(one, {"events": b"1", "later": b"2"})
    looked_again(one.pod)
    one.pod.kill()
    before = len(one.server.requests(one.bucket))
    one.pod.start()
    one.pod.write({"last": b"3"}, "output/tensorboard")
    in_s3(one, {"events": b"1", "later": b"2", "last": b"3"})
    since = [line for line in one.server.requests(one.bucket)[before:] if "PutObject" in line]
    assert since
    assert not [line for line in since if "events" in line or "later" in line]


def test_a_zombie_writes_nothing_more(one: Job) -> None:
    begin(one)
    one.pod.write({"events": b"1"}, "output/tensorboard")
    in_s3(one, {"events": b"1"})
    one.put("out/Job/trainyard-attempt.json", body=json.dumps({"jobID": JOB_ID, "attempt": 2}).encode())
    time.sleep(2 * one.timing.fence_age)  # for so long the last look at the marker is taken for true
    one.pod.write({"late": b"2"}, "output/tensorboard")
    one.pod.training_ends()
    assert one.pod.end().result is Result.FAILED
    assert stored(one) == {"events": b"1"}
