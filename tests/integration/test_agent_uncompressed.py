"""Artifacts without an archive, against a real S3 server: each file an object of its own, as whole, fenced and told of as an archive is."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.agent_rig import JOB_ID, Job, Pod, Proxy, S3Server, children, job, rss, wait_for
from trainyard.api.report import Phase, Result, StopReason

MIB = 1024 * 1024
MODEL = "out/Job/output/model/"
DATA = "out/Job/output/data/"


@pytest.fixture
def one(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        made.change(compression="NONE")
        yield made


@pytest.fixture
def two(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as made:
        made.change(compression="NONE")
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


def objects(one: Job, prefix: str = MODEL) -> dict[str, bytes]:
    """What lies below the prefix, by path."""
    keys = [key for key in one.server.keys(one.bucket) if key.startswith(prefix)]
    return {key.removeprefix(prefix): one.server.read(one.bucket, key) for key in keys}


def puts(one: Job, since: int = 0) -> list[str]:
    """Objects that were written since so many requests."""
    return [line for line in one.server.requests(one.bucket)[since:] if "PutObject" in line]


def listed(one: Job, number: int = 0) -> dict[str, tuple[int, str]]:
    """What the manifest says of an artifact's files: size and SHA-256 by path."""
    return {file["path"]: (file["size"], file["sha256"]) for file in one.manifest()["artifacts"][number]["files"]}


def facts(files: dict[str, bytes]) -> dict[str, tuple[int, str]]:
    return {path: (len(content), hashlib.sha256(content).hexdigest()) for path, content in files.items()}


def test_each_file_is_an_object_and_the_manifest_has_its_digest(one: Job) -> None:
    model = {"config.json": b"{}", "deep/er/shard-1": os.urandom(20 * MIB), "empty": b"", "a b+ü%20": b"odd"}
    begin(one, model)
    (one.pod.ml / "model/nothing/in/it").mkdir(parents=True)
    one.pod.write({"scores.csv": b"1,2"}, "output/data")
    one.pod.training_ends()
    report = one.pod.end()
    assert (report.result, report.message) == (Result.COMMITTED, None)
    assert objects(one) == model
    assert objects(one, DATA) == {"scores.csv": b"1,2"}
    assert (listed(one), listed(one, 1)) == (facts(model), facts({"scores.csv": b"1,2"}))
    artifact = one.manifest()["artifacts"][0]
    size = sum(map(len, model.values()))
    assert (artifact["uri"], artifact["size"], artifact.get("sha256")) == (one.uri(MODEL), size, None)
    assert [(found.uri, found.size, found.files) for found in report.artifacts] == [
        (one.uri(MODEL), size, 4),
        (one.uri(DATA), 3, 1),
    ]
    assert one.server.uploads(one.bucket) == []


def test_nothing_left_behind_makes_no_object_but_a_manifest(one: Job) -> None:
    begin(one)
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert sorted(one.server.keys(one.bucket)) == ["out/Job/trainyard-attempt.json", "out/Job/trainyard-manifest.json"]
    assert one.manifest()["artifacts"] == []


def test_a_failed_training_leaves_what_it_has_too(one: Job) -> None:
    begin(one, {"half": b"x"})
    one.pod.training_ends(code=7)
    assert one.pod.end().result is Result.COMMITTED
    assert (one.manifest()["outcome"], objects(one)) == ("Failed", {"half": b"x"})


def test_a_stopped_training_leaves_what_it_wrote_last(one: Job) -> None:
    begin(one, {"half": b"x"})
    one.pod.annotate("stop", {"reason": StopReason.USER_REQUESTED.value})
    wait_for("the probe's no", lambda: one.pod.answers[-1] == 503)
    one.pod.write({"half": b"whole"})
    one.pod.training_ends(code=143)
    assert one.pod.end().result is Result.COMMITTED
    assert (one.manifest()["outcome"], objects(one)) == ("Stopped", {"half": b"whole"})


