"""`sidecar` as a process against a real S3 server, the test playing kubelet and operator: nothing that training wrote is lost."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.agent_rig import JOB_ID, Job, Proxy, S3Server, children, job, rss, wait_for
from trainyard.api.report import Phase, Result, StopReason


@pytest.fixture
def one(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        yield made


@pytest.fixture
def two(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as made:
        yield made


def begin(one: Job, files: dict[str, bytes] | None = None) -> None:
    one.pod.start()
    one.pod.run_training(files)


def begin_both(two: Job, files: list[dict[str, bytes]]) -> None:
    for pod in two.pods:
        pod.start()
    other = two.pods[1].stage_in_background()
    two.pods[0].run_training(files[0])
    assert other.wait(20) == 0
    two.pods[1].stage()
    two.pods[1].run_training(files[1])


def test_a_model_is_committed_and_its_manifest_tells_the_truth(one: Job) -> None:
    begin(one, {"xgboost-model": b"weights", "deep/er/vocab.json": b"{}"})
    one.pod.write({"metrics.csv": b"1,2"}, "output/data")
    assert one.pod.report().phase is Phase.TRAINING
    one.pod.training_ends()
    report = one.pod.end()
    assert report.result is Result.COMMITTED
    assert one.model() == {"xgboost-model": b"weights", "deep": b"", "deep/er": b"", "deep/er/vocab.json": b"{}"}
    assert one.server.archive(one.bucket, "out/Job/output/output.tar.gz") == {"metrics.csv": b"1,2"}
    manifest = one.manifest()
    assert (manifest["outcome"], manifest["jobID"], manifest["attempt"]) == ("Completed", JOB_ID, 1)
    model = manifest["artifacts"][0]
    stored = one.server.read(one.bucket, "out/Job/output/model.tar.gz")
    assert (model["size"], model["sha256"]) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert {
        "path": "xgboost-model",
        "size": 7,
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "host": "algo-1",
    } in model["files"]
    assert [artifact.uri for artifact in report.artifacts] == [model["uri"], manifest["artifacts"][1]["uri"]]


def test_a_large_model_goes_in_parts_within_little_memory(one: Job) -> None:
    content = os.urandom(60_000_000)
    begin(one, {"big": content})
    assert one.pod.process
    supervisor = one.pod.process.pid
    wait_for("the warm upload process", lambda: children(supervisor))
    one.pod.training_ends()
    most = 0
    while not (one.pod.state / "release").exists():
        most = max([most, *map(rss, children(supervisor))])
        time.sleep(0.05)
    idle = rss(supervisor)
    one.pod.end()
    assert one.model() == {"big": content}
    assert not one.server.uploads(one.bucket)
    print(f"\nupload process {most / 1e6:.0f} MB, supervisor {idle / 1e6:.0f} MB")
    assert most < 130_000_000
    assert idle < 60_000_000


def test_empty_directories_make_no_objects_but_a_manifest(one: Job) -> None:
    begin(one)
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert sorted(one.server.keys(one.bucket)) == ["out/Job/trainyard-attempt.json", "out/Job/trainyard-manifest.json"]


def test_a_failed_training_is_uploaded_too_and_its_failure_file_is_reported(one: Job) -> None:
    begin(one, {"half": b"x"})
    (one.pod.ml / "output/failure").write_text("divergence " * 200)
    one.pod.training_ends(code=7)
    report = one.pod.end()
    assert report.result is Result.COMMITTED
    assert report.failure is not None
    assert report.failure.startswith("divergence ")
    assert one.manifest()["outcome"] == "Failed"
    assert one.model() == {"half": b"x"}


def test_links_out_of_the_model_and_special_files_are_left_out_and_listed(one: Job) -> None:
    begin(one, {"sub/real": b"content"})
    model = one.pod.ml / "model"
    secret = one.credentials / "AWS_SECRET_ACCESS_KEY"
    (model / "inside").symlink_to("sub/real")
    (model / "absolute").symlink_to("/opt/ml/model/sub/real")
    (model / "escape").symlink_to(os.path.relpath(secret, model))
    (model / "environment").symlink_to("/proc/self/environ")
    (model / "loop").symlink_to("loop")
    (model / "dangling").symlink_to("nothing")
    (model / "folder").symlink_to("sub")
    (model / "up").symlink_to("../model/sub/real")
    os.mkfifo(model / "fifo")
    os.link(model / "sub/real", model / "hard")
    (model / "new\nline").write_bytes(b"n")
    os.close(os.open(os.fsencode(model) + b"/\xff\xfe", os.O_CREAT))
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert set(one.model()) == {"absolute", "hard", "inside", "new\nline", "sub", "sub/real", "\udcff\udcfe"}
    assert one.model()["absolute"] == one.model()["inside"] == b"content"
    why = {entry["path"]: entry["why"] for entry in one.manifest()["skipped"]}
    assert set(why) == {"dangling", "environment", "escape", "fifo", "folder", "loop", "up"}
    assert why["fifo"] == "is a FIFO"
    assert "out of the directory" in why["escape"]


@contextmanager
def half_uploaded(server: S3Server, tmp_path: Path) -> Iterator[tuple[Job, Proxy, bytes]]:
    """A job whose upload is held up in its middle by the proxy, and its model's content."""
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=20_000_000)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        content = os.urandom(40_000_000)
        begin(one, {"big": content})
        one.pod.training_ends()
        assert proxy.held.wait(30)
        yield one, proxy, content


