"""`stage` as a process against a real S3 server: what arrives on disk, and what is said when it cannot."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import anycrc
import pytest

from hack import ports
from tests.integration.agent_rig import JOB_ID, Job, Proxy, S3Server, job, wait_for
from trainyard.agent.adapters import clock
from trainyard.agent.adapters.placed import SIZE
from trainyard.agent.app.patience import Patience, Refused
from trainyard.agent.app.store import Store
from trainyard.api.report import Report, Result, StopReason


@pytest.fixture
def one(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        yield made


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def staged(one: Job) -> dict[str, bytes]:
    return tree(one.pod.ml / "input/data/train")


def failure(one: Job) -> tuple[str | None, str]:
    report = one.pod.stage(code=1)
    assert report.result is Result.FAILED
    return report.reason, report.message or ""


def test_a_prefix_is_a_plain_name_prefix_and_folder_markers_are_no_data(one: Job) -> None:
    one.put("data/train/a.csv", "data/train/deep/b.csv", "data/train-extra/c.csv", "data/train.csv", "data/other")
    one.put("data/train/", "data/train/empty", body=b"")
    one.channel("data/train")
    report = one.pod.stage()
    assert report.result is Result.STAGED
    assert report.objects == 5
    assert staged(one) == {
        "a.csv": b"data/train/a.csv",
        "deep/b.csv": b"data/train/deep/b.csv",
        "train-extra/c.csv": b"data/train-extra/c.csv",
        "train.csv": b"data/train.csv",
        "empty": b"",
    }


def test_training_finds_a_tree_that_any_user_may_write_to_and_its_configuration(one: Job) -> None:
    one.put("d/x/y")
    one.channel("d/")
    one.pod.stage()
    ml = one.pod.ml
    modes = {str(path.relative_to(ml)): oct(path.stat().st_mode & 0o7777) for path in ml.rglob("*") if path.is_dir()}
    assert modes.pop("tmp") == "0o1777"
    assert modes.pop(".trainyard-staging", "0o700") == "0o700"
    assert set(modes.values()) == {"0o777"}
    assert "output/intermediate" not in modes
    assert (ml / "input/data/train/x/y").stat().st_mode & 0o777 == 0o666
    assert json.loads((ml / "input/config/resourceconfig.json").read_text())["current_host"] == "algo-1"
    assert not list((ml / ".trainyard-staging").iterdir())


def test_more_objects_than_one_page_of_a_listing_all_arrive(one: Job) -> None:
    names = [f"many/{number:04}" for number in range(1005)]
    one.put(*names)
    one.channel("many/")
    assert one.pod.stage().objects == 1005
    assert len(staged(one)) == 1005
    assert json.loads((one.pod.state / "stage.json").read_text())["listed"] == 1005
    assert list((one.pod.state / "tmp").iterdir()) == []


def test_objects_of_many_ranges_arrive_whole(one: Job) -> None:
    content = os.urandom(8 * 1024 * 1024 * 3 + 12345)
    one.put("big/file", body=content)
    one.channel("big/file")
    one.pod.stage()
    assert staged(one) == {"file": content}


@pytest.mark.parametrize("name", ["we ird+%2B&=?#", "ünï", "*[x]", "a'\"b", "tab\there", "100%", "~.-_"])
def test_keys_with_any_character_arrive(one: Job, name: str) -> None:
    one.put(f"odd/{name}", body=b"x")
    one.channel("odd/")
    one.pod.stage()
    assert staged(one) == {name: b"x"}


def test_nothing_that_matches_fails_with_sagemakers_words(one: Job) -> None:
    one.put("empty-folder/", body=b"")
    one.channel("empty-folder/")
    reason, message = failure(one)
    assert reason == "NoData"
    assert message == (
        f'ClientError: Data download failed:No S3 objects found under S3 URL "s3://{one.bucket}/empty-folder/" given in input '
        f"data source. Please ensure that the bucket exists in the selected region (us-east-1), that objects exist under that "
        f'S3 prefix, and that the role "arn:role" has "s3:ListBucket" permissions on bucket "{one.bucket}".'
    )


def test_a_bucket_that_does_not_exist_is_named(one: Job) -> None:
    one.channel("x", bucket="no-such-bucket-here")
    reason, message = failure(one)
    assert reason == "NoSuchBucket"
    assert message.startswith(
        'ClientError: Data download failed:bucket "no-such-bucket-here" does not exist at http://'
    )


def test_an_output_bucket_that_does_not_exist_fails_before_anything_is_downloaded(one: Job) -> None:
    one.change(s3_output_path="s3://no-such-output/here")
    reason, message = failure(one)
    assert reason == "NoSuchBucket"
    assert message.startswith('ClientError: Artifact upload failed:bucket "no-such-output"')


def test_an_unknown_access_key_names_the_secret_and_the_command(one: Job) -> None:
    one.set_credentials(access="nobody")
    reason, message = failure(one)
    assert reason == "AccessDenied"
    assert 'does not know the keys in Secret "s3-keys"' in message
    assert "kubectl create secret generic s3-keys --from-literal=AWS_ACCESS_KEY_ID=" in message


def test_a_wrong_secret_key_names_the_secret(one: Job) -> None:
    one.set_credentials(secret="wrong")
    reason, message = failure(one)
    assert reason == "AccessDenied"
    assert 'refuses the keys in Secret "s3-keys" (SignatureDoesNotMatch' in message


def test_a_missing_secret_is_reported_with_the_command_that_makes_it(one: Job) -> None:
    (one.credentials / "AWS_ACCESS_KEY_ID").unlink()
    reason, message = failure(one)
    assert reason == "NoCredentials"
    assert message.startswith('ClientError: Artifact upload failed:Secret "s3-keys" of the ExecutionRole')
    assert "has no key AWS_ACCESS_KEY_ID; create it with: kubectl create secret generic s3-keys" in message


def test_an_endpoint_whose_name_does_not_exist_fails_soon_and_is_named(one: Job) -> None:
    url = "http://s3.nowhere.invalid"
    one.change(store=one.plan.store.but(endpoint_url=url), download_retry_seconds=900)
    began = time.monotonic()
    _, message = failure(one)
    assert time.monotonic() - began < 10
    assert f"the S3 endpoint {url} has no address" in message


def test_an_s3_that_is_down_when_staging_begins_is_waited_for_and_named(one: Job) -> None:
    one.timing = replace(one.timing, unreachable=0.2, blocked_told=1)
    one.put("d/x", body=b"x")
    one.channel("d/")
    port = ports.free()
    url = f"http://127.0.0.1:{port}"
    one.change(store=one.plan.store.but(endpoint_url=url), download_retry_seconds=900)
    one.pod.start()
    process = one.pod.stage_in_background()
    wait_for("the reason", lambda: one.pod.report().reason == "DownloadBlocked")
    assert f"the S3 endpoint {url} refuses connections" in (one.pod.report().message or "")
    assert process.poll() is None
    proxy = Proxy(one.server, port=port)
    assert process.wait(20) == 0
    proxy.close()
    assert staged(one) == {"x": b"x"}


def test_an_s3_that_stays_away_is_given_up_when_its_time_is_over(one: Job) -> None:
    one.change(store=one.plan.store.but(endpoint_url=f"http://127.0.0.1:{ports.free()}"), download_retry_seconds=2)
    assert "refuses connections" in failure(one)[1]


def test_two_objects_for_one_file_are_refused_by_name(one: Job) -> None:
    one.put("p/train/x", "p/x")
    one.put("p/train-dir")
    one.channel("p/train")
    one.pod.stage()  # p/train/x -> x, p/train-dir -> train-dir: no clash
    one.put("r/t/tt", "r/tt")
    one.channel("r/t")
    reason, message = failure(one)
    assert reason == "DataDownloadFailed"
    assert f"s3://{one.bucket}/r/t/tt and s3://{one.bucket}/r/tt of channel" in message


def test_more_data_than_the_volume_has_names_both_numbers(one: Job) -> None:
    one.put("d/x", body=b"12345")
    one.channel("d/")
    one.change(volume_bytes=3)
    reason, message = failure(one)
    assert reason == "DiskFull"
    assert "needs at least 5 bytes and its storage volume has 3 free" in message


def test_what_does_not_fit_is_refused_before_the_disk_is_full(one: Job) -> None:
    one.put(*(f"d/{number:04}" for number in range(1, 1200)), body=b"1234567890")
    one.channel("d/")
    one.change(volume_bytes=5005)
    reason, message = failure(one)
    assert reason == "DiskFull"
    assert "needs at least 5010 bytes and its storage volume has 5005 free" in message
    assert sum(map(len, staged(one).values())) <= 5000


def test_nothing_is_downloaded_while_another_channel_is_wrong(one: Job) -> None:
    one.put("d/x")
    one.channels({"name": "good", "s3_uri": one.uri("d/")}, {"name": "bad", "s3_uri": one.uri("nothing/")})
    assert failure(one)[0] == "NoData"
    assert not (one.pod.ml / "input/data/good").exists()


def test_a_committed_job_is_not_trained_again_and_a_failed_one_is(one: Job) -> None:
    key = "out/Job/trainyard-manifest.json"
    one.put(key, body=json.dumps({"jobID": JOB_ID, "outcome": "Completed"}).encode())
    assert one.pod.stage(code=1).result is Result.ALREADY_COMMITTED
    one.put(key, body=json.dumps({"jobID": JOB_ID, "outcome": "MaxRuntimeExceeded"}).encode())
    assert one.pod.stage(code=1).stop_reason is StopReason.MAX_RUNTIME_EXCEEDED
    for document in (
        {"jobID": JOB_ID, "outcome": "Failed"},
        {"jobID": JOB_ID, "outcome": "Interrupted"},
        {"jobID": "another", "outcome": "Completed"},
    ):
        one.put(key, body=json.dumps(document).encode())
        assert one.pod.stage().result is Result.STAGED


def test_an_older_attempt_finds_itself_superseded(one: Job) -> None:
    one.put("out/Job/trainyard-attempt.json", body=json.dumps({"jobID": JOB_ID, "attempt": 2}).encode())
    _, message = failure(one)
    assert message.startswith("InternalServerError: Attempt 1 of this job was superseded before training began")


def test_a_stop_order_ends_a_download_at_once(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        one.put("d/big", body=os.urandom(30_000_000))
        proxy = Proxy(server, limit=3000)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        one.channel("d/")
        process = one.pod.stage_in_background()
        assert proxy.held.wait(20)
        one.pod.annotate("stop", {"reason": "UserRequested"})
        assert process.wait(5) == 1
        proxy.close()
        assert one.pod.staged_report().result is Result.STOPPED
        assert one.pod.staged_report().stop_reason is StopReason.USER_REQUESTED


def test_a_time_limit_that_is_over_while_staging_stops_it(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=0)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url), max_runtime_seconds=0)
        report: Report = one.pod.stage(code=1)
        proxy.close()
        assert report.stop_reason is StopReason.MAX_RUNTIME_EXCEEDED


def test_the_time_limit_counts_from_the_start_of_the_sidecar(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=0)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url), max_runtime_seconds=60)
        now = clock.now()
        one.pod.state.mkdir(parents=True, exist_ok=True)
        (one.pod.state / "facts.json").write_text(json.dumps({"began": now - 60, "listening_since": now}))
        report: Report = one.pod.stage(code=1)
        proxy.close()
        assert report.stop_reason is StopReason.MAX_RUNTIME_EXCEEDED


@pytest.mark.parametrize(("objects", "shares"), [(5, [3, 2]), (1, [1, 0])])
def test_hosts_share_objects_and_wait_for_each_other(
    server: S3Server, tmp_path: Path, objects: int, shares: list[int]
) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        names = [f"d/{number}" for number in range(objects)]
        two.put(*names)
        two.channel("d/", distribution="ShardedByS3Key")
        first, second = two.pods
        late = second.stage_in_background()  # algo-1's sidecar is not there yet
        first.start()
        with pytest.raises(Exception, match="timed out"):
            late.wait(0.7)
        early = first.stage_in_background()
        assert (early.wait(20), late.wait(20)) == (0, 0)
        found = [tree(pod.ml / "input/data/train") for pod in two.pods]
        assert [len(share) for share in found] == shares
        assert sorted(name for share in found for name in share) == [name.removeprefix("d/") for name in names]
        assert first.report().phase.value == "Staged"


def test_the_jobs_own_marker_is_nobodys_data(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        two.put(*(f"outer/{number}" for number in range(5)))
        two.put("out/Job/output/model.tar.gz")  # of an earlier attempt
        two.channel(
            "out", distribution="ShardedByS3Key"
        )  # matches out/Job/trainyard-attempt.json too, which sorts first
        first, second = two.pods
        first.start()
        late = first.stage_in_background()
        second.stage()
        assert late.wait(20) == 0
        assert [sorted(tree(pod.ml / "input/data/train")) for pod in two.pods] == [
            ["outer/0", "outer/2", "outer/4"],
            ["outer/1", "outer/3"],
        ]


def test_the_jobs_own_marker_makes_no_data_of_nothing(one: Job) -> None:
    one.channel("out")
    assert failure(one)[0] == "NoData"


def test_a_channel_may_name_what_lies_in_the_jobs_own_output(one: Job) -> None:
    one.put("out/Job/output/model.tar.gz", "out/Job/trainyard-manifest.json")
    one.channel("out/Job/")
    one.pod.stage()
    assert staged(one) == {"output/model.tar.gz": b"out/Job/output/model.tar.gz"}


def test_a_hosts_report_says_for_whom_it_waits(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        first, _ = two.pods
        first.start()
        process = first.stage_in_background()
        wait_for("the barrier", lambda: first.report().message == "waiting for algo-2")
        assert first.report().reason == "WaitingForHosts"
        first.annotate("stop", {"reason": "HostFailed", "message": "algo-2 failed"})
        assert process.wait(5) == 1


def test_connections_that_break_cost_a_retry_and_no_data(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        content = os.urandom(30_000_000)
        one.put("d/big", body=content)
        proxy = Proxy(server, cuts=6)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url), download_retry_seconds=30)
        one.channel("d/")
        assert one.pod.stage().bytes == len(content)
        assert proxy.cuts == 0
        proxy.close()
        assert staged(one) == {"big": content}


def test_large_objects_that_come_in_turn_with_small_ones_are_whole_though_connections_break(
    server: S3Server, tmp_path: Path
) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        sizes = [17_000_000, 3, 25_000_001, 9_000_000, 0, 200, 33_554_432, 8_388_608, 8_388_609, 12_000_000]
        bodies = {f"{number:02}": os.urandom(size) for number, size in enumerate(sizes)}
        for name, body in bodies.items():
            one.put(f"d/{name}", body=body)
        proxy = Proxy(server, cuts=6)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url), download_retry_seconds=30)
        one.channel("d/")
        report = one.pod.stage()
        assert (report.objects, report.bytes) == (len(sizes), sum(sizes))
        assert proxy.cuts == 0
        proxy.close()
        assert staged(one) == bodies


CRCS = {"CRC32": ("CRC32", 4), "CRC32C": ("CRC32C", 4), "CRC64NVME": ("CRC64-NVME", 8)}


def digest(algorithm: str, body: bytes) -> bytes:
    if algorithm not in CRCS:
        return hashlib.new(algorithm, body).digest()
    model, size = CRCS[algorithm]
    return int(anycrc.Model(model).calc(body)).to_bytes(size, "big")


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def refuses_damage(one: Job, algorithm: str, put: Callable[[str], object], body: bytes) -> None:
    """An object that `put` writes arrives whole; one that is damaged afterwards is refused by that checksum."""
    put("d/x")
    put("e/x")
    one.channel("d/")
    one.pod.stage()
    assert staged(one) == {"x": body}
    one.server.damage(one.bucket, "e/x")
    one.channel("e/")
    one.change(download_retry_seconds=1)
    reason, message = failure(one)
    assert reason == "DataDownloadFailed"
    assert one.uri("e/x") in message
    assert f"arrived damaged: its {algorithm} is " in message


@pytest.mark.parametrize("size", [100, 20_000_000], ids=["one request", "several"])
@pytest.mark.parametrize("algorithm", [*CRCS, "SHA1", "SHA256"])
def test_an_object_that_arrives_damaged_is_refused(one: Job, algorithm: str, size: int) -> None:
    body = os.urandom(size)
    value = {f"Checksum{algorithm}": text(digest(algorithm, body))}
    refuses_damage(
        one, algorithm, lambda key: one.server.client.put_object(Bucket=one.bucket, Key=key, Body=body, **value), body
    )


PART = 5 * 1024 * 1024


def put_in_parts(one: Job, key: str, body: bytes, algorithm: str, kind: str) -> None:
    """As the SDKs do: a checksum with each part, and, of the whole, one that is made of theirs or its own."""
    where, client = {"Bucket": one.bucket, "Key": key}, one.server.client
    upload = client.create_multipart_upload(ChecksumAlgorithm=algorithm, ChecksumType=kind, **where)["UploadId"]
    parts = []
    for number, first in enumerate(range(0, len(body), PART), 1):
        piece = body[first : first + PART]
        value = {f"Checksum{algorithm}": text(digest(algorithm, piece))}
        sent = client.upload_part(UploadId=upload, PartNumber=number, Body=piece, **where, **value)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]} | value)
    client.complete_multipart_upload(UploadId=upload, MultipartUpload={"Parts": parts}, ChecksumType=kind, **where)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("CRC64NVME", "FULL_OBJECT"), ("CRC32C", "FULL_OBJECT"), ("CRC32", "FULL_OBJECT")]
    + [(name, "COMPOSITE") for name in ("CRC32C", "CRC32", "SHA256", "SHA1")],
)
def test_an_object_that_came_in_parts_is_verified_by_their_checksums(one: Job, algorithm: str, kind: str) -> None:
    body = os.urandom(2 * PART + 1000)
    put_in_parts(one, "probe", body, algorithm, kind)
    said = one.server.client.head_object(Bucket=one.bucket, Key="probe", ChecksumMode="ENABLED")
    whole = text(digest(algorithm, body))
    each = b"".join(digest(algorithm, body[first : first + PART]) for first in range(0, len(body), PART))
    # What S3 would say, and so does this server.
    assert said[f"Checksum{algorithm}"] == (whole if kind == "FULL_OBJECT" else f"{text(digest(algorithm, each))}-3")
    assert said["ChecksumType"] == kind
    refuses_damage(one, algorithm, lambda key: put_in_parts(one, key, body, algorithm, kind), body)


def test_an_object_that_is_replaced_after_the_listing_is_refused(one: Job) -> None:
    one.put("d/x", body=b"listed")
    store = Store(one.plan.store, one.credentials, one.timing)
    patience = Patience(5)
    (item,) = store.objects(one.bucket, "d/", patience)
    assert bytes(store.read(one.bucket, item, 0, 6, patience)) == b"listed"
    one.put("d/x", body=b"change")
    with pytest.raises(Refused, match="has changed since it was listed"):
        store.read(one.bucket, item, 0, 6, patience)


def test_sigterm_while_staging_ends_it_at_once(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=0)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        process = one.pod.stage_in_background()
        assert proxy.held.wait(20)
        process.terminate()
        assert process.wait(5) == 1
        proxy.close()
        assert one.pod.staged_report().stop_reason is StopReason.DELETED


def test_a_repaired_secret_in_time_is_not_needed_twice(one: Job) -> None:
    one.put("d/x")
    one.channel("d/")
    one.set_credentials(secret="wrong")
    assert one.pod.stage(code=1).result is Result.FAILED
    one.set_credentials()
    assert one.pod.stage().result is Result.STAGED


@pytest.mark.parametrize(
    ("prefix", "files"), [("d/sub", {"x", "deep/y"}), ("d/sub/", {"x", "deep/y"}), ("d/one.csv", {"one.csv"})]
)
def test_fastfile_takes_a_whole_folder_or_a_whole_file(one: Job, prefix: str, files: set[str]) -> None:
    one.put("d/sub/x", "d/sub/deep/y", "d/one.csv")
    one.channels({"s3_uri": one.uri(prefix), "input_mode": "FastFile"})
    one.pod.stage()
    assert set(staged(one)) == files
    config = json.loads((one.pod.ml / "input/config/inputdataconfig.json").read_text())
    assert config["train"]["TrainingInputMode"] == "FastFile"


def test_fastfile_with_a_part_of_a_name_fails_with_sagemakers_words(one: Job) -> None:
    one.put("d/train-1", "d/train-2")
    one.channels({"s3_uri": one.uri("d/train"), "input_mode": "FastFile"})
    reason, message = failure(one)
    assert reason == "DataDownloadFailed"
    assert message.startswith(
        "ClientError: Data download failed:Failed to download data. For FastFile mode, partial S3 prefix is not supported. S3 prefix has "
        "to end with a full file or folder. Add a trailing '/'"
    )
    assert one.uri("d/train-1") in message


def test_a_channel_that_is_called_like_a_fifo_is_refused(one: Job) -> None:
    one.put("d/x")
    one.channels({"s3_uri": one.uri("d/"), "input_mode": "Pipe"}, {"name": "train_0", "s3_uri": one.uri("d/")})
    assert 'another channel is called "train_0"; rename one of them' in failure(one)[1]


def test_a_stage_that_is_killed_and_started_again_keeps_what_is_in_place(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        one.put(*(f"d/{number:03}" for number in range(200)), body=b"old")
        one.put("d/zzz", body=os.urandom(30_000_000))
        # As many bytes of requests as some of the objects take, and not all.
        proxy = Proxy(server, limit=60_000)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        one.channel("d/")
        first = one.pod.stage_in_background()
        assert proxy.held.wait(20)
        noted = one.pod.state / "placed"
        wait_for("what was asked for is there, and noted", lambda: noted.exists() and noted.stat().st_size > 20 * SIZE)
        first.kill()
        first.wait()
        proxy.close()
        directory = one.pod.ml / "input/data/train"
        before = {path.name: path.stat().st_ino for path in directory.iterdir()}
        assert 20 <= len(before) < 201
        changed = min(before)
        one.put(f"d/{changed}", body=b"new")
        one.change(store=one.plan.store.but(endpoint_url=server.url))
        report = one.pod.stage()
        assert (report.objects, report.bytes) == (201, 600 + 30_000_000)
        after = {path.name: path.stat().st_ino for path in directory.iterdir()}
        assert (directory / changed).read_bytes() == b"new"
        del before[changed]
        # What was placed in the very moment of the end is not known to have been.
        assert len(before.items() - after.items()) <= 64
        assert len(after) == 201


def fetchers(stage: subprocess.Popen[bytes]) -> list[int]:
    """Of a `stage`, whose thread has started them."""
    return [
        int(pid)
        for thread in Path(f"/proc/{stage.pid}/task").iterdir()
        for pid in (thread / "children").read_text().split()
    ]


def test_a_fetcher_that_is_killed_costs_time_and_no_data(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        bodies = {f"{number:03}": os.urandom(2000) for number in range(300)} | {"zzz": os.urandom(30_000_000)}
        for name, body in bodies.items():
            one.put(f"d/{name}", body=body)
        proxy = Proxy(server, limit=60_000)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        one.channel("d/")
        running = one.pod.stage_in_background()
        assert proxy.held.wait(20)
        (fetcher,) = fetchers(running)
        os.kill(fetcher, signal.SIGKILL)
        proxy.open()
        assert running.wait(60) == 0
        proxy.close()
        assert one.pod.staged_report().objects == 301
        assert staged(one) == bodies
        assert json.loads((one.pod.state / "stage.json").read_text())["bytes"] == 600_000 + 30_000_000


def test_what_a_fetcher_cannot_bring_is_counted_and_logged(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        body = os.urandom(30_000_000)
        one.put("d/big", body=body)
        proxy = Proxy(server, cuts=1)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        one.channel("d/")
        one.pod.start()
        done = subprocess.run(one.pod.command("stage", "stage-log"), capture_output=True, timeout=60, check=True)
        proxy.close()
        assert staged(one) == {"big": body}
        assert f"s3fetch cannot bring s3://{one.bucket}/d/big (" in done.stderr.decode()
        shown = one.pod.request("GET", "/metrics")[1].decode()
        assert re.search(r"^trainyard_agent_staging_fallbacks_total [1-9]", shown, re.MULTILINE)


def test_data_comes_without_a_fetcher_too(one: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_S3FETCH", "/no/such/program")
    bodies = {"small": b"x", "empty": b"", "middle": os.urandom(3_000_000), "large": os.urandom(20_000_001)}
    for name, body in bodies.items():
        one.put(f"d/{name}", body=body)
    one.channel("d/")
    assert one.pod.stage().bytes == sum(map(len, bodies.values()))
    assert staged(one) == bodies


def test_what_a_killed_stage_left_behind_is_gone_before_room_is_looked_for(one: Job) -> None:
    one.put("d/new", body=b"x")
    one.channel("d/")
    staging = one.pod.ml / ".trainyard-staging"
    staging.mkdir(parents=True)
    (staging / "7").write_bytes(b"a part")
    one.pod.stage()
    assert not any(staging.iterdir())


def test_objects_without_bytes_cost_no_request_each(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        for number in range(20):
            server.client.put_object(Bucket=one.bucket, Key=f"d/{number:02}", Body=b"", ChecksumAlgorithm="CRC32")
        one.channel("d/")
        before = len(server.requests(one.bucket))
        assert one.pod.stage().objects == 20
        assert len(server.requests(one.bucket)) - before < 20