def test_files_of_two_hosts_lie_below_one_prefix_and_the_lower_host_wins(two: Job) -> None:
    large = os.urandom(10 * MIB)
    begin_both(
        two,
        [
            {"model": b"master", "same": b"s", "d/x": b"1"},
            {"model": b"other", "same": b"s", "rank-2": large, "d": b"file"},
        ],
    )
    for pod in two.pods:
        pod.training_ends()
    assert [pod.end().result for pod in reversed(two.pods)] == [Result.COMMITTED, Result.COMMITTED]
    assert objects(two) == {"model": b"master", "same": b"s", "d/x": b"1", "rank-2": large}
    assert listed(two) == facts(objects(two))
    assert two.manifest()["warnings"] == [
        "algo-2: model/d is dropped: a file here and a directory on a lower-numbered host",
        "algo-2: model/model is dropped: a lower-numbered host has other bytes under that name",
    ]


def test_when_algo_1_is_lost_the_others_keep_their_share_as_files(two: Job) -> None:
    begin_both(two, [{"a": b"1"}, {"b": b"2"}])
    two.pods[0].probing.clear()
    two.pods[0].kill()
    # Its attempt is over: a later one must not keep this host's files from being kept.
    two.put("out/Job/trainyard-attempt.json", body=json.dumps({"jobID": JOB_ID, "attempt": 2}).encode())
    two.pods[1].training_ends()
    report = two.pods[1].end()
    assert report.result is Result.FAILED
    assert objects(two, f"out/Job/trainyard-shares/{JOB_ID}-1/algo-2/model/") == {"b": b"2"}
    assert f"out/Job/trainyard-shares/{JOB_ID}-1/algo-2/model/" in (report.message or "")
    assert objects(two) == {}


def test_objects_of_former_jobs_are_left_alone_and_named(one: Job) -> None:
    one.put("out/Job/output/model.tar.gz", MODEL + "shard-1", MODEL + "shard-2", body=b"old")
    begin(one, {"shard-1": b"new"})
    one.pod.training_ends()
    report = one.pod.end()
    assert report.result is Result.COMMITTED
    assert objects(one) == {"shard-1": b"new", "shard-2": b"old"}
    archive = f"an older object lies at {one.uri('out/Job/output/model.tar.gz')}; this run did not write it, for its compressionType is NONE"
    folder = f"1 older objects lie below {one.uri(MODEL)}, such as shard-2; this run did not write them, and leaves them where they are"
    assert one.manifest()["warnings"] == [archive, folder]
    assert report.message == f"{archive}; {folder}"
    assert list(listed(one)) == ["shard-1"]


def test_what_an_interrupted_attempt_has_left_goes_when_a_later_one_has_not_the_same(one: Job, tmp_path: Path) -> None:
    begin(one, {"step-1": b"1", "deep/step-1": b"1", "same": b"s", "best": b"first"})
    one.put(MODEL + "foreign", body=b"theirs")
    one.pod.write({"old.csv": b"1"}, "output/data")
    one.pod.annotate("stop", {"reason": StopReason.INTERRUPTED.value})
    wait_for("the probe's no", lambda: one.pod.answers[-1] == 503)
    one.pod.training_ends(code=143)
    assert one.pod.end().result is Result.COMMITTED
    assert one.manifest()["outcome"] == "Interrupted"
    identity = one.plan.job.but(attempt=2)
    one.plan = one.plan.but(job=identity)
    again = Pod(one, one.plan.hosts[0], tmp_path / "again")
    again.make()
    again.start()
    again.run_training({"final": b"2", "same": b"s", "best": b"second"})
    again.training_ends()
    assert again.end().result is Result.COMMITTED
    assert objects(one) == {"final": b"2", "same": b"s", "best": b"second", "foreign": b"theirs"}
    assert objects(one, DATA) == {}
    (warning,) = one.manifest()["warnings"]
    assert warning.startswith("1 older objects lie below"), "the foreign one"
    again.probing.clear()