def test_a_sidecar_killed_in_the_middle_of_an_upload_finishes_after_its_restart(
    server: S3Server, tmp_path: Path
) -> None:
    with half_uploaded(server, tmp_path) as (one, proxy, content):
        assert one.server.uploads(one.bucket) == ["out/Job/output/model.tar.gz"]
        one.pod.kill()
        assert not (one.pod.state / "release").exists()
        proxy.open()
        one.pod.start()
        assert one.pod.end().result is Result.COMMITTED
        proxy.close()
        assert one.model() == {"big": content}
        assert one.manifest()["outcome"] == "Completed"
        assert not one.server.uploads(one.bucket)


def test_a_stop_order_that_comes_during_the_upload_leaves_the_outcome_that_training_had(
    server: S3Server, tmp_path: Path
) -> None:
    with half_uploaded(server, tmp_path) as (one, proxy, _):
        one.pod.annotate("stop", {"reason": "UserRequested"})
        time.sleep(5 * one.timing.poll)  # it has looked, and nothing came of it
        proxy.open()
        report = one.pod.end()
        proxy.close()
        assert (report.result, report.stop_reason) == (Result.COMMITTED, None)
        assert one.manifest()["outcome"] == "Completed"


def test_connections_that_break_during_an_upload_cost_a_retry_and_no_data(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        content = os.urandom(40_000_000)
        begin(one, {"big": content})
        proxy.cuts = 6
        one.pod.training_ends()
        assert one.pod.end().result is Result.COMMITTED
        assert proxy.cuts == 0
        proxy.close()
        assert one.model() == {"big": content}
        assert not one.server.uploads(one.bucket)


def test_an_upload_process_that_dies_is_started_again(one: Job) -> None:
    begin(one, {"m": b"1"})
    assert one.pod.process
    supervisor = one.pod.process.pid
    child = wait_for("the upload process", lambda: children(supervisor))[0]
    os.kill(child, signal.SIGKILL)
    wait_for("its successor", lambda: child not in children(supervisor))
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"m": b"1"}


def test_without_the_operator_silence_uploads_and_sigterm_commits(one: Job) -> None:
    begin(one, {"m": b"1"})
    one.pod.training_ends(code=None)
    one.pod.released()
    keys = one.server.keys(one.bucket)
    assert keys == ["out/Job/trainyard-attempt.json"]  # nothing is visible before the end is certain
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"m": b"1"}
    assert one.manifest()["outcome"] == "Unknown"


def test_what_training_writes_after_a_wrong_guess_is_in_the_archive(one: Job) -> None:
    begin(one, {"m": b"1"})
    one.pod.training_ends(code=None)
    one.pod.released()
    one.pod.write({"late": b"2"})
    one.pod.end()
    assert one.model() == {"m": b"1", "late": b"2"}
    assert not one.server.uploads(one.bucket)


