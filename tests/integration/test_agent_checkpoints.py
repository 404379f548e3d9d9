"""Checkpoints against a real S3 server, the test playing training, kubelet and operator: restored, kept, and left alone by zombies."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.agent_rig import JOB_ID, Job, Pod, Proxy, S3Server, children, job, rss, wait_for
from trainyard.api.report import CheckpointReport, Phase, Result, StopReason

MIB = 1024 * 1024


@pytest.fixture
def one(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        made.keep_checkpoints()
        yield made


def directory(pod: Pod) -> Path:
    return pod.ml / "checkpoints"


def local(pod: Pod) -> dict[str, bytes]:
    here = directory(pod)
    return {str(path.relative_to(here)): path.read_bytes() for path in here.rglob("*") if path.is_file()}


def begin(one: Job, files: dict[str, bytes] | None = None) -> None:
    one.pod.start()
    one.pod.run_training()
    one.pod.write(files or {}, "checkpoints")


def kept(pod: Pod) -> CheckpointReport:
    found = pod.report().checkpoints
    assert found is not None
    return found


def looked_again(pod: Pod, times: int = 2) -> None:
    """So many looks have begun and ended since now."""
    for _ in range(times):
        before = kept(pod).last_pass_at
        wait_for("a look", lambda: kept(pod).last_pass_at != before)  # noqa: B023


def in_s3(one: Job, files: dict[str, bytes]) -> None:
    wait_for(f"S3 has just {sorted(files)}", lambda: one.checkpoints() == files)


def next_attempt(one: Job, root: Path) -> Pod:
    """The pod of the following attempt, on volumes of its own; the earlier one's is where it was."""
    one.plan = one.plan.but(job=one.plan.job.but(attempt=one.plan.job.attempt + 1))
    pod = Pod(one, one.plan.hosts[0], root)
    pod.make()
    return pod


def test_what_is_in_s3_is_there_before_training_and_any_user_may_write_to_it(one: Job) -> None:
    one.put("ck/step-1/weights", "ck/a b+ü%20", body=b"saved")
    one.put("ck/empty", "ck/folder/", body=b"")
    one.put("ck/F.sagemaker-uploading", "ck-other/x", "ck.txt")
    one.pod.stage()
    assert local(one.pod) == {"step-1/weights": b"saved", "a b+ü%20": b"saved", "empty": b""}
    assert (directory(one.pod) / "step-1").stat().st_mode & 0o777 == 0o777
    assert (directory(one.pod) / "step-1/weights").stat().st_mode & 0o777 == 0o666
    config = json.loads((one.pod.ml / "input/config/checkpointconfig.json").read_text())
    assert config == {"S3Uri": f"s3://{one.bucket}/ck", "LocalPath": "/opt/ml/checkpoints"}


def test_every_host_gets_all_checkpoints(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        two.keep_checkpoints()
        two.put("ck/1", "ck/2")
        first, second = two.pods
        first.start()
        late = first.stage_in_background()
        second.stage()
        assert late.wait(20) == 0
        assert local(first) == local(second) == {"1": b"ck/1", "2": b"ck/2"}


def test_without_a_checkpoint_config_nothing_is_synced(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        begin(one, {"step-1": b"x"})
        one.pod.training_ends()
        assert one.pod.end().checkpoints is None
        assert not (one.pod.ml / "input/config/checkpointconfig.json").exists()
        assert one.checkpoints("") == {}


def test_checkpoints_beside_the_jobs_own_documents_leave_those_alone(one: Job) -> None:
    one.keep_checkpoints("out")
    one.put("out/step-1", "out/Job/output/model.tar.gz")
    begin(one, {"step-2": b"2", "Job/trainyard-attempt.json": b"{}"})
    assert "Job/output/model.tar.gz" not in local(one.pod)
    wait_for("the new one", lambda: "out/step-2" in one.server.keys(one.bucket))
    looked_again(one.pod)
    assert json.loads(one.server.read(one.bucket, "out/Job/trainyard-attempt.json"))["jobID"] == JOB_ID
    assert kept(one.pod).left_out == 1


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://no-such-bucket-here/ck", 'Data download failed:bucket "no-such-bucket-here" does not exist'),
        (
            "s3://{bucket}/ck",
            "Data download failed:the input data of algo-1, checkpoints included, needs at least 5 bytes",
        ),
    ],
    ids=["no bucket", "no room"],
)
def test_checkpoints_that_cannot_be_restored_fail_the_job_before_training(one: Job, uri: str, words: str) -> None:
    one.put("ck/x", body=b"12345")
    plan = one.plan.checkpoints
    assert plan is not None
    one.change(checkpoints=plan.but(s3_uri=uri.format(bucket=one.bucket)), volume_bytes=3)
    report = one.pod.stage(code=1)
    assert (report.message or "").startswith(f"ClientError: {words}")