def test_what_another_job_has_left_is_not_taken_for_this_ones(one: Job) -> None:
    begin(one, {"a": b"1"})
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    theirs = one.manifest() | {"jobID": "uid-0"}
    one.put("out/Job/trainyard-manifest.json", body=json.dumps(theirs).encode())
    one.put(MODEL + "b", body=b"theirs")
    identity = one.plan.job.but(attempt=2, uid="uid-2")
    one.plan = one.plan.but(job=identity)
    again = Pod(one, one.plan.hosts[0], one.pod.root / "again")
    again.make()
    again.start()
    again.run_training({"c": b"3"})
    again.training_ends()
    assert again.end().result is Result.COMMITTED
    assert objects(one) == {"a": b"1", "b": b"theirs", "c": b"3"}


def test_a_role_that_may_not_list_uploads_all_the_same(server: S3Server, tmp_path: Path) -> None:
    from tests.support.faults import Fault, FaultProxy  # noqa: PLC0415

    with FaultProxy(server.url) as proxy, job(server, tmp_path, f"b-{uuid4().hex}", url=proxy.url) as one:
        one.change(compression="NONE")
        proxy.faults.append(Fault("list-type=2|uploads", None, answer=(403, "AccessDenied")))
        begin(one, {"a": b"1"})
        one.pod.training_ends()
        assert one.pod.end().result is Result.COMMITTED
        assert objects(one) == {"a": b"1"}


def test_a_sidecar_killed_in_the_middle_goes_on_where_it_was(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=25 * MIB)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url), compression="NONE")
        model = {f"a-{number}": b"x" * number for number in range(20)}
        model |= {"b-large": os.urandom(10 * MIB), "c-large": os.urandom(30 * MIB)}
        one.pod.start()
        one.pod.run_training(model)
        time.sleep(0.2)  # older than the time within which a file's stamp says nothing
        one.pod.training_ends()
        assert proxy.held.wait(30)
        wait_for("the large one's upload", lambda: one.server.uploads(one.bucket) == [MODEL + "c-large"])
        one.pod.kill()
        proxy.open()
        before = len(one.server.requests(one.bucket))
        one.pod.start()
        assert one.pod.end().result is Result.COMMITTED
        proxy.close()
        assert objects(one) == model
        assert listed(one) == facts(model)
        assert one.server.uploads(one.bucket) == []
        again = [line for line in puts(one, before) if MODEL in line]
        assert again == [], "what was sent is not sent again"


def test_an_upload_process_that_dies_leaves_nothing_unfinished(one: Job) -> None:
    model = {f"{number}": os.urandom(MIB) for number in range(40)}
    begin(one, model)
    assert one.pod.process
    supervisor = one.pod.process.pid
    wait_for("the upload process", lambda: children(supervisor))
    one.pod.training_ends()
    wait_for("some objects", lambda: objects(one))
    for child in children(supervisor):
        os.kill(child, 9)
    assert one.pod.end().result is Result.COMMITTED
    assert objects(one) == model
    assert one.server.uploads(one.bucket) == []


def test_what_a_wrong_guess_sent_and_training_removed_is_removed_there_too(one: Job) -> None:
    one.put(MODEL + "foreign", body=b"theirs")
    begin(one, {"step-1": b"1", "best": b"first"})
    one.pod.training_ends(code=None)
    wait_for("the guess", lambda: one.pod.seen()["prepared"])
    one.pod.probe()
    wait_for("training again", lambda: one.pod.report().phase is Phase.TRAINING)
    (one.pod.ml / "model/step-1").unlink()
    one.pod.write({"best": b"second", "step-2": b"2"})
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert objects(one) == {"best": b"second", "step-2": b"2", "foreign": b"theirs"}
    assert listed(one) == facts({"best": b"second", "step-2": b"2"})


def test_an_object_that_went_after_it_was_sent_is_sent_again(one: Job) -> None:
    begin(one, {"a": b"1", "b": b"2"})
    one.pod.training_ends(code=None)
    one.pod.released()
    one.server.client.delete_object(Bucket=one.bucket, Key=MODEL + "a")
    one.put(MODEL + "b", body=b"somebody else's")
    assert one.pod.end().result is Result.COMMITTED
    assert objects(one) == {"a": b"1", "b": b"2"}