def test_probes_after_a_wrong_guess_undo_it(one: Job) -> None:
    one.timing = replace(one.timing, long_silence=60)  # however long the early upload takes, hold is not let go
    one.change(upload_hold_seconds=1)
    content = os.urandom(30_000_000)
    begin(one, {"m": content})
    one.pod.probing.clear()
    wait_for("the early upload", lambda: one.pod.seen()["prepared"])
    assert one.server.uploads(one.bucket)
    assert not (one.pod.state / "release").exists()  # it could not be called back
    one.pod.probe()
    wait_for("the change of mind", lambda: one.pod.seen()["over"] == "no" and not one.pod.seen()["prepared"])
    wait_for("what was uploaded early to be taken back", lambda: not one.server.uploads(one.bucket))
    time.sleep(1 + one.timing.worker_stuck + 0.5)  # much longer than an upload may be blocked
    assert one.pod.report().result is None
    wait_for("training to go on", lambda: one.pod.report().phase is Phase.TRAINING)
    one.pod.write({"late": b"2"})
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"m": content, "late": b"2"}
    assert one.manifest()["outcome"] == "Completed"
    assert not one.server.uploads(one.bucket)


def test_s3_that_is_away_at_a_guess_lets_hold_go_and_commits_when_it_is_back(one: Job) -> None:
    one.change(upload_hold_seconds=3)
    begin(one, {"m": b"1"})
    one.set_credentials(secret="revoked")
    one.pod.training_ends(code=None)
    one.pod.released()
    assert one.pod.report().result is None
    one.set_credentials()
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"m": b"1"}


def test_an_upload_that_goes_on_may_take_longer_than_one_may_be_blocked(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, rate=5_000_000)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url), upload_hold_seconds=1)
        content = os.urandom(35_000_000)
        begin(one, {"big": content})
        began = time.monotonic()
        one.pod.training_ends()
        assert one.pod.end().result is Result.COMMITTED
        assert time.monotonic() - began > 1 + one.timing.worker_stuck
        proxy.close()
        assert one.model() == {"big": content}


def test_a_stuck_upload_process_is_given_up_and_leaves_nothing_behind(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=20_000_000)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        one.timing = replace(one.timing, quiet=3, worker_stuck=15)
        one.change(deletion_budget_seconds=60)
        begin(one, {"big": os.urandom(40_000_000)})
        one.pod.training_ends()
        assert proxy.held.wait(30)
        assert one.server.uploads(one.bucket)
        assert one.pod.process
        os.kill(children(one.pod.process.pid)[0], signal.SIGSTOP)
        proxy.open()
        report = one.pod.end()
        proxy.close()
        assert (report.result, report.reason) == (Result.FAILED, "ArtifactUploadFailed")
        assert "does not answer" in (report.message or "")
        assert not one.server.uploads(one.bucket)


def test_a_sidecar_killed_before_it_could_let_hold_go_does_so_after_its_restart(one: Job) -> None:
    begin(one, {"m": b"1"})
    one.pod.training_ends()
    one.pod.released()
    one.pod.kill()
    (one.pod.state / "release").unlink()
    (one.pod.root / "termination-log").write_text("")  # a new container has a new one
    one.pod.start()
    report = one.pod.end()
    assert report.result is Result.COMMITTED
    assert [artifact.files for artifact in report.artifacts] == [1]


def test_what_training_made_of_its_directories_keeps_no_sidecar_from_starting(one: Job) -> None:
    begin(one, {"m": b"1"})
    (one.pod.ml / "output/data").rmdir()
    (one.pod.ml / "output/data").symlink_to("nothing")
    (one.pod.ml / "checkpoints").rmdir()
    (one.pod.ml / "checkpoints").write_text("a file")
    outside = one.pod.root / "outside"
    outside.mkdir(mode=0o700)
    (one.pod.ml / "tmp").rmdir()
    (one.pod.ml / "tmp").symlink_to(outside)
    one.pod.kill()
    one.pod.start()
    assert outside.stat().st_mode & 0o777 == 0o700
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"m": b"1"}


