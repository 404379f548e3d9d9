"""Pipe channels: the real `stage` and sidecar, a real S3 server, and the test as the program that reads the FIFOs."""

from __future__ import annotations

import gzip
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.agent_rig import Job, Pod, Proxy, S3Server, children, command_of, job, wait_for
from trainyard.agent.adapters.credentials import KEEP_SECONDS
from trainyard.api.report import Result, StopReason

MIB = 1024 * 1024


@pytest.fixture
def one(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        yield made


def pipe(one: Job, prefix: str = "data/", **fields: Any) -> None:
    one.channels({"s3_uri": one.uri(prefix), "input_mode": "Pipe"} | fields)


def fifo(pod: Pod, epoch: int, channel: str = "train") -> Path:
    return pod.ml / f"input/data/{channel}_{epoch}"


def read(pod: Pod, epoch: int, channel: str = "train", most: int = -1) -> bytes:
    """An epoch as a program reads it: waits for the FIFO, reads (`most` bytes), closes."""
    path = fifo(pod, epoch, channel)
    wait_for(f"{path.name}", path.exists)
    with path.open("rb") as file:
        return file.read(most)


def begins(one: Job) -> None:
    """Everything is staged and training runs."""
    for pod in one.pods:
        pod.start()
    processes = [pod.stage_in_background() for pod in one.pods]
    assert [process.wait(60) for process in processes] == [0] * len(one.pods)
    for pod in one.pods:
        pod.probe()


def ends(pod: Pod, code: int = 0) -> Any:
    pod.training_ends(code)
    return pod.end()


def records(content: bytes) -> list[bytes]:
    """What is in RecordIO frames."""
    found = []
    while content:
        magic, size = struct.unpack("<II", content[:8])
        assert magic == 0xCED7230A
        end = 8 + size + -size % 4
        assert not content[8 + size : end].strip(b"\0")
        found.append(content[8 : 8 + size])
        content = content[end:]
    return found


def test_each_epoch_is_a_fifo_with_all_objects_in_the_order_of_their_keys(one: Job) -> None:
    one.put("data/b", "data/a", "data/deep/c")
    one.put("data/empty", "data/folder/", body=b"")
    pipe(one)
    begins(one)
    assert sorted(path.name for path in (one.pod.ml / "input/data").iterdir()) == ["train_0"]
    report = one.pod.staged_report()
    assert (report.objects, report.bytes) == (4, len("data/adata/bdata/deep/c"))
    for epoch in range(4):
        assert read(one.pod, epoch) == b"data/adata/bdata/deep/c"
    config = json.loads((one.pod.ml / "input/config/inputdataconfig.json").read_text())
    assert config["train"]["TrainingInputMode"] == "Pipe"
    wait_for("the next FIFO alone", lambda: [p.name for p in (one.pod.ml / "input/data").iterdir()] == ["train_4"])
    assert ends(one.pod).result is Result.COMMITTED


def test_the_next_fifo_is_there_only_when_the_one_before_was_closed(one: Job) -> None:
    one.timing = replace(one.timing, fifo_left_open=60)
    one.put("data/a")
    pipe(one)
    begins(one)
    with fifo(one.pod, 0).open("rb") as file:
        assert file.read() == b"data/a"
        time.sleep(0.3)  # long for one that would not wait
        assert not fifo(one.pod, 1).exists()
    wait_for("the next FIFO", fifo(one.pod, 1).exists)
    ends(one.pod)


def test_a_program_that_never_closes_a_fifo_gets_the_next_one_all_the_same(one: Job) -> None:
    one.timing = replace(one.timing, fifo_left_open=0.5)
    one.put("data/a")
    pipe(one)
    begins(one)
    with fifo(one.pod, 0).open("rb") as kept:
        assert kept.read() == b"data/a"
        assert read(one.pod, 1) == b"data/a"
    ends(one.pod)


def test_a_reader_may_leave_early_and_finds_the_next_epoch_whole(one: Job) -> None:
    content = os.urandom(20 * MIB)
    one.put("data/big", body=content)
    pipe(one)
    begins(one)
    assert read(one.pod, 0, most=10) == content[:10]
    assert read(one.pod, 1, most=9 * MIB) == content[: 9 * MIB]
    assert read(one.pod, 2) == content
    assert ends(one.pod).result is Result.COMMITTED


def test_large_and_small_objects_arrive_whole_and_in_order(one: Job) -> None:
    large = {f"data/{name}": os.urandom(size) for name, size in (("a", 17 * MIB + 3), ("c", 8 * MIB), ("d", 9 * MIB))}
    small = {f"data/b{number:04}": f"{number:04}".encode() * 10 for number in range(1500)}
    for key, body in (large | small).items():
        one.put(key, body=body)
    pipe(one)
    begins(one)
    assert read(one.pod, 0) == b"".join(body for _, body in sorted((large | small).items()))
    ends(one.pod)


def test_what_is_fetched_ahead_of_a_slow_reader_is_bounded(one: Job) -> None:
    one.put(*(f"data/{number}" for number in range(20)), body=bytes(16 * MIB))
    pipe(one)
    begins(one)
    (process,) = wait_for("the process", lambda: [p for p in children(one.pod.process.pid) if b"pipe" in command_of(p)])
    most = 0
    with fifo(one.pod, 0).open("rb", buffering=0) as file:
        while file.read(4 * MIB):
            most = max(most, _resident(process))
    assert 30 * MIB < most < 200 * MIB, most
    ends(one.pod)


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_gzip_is_unzipped_on_the_way_and_members_follow_each_other(one: Job) -> None:
    one.put("data/a", body=gzip.compress(b"one,") + gzip.compress(b"two,") + bytes(100))
    one.put("data/b", body=gzip.compress(bytes(50 * MIB)))
    one.put("data/c", body=b"")
    one.put("data/d", body=gzip.compress(os.urandom(10 * MIB)) + gzip.compress(b",end"))
    pipe(one, compression="Gzip")
    begins(one)
    found = read(one.pod, 0)
    assert found.startswith(b"one,two,\0")
    assert found.endswith(b",end")
    assert len(found) == 8 + 50 * MIB + 10 * MIB + 4
    config = json.loads((one.pod.ml / "input/config/inputdataconfig.json").read_text())
    assert config["train"]["CompressionType"] == "Gzip"
    ends(one.pod)


@pytest.mark.parametrize("compression", ["None", "Gzip"])
def test_recordio_wraps_each_object_in_one_record(one: Job, compression: str) -> None:
    bodies = [b"", b"a", b"abcd", os.urandom(20 * MIB), b"x" * 5]
    for number, body in enumerate(bodies):
        one.put(f"data/{number}", body=gzip.compress(body, 1) if compression == "Gzip" else body)
    pipe(one, record_wrapper="RecordIO", compression=compression)
    begins(one)
    assert records(read(one.pod, 0)) == bodies
    ends(one.pod)


def test_a_seed_gives_every_epoch_another_order_that_every_run_repeats(one: Job) -> None:
    one.put(*(f"data/{number}" for number in range(8)))
    pipe(one, shuffle_seed=7, record_wrapper="RecordIO")
    begins(one)
    found = [records(read(one.pod, epoch)) for epoch in range(3)]
    assert all(sorted(epoch) == [f"data/{number}".encode() for number in range(8)] for epoch in found)
    assert found[0] != found[1] != found[2]
    ends(one.pod)


@pytest.mark.parametrize("seed", [None, 7])
def test_hosts_share_an_epoch_and_with_a_seed_each_epoch_anew(
    server: S3Server, tmp_path: Path, seed: int | None
) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        two.put(*(f"data/{number:02}" for number in range(21)))
        pipe(two, distribution="ShardedByS3Key", shuffle_seed=seed, record_wrapper="RecordIO")
        begins(two)
        shares = []
        for epoch in range(2):
            found = [records(read(pod, epoch)) for pod in two.pods]
            assert [len(share) for share in found] == [11, 10]
            assert sorted(found[0] + found[1]) == [f"data/{number:02}".encode() for number in range(21)]
            shares.append(sorted(found[0]))
        assert (shares[0] == shares[1]) is (seed is None)
        assert [pod.staged_report().objects for pod in two.pods] == [11, 10]
        assert [pod.staged_report().bytes for pod in two.pods] == [77, 70]


def test_shares_by_size_stay_with_their_hosts_whatever_the_order(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        two.put("data/a", body=b"a" * 30)
        two.put(*(f"data/{number}" for number in range(5)), body=b"tiny")
        pipe(two, distribution="ShardedByS3Key", sharding="bytes", shuffle_seed=7, record_wrapper="RecordIO")
        begins(two)
        for epoch in range(2):
            assert [records(read(pod, epoch)) for pod in two.pods] == [[b"a" * 30], [b"tiny"] * 5]
        assert [pod.staged_report().bytes for pod in two.pods] == [30, 20]


def test_a_host_without_objects_finds_an_empty_epoch(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        two.put("data/a")
        pipe(two, distribution="ShardedByS3Key")
        begins(two)
        assert [read(pod, 0) for pod in two.pods] == [b"data/a", b""]


def test_a_manifest_is_streamed_in_its_own_order(one: Job) -> None:
    one.put("data/a", "data/b", "data/c")
    one.put("list", body=json.dumps([{"prefix": one.uri("data/")}, "c", "a", "c"]).encode())
    pipe(one, "list", data_type="ManifestFile")
    begins(one)
    assert read(one.pod, 0) == b"data/cdata/adata/c"
    assert not (one.pod.ml / "input/data/train-manifest").exists()
    ends(one.pod)


def augmented(one: Job, *lines: str, **fields: Any) -> None:
    one.put("list", body="\n".join(lines).encode())
    pipe(one, "list", **({"data_type": "AugmentedManifestFile", "attribute_names": ["source-ref", "class"]} | fields))


def test_an_augmented_manifest_streams_the_named_attributes_of_each_line(one: Job) -> None:
    large = os.urandom(11 * MIB)
    one.put("img/1", "img/ü 2")
    one.put("img/large", body=large)
    one.put("img/none", body=b"")
    lines = [
        json.dumps({"source-ref": one.uri(key), "class": value, "class-metadata": {"confidence": 1}})
        for key, value in (("img/1", 0), ("img/ü 2", "ö"), ("img/large", [1, 2]), ("img/none", None))
    ]
    augmented(one, lines[0], "", *lines[1:], record_wrapper="RecordIO")
    begins(one)
    expected = [b"img/1", b"0", "img/ü 2".encode(), '"ö"'.encode(), large, b"[1, 2]", b"", b"null"]
    assert records(read(one.pod, 0)) == expected
    assert one.pod.staged_report().objects == 4
    ends(one.pod)


def test_without_records_attributes_follow_each_other_in_the_order_of_their_names(one: Job) -> None:
    one.put("img/1")
    line = json.dumps({"class": 5, "source-ref": one.uri("img/1")})
    augmented(one, line, line, attribute_names=["class", "source-ref"])
    begins(one)
    assert read(one.pod, 0) == b"5img/15img/1"
    ends(one.pod)


def test_hosts_share_the_lines_of_an_augmented_manifest(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        lines = [json.dumps({"class": number}) for number in range(5)]
        augmented(two, *lines, attribute_names=["class"], distribution="ShardedByS3Key")
        begins(two)
        assert [read(pod, 0) for pod in two.pods] == [b"024", b"13"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "has in line 2 no JSON"),
        ("[1]", "has in line 2 no JSON object"),
        ('{"source-ref": "s3://b/k"}', 'has in line 2 no attribute "class"'),
        ('{"source-ref": "k", "class": 1}', 'has in line 2 as "source-ref" no object ("k")'),
        ('{"source-ref": "s3://b", "class": 1}', 'has in line 2 as "source-ref" no object'),
        ('{"class": "' + "x" * MIB + '"}', "has a line 2 of more than 1048576 bytes"),
    ],
    ids=range(6),
)
def test_a_line_that_is_no_sample_is_named_before_training(one: Job, line: str, words: str) -> None:
    good = json.dumps({"source-ref": "s3://b/k", "class": 1})
    augmented(one, good, line, good)
    report = one.pod.stage(code=1)
    assert report.reason == "DataDownloadFailed"
    assert f'the manifest {one.uri("list")} of channel "train" {words}' in (report.message or "")


@pytest.mark.parametrize("data_type", ["S3Prefix", "ManifestFile", "AugmentedManifestFile"])
def test_nothing_to_stream_fails_before_training(one: Job, data_type: str) -> None:
    empty = {"S3Prefix": None, "ManifestFile": json.dumps([{"prefix": "s3://b/"}]), "AugmentedManifestFile": "\n"}
    if (document := empty[data_type]) is not None:
        one.put("none", body=document.encode())
    pipe(one, "none", data_type=data_type, attribute_names=["a"])
    assert one.pod.stage(code=1).reason == "NoData"


def test_a_pipe_needs_no_disk_and_lies_beside_a_channel_of_files(one: Job) -> None:
    one.put("data/a", body=bytes(1000))
    one.put("small/b", body=b"b")
    one.channels({"s3_uri": one.uri("data/"), "input_mode": "Pipe"}, {"name": "files", "s3_uri": one.uri("small/")})
    one.change(volume_bytes=10)
    begins(one)
    assert read(one.pod, 0) == bytes(1000)
    assert (one.pod.ml / "input/data/files/b").read_bytes() == b"b"
    ends(one.pod)


def test_channels_do_not_wait_for_each_other(one: Job) -> None:
    for name in ("a", "b"):
        one.put(f"{name}/big", body=name.encode() * (30 * MIB))
    one.channels(*({"name": name, "s3_uri": one.uri(f"{name}/"), "input_mode": "Pipe"} for name in ("a", "b")))
    begins(one)
    with fifo(one.pod, 0, "a").open("rb") as first:
        assert first.read(1) == b"a"
        assert len(read(one.pod, 0, "b")) == 30 * MIB
        assert len(first.read()) == 30 * MIB - 1
    ends(one.pod)


# -- ends


def test_training_that_never_opens_a_fifo_ends_as_any_other(one: Job) -> None:
    one.put("data/a")
    pipe(one)
    begins(one)
    report = ends(one.pod)
    assert (report.result, report.stop_reason) == (Result.COMMITTED, None)


def test_training_that_ends_in_the_middle_of_an_epoch_has_not_failed_by_that(one: Job) -> None:
    one.put("data/a", body=bytes(50 * MIB))
    pipe(one)
    begins(one)
    file = fifo(one.pod, 0).open("rb", buffering=0)
    file.read(MIB)
    one.pod.training_ends(0)
    one.pod.released()
    file.close()
    report = one.pod.end()
    assert (report.result, report.stop_reason) == (Result.COMMITTED, None)
    assert one.manifest()["outcome"] == "Completed"


def blocked_reader(pod: Pod, epoch: int = 0) -> Future[int]:
    """A program that reads an epoch to what it takes for its end, and gives the number of bytes."""
    return ThreadPoolExecutor(1).submit(lambda: len(read(pod, epoch)))


def refused(pod: Pod) -> bool:
    """Does the agent want training ended?"""
    return pod.answers[-1:] == [503]


def check_failed(one: Job, words: str) -> None:
    """The kubelet kills training, whatever it answers to that, and the job has failed."""
    one.pod.training_ends(0)
    report = one.pod.end()
    assert report.stop_reason is StopReason.INPUT_FAILED
    assert words in (report.stop_message or ""), report
    assert one.manifest()["outcome"] == "Failed"


def test_an_object_that_changes_in_the_middle_of_the_stream_never_looks_like_its_end(one: Job) -> None:
    one.put("data/a", body=bytes(100 * MIB))
    one.put("data/b", body=b"old")
    pipe(one)
    begins(one)
    one.put("data/b", body=b"new")
    reader = blocked_reader(one.pod)
    wait_for("the refused probe", lambda: refused(one.pod))
    assert not reader.done(), "the reader must not see an end"
    check_failed(one, f"ClientError: Data download failed:{one.uri('data/b')} has changed since it was listed")
    assert reader.result(20) == 100 * MIB


def test_a_stream_that_breaks_off_costs_no_checkpoint(one: Job) -> None:
    one.put("data/a", body=b"no gzip")
    pipe(one, compression="Gzip")
    one.put("ck/step-1", body=b"earlier")
    one.keep_checkpoints(interval=3600)
    begins(one)
    blocked_reader(one.pod)
    wait_for("the refused probe", lambda: refused(one.pod))
    assert (one.pod.ml / "checkpoints/step-1").read_bytes() == b"earlier"
    one.pod.write({"step-2": b"written at the end"}, "checkpoints")
    check_failed(one, "is no complete gzip data")
    assert one.checkpoints() == {"step-1": b"earlier", "step-2": b"written at the end"}


def test_an_object_that_is_no_gzip_fails_the_job_by_name(one: Job) -> None:
    one.put("data/a", body=gzip.compress(b"fine"))
    one.put("data/b", body=gzip.compress(os.urandom(MIB))[:-20])
    one.put("data/c", body=b"plain text, and no gzip at all")
    pipe(one, compression="Gzip")
    begins(one)
    reader = blocked_reader(one.pod)
    wait_for("the refused probe", lambda: refused(one.pod))
    assert not reader.done()
    check_failed(one, f'the object {one.uri("data/b")} of channel "train" is no complete gzip data')


@pytest.mark.parametrize("size", [100, 20 * MIB], ids=["one request", "several"])
def test_an_object_that_arrives_damaged_fails_the_job_by_name(one: Job, size: int) -> None:
    one.server.client.put_object(Bucket=one.bucket, Key="data/a", Body=os.urandom(size), ChecksumAlgorithm="CRC32")
    pipe(one)
    one.change(download_retry_seconds=1)
    begins(one)
    assert len(read(one.pod, 0)) == size
    one.server.damage(one.bucket, "data/a")
    # The next epoch was fetched ahead by the time of the damage, at least in part.
    for epoch in (1, 2):
        reader = blocked_reader(one.pod, epoch)
        wait_for("its end, or a refused probe", lambda reader=reader: reader.done() or refused(one.pod))
    assert not reader.done(), "the reader must not see an end"
    check_failed(one, "arrived damaged: its CRC32 is ")


def test_an_object_of_an_augmented_manifest_that_is_missing_fails_the_job_by_name(one: Job) -> None:
    one.put("img/1")
    lines = [json.dumps({"source-ref": one.uri(key), "class": 1}) for key in ("img/1", "img/2")]
    augmented(one, *lines)
    begins(one)
    reader = blocked_reader(one.pod)
    wait_for("the refused probe", lambda: refused(one.pod))
    assert not reader.done()
    check_failed(one, one.uri("img/2"))


def test_connections_that_break_cost_a_retry_and_no_data(server: S3Server, one: Job) -> None:
    content = os.urandom(40 * MIB)
    one.put("data/a", body=content)
    proxy = Proxy(server)
    one.change(store=one.plan.store.but(endpoint_url=proxy.url), download_retry_seconds=30)
    pipe(one)
    proxy.cuts = 6
    begins(one)
    assert read(one.pod, 0) == content
    assert proxy.cuts == 0
    ends(one.pod)
    proxy.close()


def test_credentials_that_are_taken_away_in_the_middle_of_the_stream_fail_the_job(one: Job) -> None:
    one.put("data/a", body=bytes(200 * MIB))
    pipe(one)
    begins(one)
    with fifo(one.pod, 0).open("rb", buffering=0) as file:
        file.read(MIB)
        one.set_credentials(secret="wrong")
        time.sleep(KEEP_SECONDS + 0.1)  # so long the agent may use what it has read
        reading = threading.Thread(target=lambda: [None for _ in iter(lambda: file.read(4 * MIB), b"")], daemon=True)
        reading.start()
        wait_for("the refused probe", lambda: refused(one.pod))
        assert reading.is_alive(), "the reader must not see an end"
        one.set_credentials()
        check_failed(one, 'refuses the keys in Secret "s3-keys"')
        reading.join(20)


def _pipe_process(one: Job) -> int:
    assert one.pod.process
    pid = one.pod.process.pid
    return int(wait_for("the pipe process", lambda: [p for p in children(pid) if b"\0pipe\0" in command_of(p)])[0])


def test_a_pipe_process_that_dies_between_epochs_is_started_again_unnoticed(one: Job) -> None:
    one.put("data/a")
    pipe(one)
    begins(one)
    assert read(one.pod, 0) == b"data/a"
    wait_for("the next FIFO", fifo(one.pod, 1).exists)
    process = _pipe_process(one)
    os.kill(process, signal.SIGKILL)
    wait_for("its end", lambda: not Path(f"/proc/{process}").exists())
    assert read(one.pod, 1) == b"data/a"
    assert ends(one.pod).stop_reason is None


def test_a_pipe_process_that_never_lives_fails_the_job(one: Job) -> None:
    one.put("data/a")
    pipe(one)
    begins(one)
    (one.pod.state / "pipes/train.records.index").unlink()  # whatever it needs
    one.pod.kill()
    one.pod.start()
    wait_for("the refused probe", lambda: refused(one.pod))
    check_failed(one, "InternalServerError: ")


def test_a_pipe_process_that_is_killed_again_and_again_fails_the_job(one: Job) -> None:
    one.put("data/a")
    pipe(one)
    begins(one)
    killed = 0

    def gone() -> bool:
        nonlocal killed
        for process in [p for p in children(one.pod.process.pid) if b"\0pipe\0" in command_of(p)]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                killed += 1
        return refused(one.pod)

    wait_for("the refused probe", gone, 60)
    assert killed >= 6
    check_failed(one, "ended 6 times as soon as it was started")


def test_a_pipe_process_that_dies_in_the_middle_of_an_epoch_fails_the_job(one: Job) -> None:
    one.put("data/a", body=bytes(100 * MIB))
    pipe(one)
    begins(one)
    with fifo(one.pod, 0).open("rb", buffering=0) as file:
        file.read(MIB)
        os.kill(_pipe_process(one), signal.SIGKILL)
        wait_for("the refused probe", lambda: refused(one.pod))
    check_failed(one, "InternalServerError: Data download failed:the stream of channel train broke off")


def test_a_sidecar_that_is_killed_between_epochs_goes_on_with_the_next(one: Job) -> None:
    one.put("data/a")
    pipe(one)
    begins(one)
    assert read(one.pod, 0) == b"data/a"
    wait_for("the next FIFO", fifo(one.pod, 1).exists)
    one.pod.kill()
    one.pod.start()
    assert read(one.pod, 1) == b"data/a"
    assert ends(one.pod).stop_reason is None


def test_a_sidecar_that_is_killed_in_the_middle_of_an_epoch_fails_the_job(one: Job) -> None:
    one.put("data/a", body=bytes(100 * MIB))
    pipe(one)
    begins(one)
    with fifo(one.pod, 0).open("rb", buffering=0) as file:
        file.read(MIB)
        one.pod.kill()
        one.pod.start()
        wait_for("the refused probe", lambda: refused(one.pod))
    check_failed(one, "InternalServerError: Data download failed:the stream of channel train broke off")


def test_another_hosts_broken_stream_fails_the_result_of_all(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        two.put("data/0")
        two.put("data/1", body=b"no gzip")
        two.put("data/0", body=gzip.compress(b"fine"))
        pipe(two, distribution="ShardedByS3Key", compression="Gzip")
        begins(two)
        assert read(two.pods[0], 0) == b"fine"
        blocked_reader(two.pods[1])
        wait_for("the refused probe", lambda: refused(two.pods[1]))
        for pod in two.pods:
            pod.training_ends(0)
        for pod in two.pods:
            pod.released()
        reports = [pod.terminate() for pod in two.pods]
        assert [report.stop_reason for report in reports] == [None, StopReason.INPUT_FAILED]
        assert two.manifest()["outcome"] == "Failed"


# -- the example


EXAMPLE = Path(__file__).resolve().parents[2] / "examples/pipe/train.py"


def run_example(one: Job) -> subprocess.CompletedProcess[str]:
    (one.pod.ml / "input/config/hyperparameters.json").write_text(json.dumps({"epochs": "4", "learning_rate": "0.2"}))
    command = [sys.executable, str(EXAMPLE), "train", f"--base={one.pod.ml}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_example_fits_a_line_to_what_it_is_streamed(one: Job) -> None:
    for number in range(3):
        rows = ((number + 3 * row) / 300 for row in range(100))
        one.put(f"data/{number}", body=gzip.compress("".join(f"{2 * x + 1},{x}\n" for x in rows).encode()))
    pipe(one, compression="Gzip", shuffle_seed=7)
    begins(one)
    done = run_example(one)
    assert done.returncode == 0, done.stderr
    assert "epoch=3 rows=300 train:rmse=0.0" in done.stdout
    ends(one.pod)
    model = json.loads(one.model()["model.json"])
    assert (round(model["slope"], 1), round(model["intercept"], 1)) == (2.0, 1.0)


def test_the_example_says_which_row_it_cannot_read(one: Job) -> None:
    one.put("data/a", body=b"1,2\n3,4")
    one.put("data/b", body=b"5,6\n")  # its first row is glued to the last of the other object
    pipe(one)
    begins(one)
    assert run_example(one).returncode == 2
    assert (one.pod.ml / "output/failure").read_text() == "row 2 is not two numbers: '3,45,6'"
    ends(one.pod, 2)