def test_a_zombie_attempt_writes_no_object(one: Job) -> None:
    begin(one, {"a": b"1"})
    one.put("out/Job/trainyard-attempt.json", body=json.dumps({"jobID": JOB_ID, "attempt": 2}).encode())
    one.pod.training_ends()
    report = one.pod.end()
    assert report.result is Result.FAILED
    assert (report.message or "").startswith("InternalServerError: Attempt 1 of this job was superseded")
    assert one.server.keys(one.bucket) == ["out/Job/trainyard-attempt.json"]


def test_an_attempt_that_is_superseded_in_the_middle_stops_there(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=12 * MIB)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url), compression="NONE")
        one.pod.start()
        one.pod.run_training({"a": os.urandom(20 * MIB), "b": b"small", "c": os.urandom(20 * MIB)})
        one.pod.training_ends()
        assert proxy.held.wait(30)
        one.put("out/Job/trainyard-attempt.json", body=json.dumps({"jobID": JOB_ID, "attempt": 2}).encode())
        time.sleep(2 * one.timing.fence_age)
        proxy.open()
        report = one.pod.end()
        proxy.close()
        assert report.result is Result.FAILED
        assert objects(one) == {}
        assert one.server.uploads(one.bucket) == []


def test_a_hostile_tree_gives_only_what_is_in_it(one: Job) -> None:
    begin(one, {"sub/real": b"content"})
    model = one.pod.ml / "model"
    secret = one.credentials / "AWS_SECRET_ACCESS_KEY"
    (model / "inside").symlink_to("sub/real")
    (model / "escape").symlink_to(os.path.relpath(secret, model))
    (model / "folder").symlink_to("sub")
    os.mkfifo(model / "fifo")
    os.link(model / "sub/real", model / "hard")
    (model / "new\nline").write_bytes(b"n")
    (model / "tab\tand<&>'\"").write_bytes(b"t")
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert objects(one) == {
        "sub/real": b"content",
        "inside": b"content",
        "hard": b"content",
        "new\nline": b"n",
        "tab\tand<&>'\"": b"t",
    }
    assert {entry["path"] for entry in one.manifest()["skipped"]} == {"escape", "fifo", "folder"}


@pytest.mark.parametrize("name", [b"caf\xe9", b"/".join([b"d" * 200] * 6) + b"/file"], ids=["not UTF-8", "too long"])
def test_a_name_that_s3_does_not_take_fails_the_job_and_all_others_are_there(one: Job, name: bytes) -> None:
    begin(one, {"fine": b"1"})
    path = Path(os.fsdecode(os.fsencode(one.pod.ml / "model") + b"/" + name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"2")
    one.pod.training_ends()
    report = one.pod.end()
    assert report.result is Result.FAILED
    assert (report.message or "").startswith(
        "ClientError: Artifact upload failed:1 files have names or sizes that S3 does not take"
    )
    assert "compressionType GZIP" in (report.message or "")
    assert objects(one) == {"fine": b"1"}
    assert one.manifest()["outcome"] == "Failed"


def test_many_files_and_large_ones_go_within_little_memory(one: Job) -> None:
    model: dict[str, bytes] = {f"small/{number:04}": b"x" * 2000 for number in range(1500)}
    model |= {"large": os.urandom(60 * MIB)} | {f"medium-{number}": os.urandom(7 * MIB) for number in range(8)}
    begin(one, model)
    assert one.pod.process
    supervisor = one.pod.process.pid
    one.pod.training_ends()
    most = 0
    while not (one.pod.state / "release").exists():
        most = max([most, *map(rss, children(supervisor))])
        time.sleep(0.05)
    assert one.pod.end().result is Result.COMMITTED
    assert listed(one) == facts(model)
    kept: Any = one.server.client.get_paginator("list_objects_v2").paginate(Bucket=one.bucket, Prefix=MODEL)
    assert sum(len(page["Contents"]) for page in kept) == len(model)
    print(f"\nupload process {most / 1e6:.0f} MB")
    assert most < 150_000_000