def test_a_directory_in_the_failure_files_place_is_no_failure_text_and_the_job_ends(one: Job) -> None:
    one.pod.start()
    one.pod.run_training({"a": b"b"})
    (one.pod.ml / "output/failure").mkdir()
    one.pod.training_ends(1)
    report = one.pod.end()
    assert (report.result, report.failure) == (Result.COMMITTED, None)


def test_training_too_short_for_a_probe_and_without_files_is_no_failure(one: Job) -> None:
    one.pod.start()
    one.pod.stage()
    assert one.pod.terminate().result is Result.COMMITTED
    assert (one.manifest()["outcome"], one.manifest()["artifacts"]) == ("Unknown", [])


def test_training_too_short_for_a_probe_is_uploaded(one: Job) -> None:
    one.pod.start()
    one.pod.stage()
    one.pod.write({"m": b"1"})
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"m": b"1"}


def test_the_annotation_says_the_same_as_the_post(one: Job) -> None:
    begin(one, {"m": b"1"})
    one.pod.probing.clear()
    (one.pod.root / "podinfo/training-ended").write_text('{"exitCo')  # half there
    one.pod.annotate("training-ended", {"exitCode": 0})
    assert one.pod.end().result is Result.COMMITTED
    assert one.manifest()["outcome"] == "Completed"


def test_a_stop_order_turns_the_probe_and_ends_in_stopped(one: Job) -> None:
    begin(one, {"m": b"1"})
    assert set(one.pod.answers) == {200}
    one.pod.annotate("stop", {"reason": "UserRequested"})
    wait_for("a refused probe", lambda: one.pod.answers[-1] == 503)
    time.sleep(one.timing.silence)  # refused probes are probes: training is still there
    assert one.pod.report().phase is Phase.TRAINING
    one.pod.training_ends(code=137)
    report = one.pod.end()
    assert (report.result, report.stop_reason) == (Result.COMMITTED, StopReason.USER_REQUESTED)
    assert one.manifest()["outcome"] == "Stopped"


def test_the_time_limit_needs_no_operator_and_is_kept_over_a_restart(one: Job) -> None:
    one.change(max_runtime_seconds=8)
    begin(one, {"m": b"1"})
    one.pod.kill()
    one.pod.start()
    wait_for("a refused probe", lambda: one.pod.answers[-1] == 503)
    one.pod.training_ends(code=None)  # the kubelet has killed it
    report = one.pod.end()
    assert report.stop_reason is StopReason.MAX_RUNTIME_EXCEEDED
    assert one.manifest()["outcome"] == "MaxRuntimeExceeded"


def test_a_deleted_job_without_a_budget_for_its_upload_uploads_nothing(one: Job) -> None:
    one.change(deletion_budget_seconds=0)
    begin(one, {"m": b"1"})
    one.pod.annotate("stop", {"reason": "Deleted"})
    wait_for("a refused probe", lambda: one.pod.answers[-1] == 503)
    one.pod.training_ends(code=137)
    report = one.pod.end()
    assert report.stop_reason is StopReason.DELETED
    assert "deletionBudgetSeconds" in (report.message or "")
    assert one.server.keys(one.bucket) == [one.plan.marker_uri.removeprefix(f"s3://{one.bucket}/")]
    assert one.server.uploads(one.bucket) == []


def test_a_deleted_pod_whose_training_ignores_sigterm_keeps_a_snapshot(one: Job) -> None:
    one.timing = replace(one.timing, grace=3)  # time enough to write within it
    begin(one, {"m": b"1"})
    one.pod.probing.clear()
    assert one.pod.get("/prestop") == 200
    one.pod.write({"later": b"2"})
    one.pod.released()
    report = one.pod.terminate()
    assert (report.result, report.stop_reason) == (Result.COMMITTED, StopReason.DELETED)
    assert one.model() == {"m": b"1", "later": b"2"}
    assert one.manifest()["outcome"] == "Interrupted"