def test_a_checkpoint_that_arrives_damaged_is_not_restored(one: Job) -> None:
    one.server.client.put_object(Bucket=one.bucket, Key="ck/step-1", Body=os.urandom(100), ChecksumAlgorithm="CRC32")
    one.server.damage(one.bucket, "ck/step-1")
    one.change(download_retry_seconds=1)
    report = one.pod.stage(code=1)
    assert report.reason == "DataDownloadFailed"
    assert one.uri("ck/step-1") in (report.message or "")
    assert "arrived damaged: its CRC32 is " in (report.message or "")
    assert local(one.pod) == {}


def test_new_changed_and_renamed_files_go_up_and_vanished_ones_go(one: Job) -> None:
    one.put("ck/restored", "ck/old")
    begin(one, {"step-1": b"one", "deep/er/step-1": b"x", "step-2.tmp.sagemaker-ignore": b"half"})
    in_s3(one, {"restored": b"ck/restored", "old": b"ck/old", "step-1": b"one", "deep/er/step-1": b"x"})
    looked_again(one.pod)  # no marker comes or goes any more
    here = directory(one.pod)
    (here / "step-2.tmp.sagemaker-ignore").rename(here / "step-2")
    (here / "step-1").write_bytes(b"two")
    (here / "old").unlink()
    shutil.rmtree(here / "deep")
    in_s3(one, {"restored": b"ck/restored", "step-1": b"two", "step-2": b"half"})
    wait_for("both are counted", lambda: kept(one.pod).deleted == 2)