def test_prestop_called_by_training_itself_changes_nothing(one: Job) -> None:
    one.timing = replace(one.timing, grace=3)  # no pause between two probes is so long
    begin(one, {"m": b"1"})
    assert one.pod.get("/prestop") == 200
    time.sleep(one.timing.grace + 0.5)
    assert one.pod.report().phase is Phase.TRAINING
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert one.manifest()["outcome"] == "Completed"


def test_a_deletion_after_a_false_prestop_is_still_seen(one: Job) -> None:
    one.timing = replace(one.timing, grace=3)
    begin(one, {"m": b"1"})
    assert one.pod.get("/prestop") == 200
    one.pod.answers.clear()
    wait_for("probes that refute it", lambda: len(one.pod.answers) > 5)
    one.pod.probing.clear()
    assert one.pod.get("/prestop") == 200
    one.pod.released()
    report = one.pod.terminate()
    assert (report.result, report.stop_reason) == (Result.COMMITTED, StopReason.DELETED)
    assert one.manifest()["outcome"] == "Interrupted"


def test_a_pod_that_ends_before_training_began_leaves_nothing(one: Job) -> None:
    one.pod.start()
    assert one.pod.get("/prestop") == 200
    began = time.monotonic()
    assert one.pod.terminate().result is Result.ABANDONED
    assert time.monotonic() - began < 3
    assert one.server.keys(one.bucket) == []


def test_a_stage_that_was_killed_leaves_word_of_how_far_it_had_come(one: Job) -> None:
    one.pod.start()
    (one.pod.state / "stage.json").write_text('{"phase": "Staging", "entered": 1, "listed": 3000}')
    report = one.pod.terminate()
    assert (report.result, report.message) == (Result.ABANDONED, "3000 objects were listed.")


def test_a_signal_that_comes_while_the_sidecar_starts_is_not_lost(one: Job) -> None:
    process = subprocess.Popen(one.pod.command("sidecar"), stderr=subprocess.DEVNULL)
    status = Path(f"/proc/{process.pid}/status")
    blocked = 1 << (signal.SIGTERM - 1)
    wait_for("the first line", lambda: int(status.read_text().split("SigBlk:")[1].split()[0], 16) & blocked)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert '"Abandoned"' in (one.pod.root / "termination-log").read_text()


def test_a_container_that_cannot_start_is_abandoned_on_the_operators_word(one: Job) -> None:
    one.pod.start()
    one.pod.stage()
    one.pod.training_ends(code=128, reason="StartError")
    assert one.pod.end().result is Result.ABANDONED


def test_a_blocked_upload_says_why_and_goes_on_when_it_is_repaired(one: Job) -> None:
    begin(one, {"m": b"1"})
    one.set_credentials(secret="revoked")
    one.pod.training_ends()
    report = wait_for("the block", lambda: (r := one.pod.report()).reason == "UploadBlocked" and r)
    assert 'refuses the keys in Secret "s3-keys"' in report.message
    assert not (one.pod.state / "release").exists()
    one.set_credentials()
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"m": b"1"}


def test_an_upload_blocked_to_the_end_fails_and_says_why(one: Job) -> None:
    one.change(upload_hold_seconds=2)
    begin(one, {"m": b"1"})
    one.set_credentials(secret="revoked")
    one.pod.training_ends()
    report = one.pod.end()
    assert (report.result, report.reason) == (Result.FAILED, "AccessDenied")
    assert (report.message or "").startswith("ClientError: Artifact upload failed:S3 at http://127.0.0.1:")
    assert one.server.keys(one.bucket) == ["out/Job/trainyard-attempt.json"]


def test_a_failed_training_does_not_wait_out_the_hold_window(one: Job) -> None:
    begin(one, {"m": b"1"})
    one.set_credentials(secret="revoked")
    began = time.monotonic()
    one.pod.training_ends(code=1)
    assert one.pod.end().result is Result.FAILED
    assert time.monotonic() - began < 10  # of 20 s


def test_a_zombie_attempt_commits_nothing(one: Job) -> None:
    begin(one, {"m": b"1"})
    one.put("out/Job/trainyard-attempt.json", body=json.dumps({"jobID": JOB_ID, "attempt": 2}).encode())
    one.pod.training_ends()
    report = one.pod.end()
    assert report.result is Result.FAILED
    assert (report.message or "").startswith("InternalServerError: Attempt 1 of this job was superseded")
    assert one.server.keys(one.bucket) == ["out/Job/trainyard-attempt.json"]


def test_a_superseded_job_leaves_the_upload_of_its_successor_alone(one: Job) -> None:
    begin(one, {"m": b"1"})
    one.put("out/Job/trainyard-attempt.json", body=json.dumps({"jobID": "uid-2", "attempt": 1}).encode())
    key = "out/Job/output/model.tar.gz"
    theirs = one.server.client.create_multipart_upload(Bucket=one.bucket, Key=key)["UploadId"]
    one.pod.training_ends()
    report = one.pod.end()
    assert report.result is Result.FAILED
    assert (report.message or "").startswith("ClientError: "), "a retry would take the place away from the other job"
    assert "was superseded" in (report.message or "")
    assert "s3OutputPath" in (report.message or "")
    one.server.client.list_parts(Bucket=one.bucket, Key=key, UploadId=theirs)  # it is still there


def test_an_upload_that_somebody_aborted_is_done_again(one: Job) -> None:
    content = os.urandom(30_000_000)
    begin(one, {"m": content})
    one.pod.training_ends(code=None)
    one.pod.released()
    for upload in one.server.client.list_multipart_uploads(Bucket=one.bucket)["Uploads"]:
        one.server.client.abort_multipart_upload(Bucket=one.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"m": content}
    assert not one.server.uploads(one.bucket)


def test_an_older_object_where_nothing_was_written_is_kept_and_named(one: Job) -> None:
    one.put("out/Job/output/model.tar.gz", body=b"of an earlier job")
    begin(one)
    one.pod.write({"m": b"1"}, "output/data")
    one.pod.training_ends()
    report = one.pod.end()
    assert report.result is Result.COMMITTED
    warning = (
        f"an older object lies at s3://{one.bucket}/out/Job/output/model.tar.gz; this run did not write it, for it left nothing "
        f"in /opt/ml/model"
    )
    assert report.message == warning
    assert one.manifest()["warnings"] == [warning]
    assert [artifact.uri.rpartition("/")[2] for artifact in report.artifacts] == ["output.tar.gz"]
    assert one.server.read(one.bucket, "out/Job/output/model.tar.gz") == b"of an earlier job"


def test_only_the_attempts_token_opens_what_is_not_for_training(one: Job) -> None:
    one.pod.start()
    for method, path in [
        ("GET", "/report"),
        ("POST", "/training-ended"),
        ("POST", "/barrier?host=algo-1"),
        ("GET", "/peer/archive?tree=model"),
    ]:
        assert one.pod.request(method, path)[0] == 401
    assert one.pod.get("/metrics") == 200
    assert one.pod.get("/nothing") == 404
    assert one.pod.request("GET", "/peer/archive?tree=../state", token=True)[0] == 404


def test_files_of_two_hosts_become_one_archive_and_the_lower_host_wins(two: Job) -> None:
    begin_both(
        two, [{"model": b"master", "same": b"s", "d/x": b"1"}, {"model": b"other", "same": b"s", "rank-2": b"2"}]
    )
    tree = json.loads(two.pods[1].request("GET", "/peer/tree?tree=model", token=True)[1])
    assert tree["size"] == len(b"other" + b"s" + b"2")
    two.pods[0].training_ends()
    time.sleep(0.5)
    assert not (two.pods[0].state / "release").exists()  # algo-2 still trains
    two.pods[1].training_ends()
    reports = [pod.end() for pod in reversed(two.pods)]
    assert [report.result for report in reports] == [Result.COMMITTED, Result.COMMITTED]
    assert two.model() == {"model": b"master", "same": b"s", "d": b"", "d/x": b"1", "rank-2": b"2"}
    manifest = two.manifest()
    assert manifest["outcome"] == "Completed"
    assert manifest["warnings"] == [
        "algo-2: model/model is dropped: a lower-numbered host has other bytes under that name"
    ]
    assert {(f["path"], f["host"]) for f in manifest["artifacts"][0]["files"]} >= {
        ("rank-2", "algo-2"),
        ("model", "algo-1"),
    }