def test_markers_tell_training_how_far_a_file_is(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        one.keep_checkpoints()
        one.pod.start()
        one.pod.run_training()
        here = directory(one.pod)
        proxy = Proxy(server, limit=12 * MIB)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        one.pod.kill()
        one.pod.start()
        one.pod.probe()
        one.pod.write({"F": os.urandom(20 * MIB)}, "checkpoints")
        assert proxy.held.wait(30)
        assert sorted(path.name for path in here.iterdir()) == ["F", "F.sagemaker-uploading"]
        proxy.open()
        wait_for("its end", lambda: sorted(path.name for path in here.iterdir()) == ["F", "F.sagemaker-uploaded"])
        assert one.checkpoints() == {"F": (here / "F").read_bytes()}
        (here / "F").unlink()
        wait_for("no markers without their file", lambda: not list(here.iterdir()))
        proxy.close()


def test_a_file_that_is_being_written_goes_up_once_it_is_closed(one: Job) -> None:
    begin(one, {"first": b"1"})
    in_s3(one, {"first": b"1"})
    with (directory(one.pod) / "growing").open("wb") as file:
        for _ in range(3):
            file.write(b"piece")
            file.flush()
            looked_again(one.pod)
            assert one.checkpoints() == {"first": b"1"}
        assert kept(one.pod).open_files == 1
    in_s3(one, {"first": b"1", "growing": b"piece" * 3})


def test_another_users_file_goes_up_once_it_was_the_same_at_two_looks(
    one: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv, to be without CAP_LEASE as in a pod")
    command = Pod.command
    monkeypatch.setattr(Pod, "command", lambda *given: ["setpriv", "--bounding-set=-lease", *command(*given)])
    one.keep_checkpoints(
        interval=3
    )  # a look each 1.5 s: what is written after one must be there at the next, and other at that after it
    begin(one, {"mine": b"1"})
    in_s3(one, {"mine": b"1"})
    with (tmp_path / "theirs").open("wb") as file:
        os.chown(file.fileno(), 1234, 1234)
        (tmp_path / "theirs").rename(directory(one.pod) / "theirs")
        for _ in range(3):
            file.write(b"piece")
            file.flush()
            looked_again(one.pod, times=1)
            assert one.checkpoints() == {"mine": b"1"}
    in_s3(one, {"mine": b"1", "theirs": b"piece" * 3})


def test_a_file_that_changes_while_it_is_uploaded_is_never_seen_half_old_half_new(
    server: S3Server, tmp_path: Path
) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=12 * MIB)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        one.keep_checkpoints()
        begin(one, {"big": b"a" * 40 * MIB})
        assert proxy.held.wait(30)
        with (directory(one.pod) / "big").open("r+b") as file:
            file.write(b"b" * 40 * MIB + b"more")
        proxy.open()
        seen = wait_for("some version", one.checkpoints)
        in_s3(one, {"big": b"b" * 40 * MIB + b"more"})
        assert seen["big"] in {b"a" * 40 * MIB, b"b" * 40 * MIB + b"more"}
        looked_again(one.pod)
        assert one.server.uploads(one.bucket) == []
        proxy.close()


def test_a_large_checkpoint_goes_in_parts_within_little_memory(one: Job) -> None:
    content = os.urandom(60 * MIB)
    begin(one, {"big": content})
    assert one.pod.process
    most = [0]

    def there() -> bool:
        assert one.pod.process
        most.append(sum(map(rss, children(one.pod.process.pid))))
        return kept(one.pod).uploaded == 1

    wait_for("the upload", there, 60)
    assert one.checkpoints() == {"big": content}
    print(f"\nmirror and idle upload process together {max(most) / 1e6:.0f} MB")
    assert max(most) < 180_000_000


def test_a_look_that_finds_nothing_new_makes_no_request(one: Job) -> None:
    one.put(*(f"ck/{number}" for number in range(20)))
    begin(one, {"step-1": b"x"})
    wait_for("the new one", lambda: "step-1" in one.checkpoints())
    looked_again(one.pod)
    before = len(one.server.requests(one.bucket))
    assert before > 20
    looked_again(one.pod, times=5)
    assert len(one.server.requests(one.bucket)) == before
    assert kept(one.pod).files == 21


@pytest.mark.parametrize("pause", [0.0, 0.3, 0.7])
def test_a_host_that_dies_loses_no_more_than_the_interval_and_the_newest_file(
    one: Job, tmp_path: Path, pause: float
) -> None:
    begin(one)
    wait_for("the first look", lambda: kept(one.pod).last_pass_at)
    interval = 2.0  # generous beside the 0.4 s of the plan: other tests share this machine
    closed: dict[str, float] = {}
    until = time.monotonic() + interval + 0.5 + pause
    while time.monotonic() < until:
        name = f"step-{len(closed):03}"
        one.pod.write({name: name.encode()}, "checkpoints")
        closed[name] = time.monotonic()
        time.sleep(0.05)
    one.pod.probing.clear()
    one.pod.kill()
    died = time.monotonic()
    due = {name for name, moment in closed.items() if moment < died - interval}
    again = next_attempt(one, tmp_path / "again")
    assert again.stage().result is Result.STAGED
    saved = one.checkpoints()  # with what was on its way in the moment of the end
    assert due
    assert due - {max(closed)} <= set(saved)
    assert all(content == name.encode() for name, content in saved.items())
    assert local(again) == saved


def test_a_zombie_neither_writes_nor_deletes_a_checkpoint(one: Job, tmp_path: Path) -> None:
    begin(one, {"step-1": b"of attempt 1"})
    in_s3(one, {"step-1": b"of attempt 1"})
    zombie = one.pod
    zombie_plan = one.plan
    again = next_attempt(one, tmp_path / "again")
    again.stage()
    assert local(again) == {"step-1": b"of attempt 1"}
    one.plan = zombie_plan  # the test speaks to attempt 1 again, whose token differs
    (directory(zombie) / "step-1").unlink()
    zombie.write({"step-2": b"of the zombie", "big": os.urandom(20 * MIB)}, "checkpoints")
    wait_for("its own insight", lambda: "superseded" in (kept(zombie).trouble or ""))
    before = one.server.requests(one.bucket)
    zombie.training_ends()
    report = zombie.end()
    assert report.result is Result.FAILED
    assert "Attempt 1 of this job was superseded" in (report.message or "")
    assert one.checkpoints() == {"step-1": b"of attempt 1"}
    assert one.server.uploads(one.bucket) == []
    since = one.server.requests(one.bucket)[len(before) :]
    assert not [line for line in since if " ck/" in line and ("Put" in line or "Delete" in line)]


def test_no_host_of_a_later_attempt_restores_before_that_has_begun(server: S3Server, tmp_path: Path) -> None:
    """Until then an earlier one may be rotating them."""
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        two.keep_checkpoints()
        two.change(job=two.plan.job.but(attempt=2))
        two.put("ck/1")
        first, second = two.pods
        for pod in two.pods:
            pod.start()
        early = second.stage_in_background()
        wait_for("its word", lambda: "waiting for algo-1 to begin" in (second.report().message or ""))
        two.put("ck/2")
        two.server.client.delete_object(Bucket=two.bucket, Key="ck/1")
        first.stage()
        assert early.wait(30) == 0
        assert local(first) == local(second) == {"2": b"ck/2"}


@pytest.mark.parametrize(
    "name", ["we ird+%2B&=?#", "ünï", "*[x]", "a'\"b", "tab\there", "new\nline", "100%", ".hidden"]
)
def test_files_of_any_name_come_back_as_they_were(one: Job, tmp_path: Path, name: str) -> None:
    begin(one, {name: b"x"})
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    again = next_attempt(one, tmp_path / "again")
    one.server.client.delete_object(Bucket=one.bucket, Key="out/Job/trainyard-manifest.json")
    again.stage()
    assert local(again) == {name: b"x"}


def test_only_what_lies_in_the_directory_is_kept(one: Job, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    begin(one, {"step-1": b"one"})
    here = directory(one.pod)
    (here / "latest").symlink_to("step-1")
    (here / "as-seen").symlink_to("/opt/ml/checkpoints/step-1")
    (here / "out").symlink_to(tmp_path / "secret")
    (here / "up").symlink_to("../../../secret")
    (here / "credentials").symlink_to(one.credentials)
    os.mkfifo(here / "fifo")
    os.mkfifo(here / b"not-utf-8-\xff".decode("utf-8", "surrogateescape"))
    (here / b"\xff".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    in_s3(one, {"step-1": b"one", "latest": b"one", "as-seen": b"one"})
    looked_again(one.pod)
    assert kept(one.pod).left_out == 6
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert one.checkpoints() == {"step-1": b"one", "latest": b"one", "as-seen": b"one"}


def test_a_file_where_a_directory_was_and_the_other_way_round_can_be_restored(one: Job, tmp_path: Path) -> None:
    begin(one, {"a": b"file", "b/c": b"below"})
    in_s3(one, {"a": b"file", "b/c": b"below"})
    looked_again(one.pod)  # no marker comes or goes any more
    here = directory(one.pod)
    (here / "a").unlink()
    shutil.rmtree(here / "b")
    one.pod.write({"a/x": b"below", "b": b"file"}, "checkpoints")
    in_s3(one, {"a/x": b"below", "b": b"file"})
    one.pod.probing.clear()
    one.pod.kill()
    again = next_attempt(one, tmp_path / "again")
    again.stage()
    assert local(again) == {"a/x": b"below", "b": b"file"}


def slow(one: Job) -> None:
    """Looks are so rare that nothing but the last one, or hurry, can have seen what follows."""
    one.keep_checkpoints(interval=3600)


@pytest.mark.parametrize("code", [0, 1])
def test_the_last_pass_keeps_what_was_written_at_the_very_end(one: Job, code: int) -> None:
    slow(one)
    one.put("ck/old")
    begin(one)
    wait_for("the first look", lambda: kept(one.pod).last_pass_at)
    one.pod.write({"step-9": b"last"}, "checkpoints")
    (directory(one.pod) / "old").unlink()
    one.pod.training_ends(code=code)
    report = one.pod.end()
    assert report.result is Result.COMMITTED
    assert one.checkpoints() == {"step-9": b"last"}
    assert report.checkpoints is not None
    assert (report.checkpoints.uploaded, report.checkpoints.deleted) == (1, 1)


@pytest.mark.parametrize("reason", [StopReason.USER_REQUESTED, StopReason.SUSPENDED, StopReason.INTERRUPTED])
def test_a_job_that_is_told_to_end_keeps_its_checkpoints(one: Job, reason: StopReason) -> None:
    slow(one)
    begin(one)
    wait_for("the first look", lambda: kept(one.pod).last_pass_at)
    one.pod.annotate("stop", {"reason": reason.value})
    wait_for("the refusal", lambda: 503 in one.pod.answers)
    one.pod.write({"at-sigterm": b"saved"}, "checkpoints")
    in_s3(one, {"at-sigterm": b"saved"})  # at once, although training has not ended yet
    one.pod.write({"later": b"too"}, "checkpoints")
    one.pod.training_ends(code=143)
    assert one.pod.end().stop_reason is reason
    assert one.checkpoints() == {"at-sigterm": b"saved", "later": b"too"}


def test_a_pod_that_is_deleted_while_training_ignores_sigterm_keeps_its_checkpoints(one: Job) -> None:
    slow(one)
    one.timing = replace(one.timing, grace=3)  # time enough to write within it
    begin(one)
    wait_for("the first look", lambda: kept(one.pod).last_pass_at)
    one.pod.probing.clear()
    assert one.pod.get("/prestop") == 200
    one.pod.write({"step-1": b"saved"}, "checkpoints")
    one.pod.released()
    assert one.pod.terminate().stop_reason is StopReason.DELETED
    assert one.checkpoints() == {"step-1": b"saved"}


def test_without_the_operator_silence_is_enough_and_nothing_is_lost_if_training_goes_on(one: Job) -> None:
    slow(one)
    begin(one)
    wait_for("the first look", lambda: kept(one.pod).last_pass_at)
    one.pod.write({"step-1": b"x"}, "checkpoints")
    one.pod.training_ends(code=None)  # so it looks: no probe, and no word of the operator's
    in_s3(one, {"step-1": b"x"})
    one.pod.probe()  # and yet it goes on
    wait_for("training", lambda: one.pod.report().phase is Phase.TRAINING)
    one.pod.write({"step-2": b"y"}, "checkpoints")
    one.pod.training_ends(code=None)
    one.pod.released()
    report = one.pod.terminate()
    assert report.result is Result.COMMITTED
    assert one.checkpoints() == {"step-1": b"x", "step-2": b"y"}


def test_a_refusal_shows_while_training_runs_and_passes_once_it_is_mended(one: Job) -> None:
    begin(one)
    wait_for("the first look", lambda: kept(one.pod).last_pass_at)
    one.set_credentials(secret="wrong")
    one.pod.write({"step-1": b"x"}, "checkpoints")
    wait_for("the refusal", lambda: one.pod.report().reason == "CheckpointsNotKept")
    assert 'refuses the keys in Secret "s3-keys"' in (one.pod.report().message or "")
    one.set_credentials()
    in_s3(one, {"step-1": b"x"})
    wait_for("no refusal", lambda: one.pod.report().reason is None)


def test_checkpoints_that_cannot_be_kept_in_the_end_fail_the_job_and_not_its_model(one: Job, server: S3Server) -> None:
    other = f"b-{uuid4().hex}"
    server.client.create_bucket(Bucket=other)
    plan = one.plan.checkpoints
    assert plan is not None
    one.change(checkpoints=plan.but(s3_uri=f"s3://{other}/ck"), upload_hold_seconds=2)
    begin(one, {})
    server.client.delete_bucket(Bucket=other)
    one.pod.write({"step-1": b"x"}, "checkpoints")
    one.pod.write({"weights": b"w"})
    one.pod.training_ends()
    wait_for("the refusal", lambda: one.pod.report().reason == "UploadBlocked" or one.pod.report().result)
    report = one.pod.end()
    assert (report.result, report.reason) == (Result.FAILED, "NoSuchBucket")
    assert (report.message or "").startswith(f'ClientError: Artifact upload failed:bucket "{other}" does not exist')
    assert one.model() == {"weights": b"w"}
    assert one.manifest()["outcome"] == "Failed"


def test_a_sidecar_that_is_killed_goes_on_where_it_was(one: Job) -> None:
    one.put("ck/restored")
    begin(one, {"step-1": b"x"})
    # Between the answer of S3 and the note of it a kill costs one more upload: what is told was noted before.
    wait_for("the upload", lambda: kept(one.pod).uploaded == 1)
    one.pod.kill()
    (directory(one.pod) / "restored").unlink()
    before = len(one.server.requests(one.bucket))
    one.pod.start()
    in_s3(one, {"step-1": b"x"})
    since = one.server.requests(one.bucket)[before:]
    assert not [line for line in since if "PutObject" in line], "what is in S3 is not uploaded again"


def test_a_pass_that_is_killed_leaves_no_upload_behind(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=12 * MIB)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        one.keep_checkpoints()
        content = os.urandom(30 * MIB)
        begin(one, {"big": content})
        assert proxy.held.wait(30)
        assert one.server.uploads(one.bucket) == ["ck/big"]
        one.pod.kill()
        proxy.open()
        one.pod.start()
        in_s3(one, {"big": content})
        looked_again(one.pod)
        assert one.server.uploads(one.bucket) == []
        proxy.close()


def test_a_damaged_ledger_costs_an_upload_and_deletes_nothing(one: Job) -> None:
    one.put("ck/restored")
    begin(one, {"step-1": b"x"})
    in_s3(one, {"restored": b"ck/restored", "step-1": b"x"})
    wait_for("the note of it", lambda: kept(one.pod).uploaded == 1)
    one.pod.kill()
    (one.pod.state / "checkpoints.db").write_bytes(b"no database at all" * 100)
    (directory(one.pod) / "restored").unlink()
    one.pod.start()
    one.pod.write({"step-2": b"y"}, "checkpoints")
    in_s3(one, {"restored": b"ck/restored", "step-1": b"x", "step-2": b"y"})