def test_a_name_that_is_no_utf_8_can_be_warned_of(two: Job) -> None:
    begin_both(two, [{}, {}])
    for pod, content in zip(two.pods, (b"1", b"2"), strict=True):
        Path(os.fsdecode(os.fsencode(pod.ml / "model") + b"/caf\xe9.bin")).write_bytes(content)
        pod.training_ends()
    assert [pod.end().result for pod in reversed(two.pods)] == [Result.COMMITTED, Result.COMMITTED]
    for pod in two.pods:
        assert "model/caf\ufffd.bin is dropped" in (pod.report_left().message or "")


def test_a_report_that_cannot_be_written_yet_is_written_later(one: Job) -> None:
    begin(one, {"m": b"1"})
    log = one.pod.root / "termination-log"
    log.unlink(missing_ok=True)
    log.mkdir()
    one.pod.training_ends()
    wait_for("the end of the upload", (one.pod.state / "report.json").exists)
    time.sleep(10 * one.timing.poll)
    assert not (one.pod.state / "release").exists()
    log.rmdir()
    assert one.pod.end().result is Result.COMMITTED
    assert (one.pod.root / "sidecar.err").read_text().count("a tick failed") == 1


def test_two_hosts_without_an_operator_commit_together(two: Job) -> None:
    begin_both(two, [{"a": b"1"}, {"b": b"2"}])
    for pod in two.pods:
        pod.training_ends(code=None)
    for pod in two.pods:
        pod.released()
    assert two.server.keys(two.bucket) == ["out/Job/trainyard-attempt.json"]
    for pod in two.pods:
        assert pod.process
        pod.process.send_signal(signal.SIGTERM)
    assert [pod.terminate().result for pod in two.pods] == [Result.COMMITTED, Result.COMMITTED]
    assert two.model() == {"a": b"1", "b": b"2"}


def test_a_host_whose_end_is_sure_waits_for_one_whose_kubelet_is_away(two: Job) -> None:
    two.timing = replace(two.timing, long_silence=60)
    begin_both(two, [{"a": b"1"}, {"b": b"2"}])
    first, second = two.pods
    first.training_ends()
    second.probing.clear()
    wait_for("the early upload", lambda: first.seen()["prepared"])
    time.sleep(10 * two.timing.poll)
    assert not (first.state / "release").exists()
    second.probe()
    second.write({"late": b"3"})
    wait_for("the change of mind", lambda: second.seen()["over"] == "no")
    second.training_ends()
    assert [pod.end().result for pod in reversed(two.pods)] == [Result.COMMITTED, Result.COMMITTED]
    assert two.model() == {"a": b"1", "b": b"2", "late": b"3"}


def test_a_host_that_is_lost_is_named_and_the_rest_is_kept(two: Job) -> None:
    begin_both(two, [{"a": b"1"}, {"b": b"2"}])
    two.pods[1].probing.clear()
    two.pods[1].kill()
    two.pods[0].training_ends()
    report = two.pods[0].end()
    assert report.result is Result.FAILED
    assert report.message is not None
    assert report.message.startswith("InternalServerError: Artifact upload failed:the files of algo-2 are missing")
    assert two.model() == {"a": b"1"}
    assert (two.manifest()["outcome"], two.manifest()["missingHosts"]) == ("Failed", ["algo-2"])


def test_when_algo_1_is_lost_the_others_keep_their_share(two: Job) -> None:
    begin_both(two, [{"a": b"1"}, {"b": b"2"}])
    two.pods[0].probing.clear()
    two.pods[0].kill()
    two.pods[1].training_ends()
    report = two.pods[1].end()
    assert report.result is Result.FAILED
    assert "they are kept apart: s3://" in (report.message or "")
    assert two.server.archive(two.bucket, f"out/Job/trainyard-shares/{JOB_ID}-1/algo-2/model.tar.gz") == {"b": b"2"}


def both_commit_and_one_cannot_say_so(two: Job, which: int) -> None:
    """Both hosts end well, but that one is killed before it could write its report; the other has gone."""
    begin_both(two, [{"a": b"1"}, {"b": b"2"}])
    for pod in two.pods:
        pod.training_ends()
    killed = two.pods[which]
    killed.released()
    killed.kill()
    (killed.state / "report.json").unlink()
    assert two.pods[1 - which].end().result is Result.COMMITTED


def test_a_host_that_has_missed_the_word_of_algo_1_finds_its_files_in_the_manifest(two: Job) -> None:
    both_commit_and_one_cannot_say_so(two, 1)
    two.pods[1].start()
    report = two.pods[1].end()
    assert (report.result, report.artifacts, report.message) == (Result.COMMITTED, [], None)
    assert two.model() == {"a": b"1", "b": b"2"}
    assert not [key for key in two.server.keys(two.bucket) if "trainyard-shares" in key]


def test_algo_1_that_had_committed_and_could_not_say_so_writes_nothing_over_it_when_the_others_have_gone(
    two: Job,
) -> None:
    both_commit_and_one_cannot_say_so(two, 0)
    two.pods[0].start()
    report = two.pods[0].end()
    assert (report.result, report.message) == (Result.COMMITTED, None)
    assert two.model() == {"a": b"1", "b": b"2"}
    assert (two.manifest()["outcome"], two.manifest()["missingHosts"]) == ("Completed", [])


def test_algo_1_that_had_committed_less_than_all_and_could_not_say_so_calls_it_no_success(two: Job) -> None:
    both_commit_and_one_cannot_say_so(two, 0)
    # As it is where files could not be read.
    body = json.dumps(two.manifest() | {"outcome": "Failed"}).encode()
    two.put("out/Job/trainyard-manifest.json", body=body)
    two.pods[0].start()
    report = two.pods[0].end()
    assert report.result is Result.FAILED
    assert "not all files could be uploaded" in (report.message or "")
    assert two.model() == {"a": b"1", "b": b"2"}


def test_a_host_without_which_algo_1_has_committed_keeps_its_files_itself(two: Job) -> None:
    begin_both(two, [{"a": b"1"}, {"b": b"2"}])
    first, second = two.pods
    first.probing.clear()
    report = first.terminate()  # its pod is drained, and algo-2 still trains when its patience ends
    assert "the files of algo-2 are missing" in (report.message or "")
    assert second.report().phase is Phase.TRAINING
    second.write({"late": b"3"})
    second.training_ends()
    report = second.end()
    assert report.result is Result.FAILED
    assert "algo-1 had to commit before algo-2 had ended; its files are kept apart: s3://" in (report.message or "")
    kept = two.server.archive(two.bucket, f"out/Job/trainyard-shares/{JOB_ID}-1/algo-2/model.tar.gz")
    assert kept == {"b": b"2", "late": b"3"}


def test_a_peer_that_restarts_in_the_middle_is_waited_for(two: Job) -> None:
    two.timing = replace(two.timing, peer_lost=30)  # a start may take a while
    begin_both(two, [{"a": b"1"}, {"b": b"2"}])
    two.pods[1].kill()
    two.pods[0].training_ends()
    time.sleep(0.3)
    two.pods[1].start()
    two.pods[1].training_ends()
    assert [pod.end().result for pod in reversed(two.pods)] == [Result.COMMITTED, Result.COMMITTED]
    assert two.model() == {"a": b"1", "b": b"2"}


def test_the_end_does_not_wait_for_the_next_look_around(one: Job) -> None:
    one.timing = replace(one.timing, poll=60)
    one.keep_checkpoints()
    one.pod.start()
    one.pod.run_training({"model.bin": b"model"})
    one.pod.write({"step-1": b"new"}, "checkpoints")
    one.pod.training_ends(0)
    one.pod.released(20)
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"model.bin": b"model"}
    assert one.checkpoints()["step-1"] == b"new"
