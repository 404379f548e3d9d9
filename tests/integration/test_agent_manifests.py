"""Channels whose objects a ManifestFile names, staged by the real agent from a real S3 server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.agent_rig import Job, Pod, S3Server, job
from trainyard.api.plan import ChannelPlan
from trainyard.api.report import Result


@pytest.fixture
def one(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        yield made


def manifest(one: Job, *entries: object, prefix: str = "data/", **fields: object) -> bytes:
    """Writes a manifest and makes a channel of it."""
    document = json.dumps([{"prefix": one.uri(prefix)}, *entries]).encode()
    one.put("lists/train.json", body=document)
    one.channels({"s3_uri": one.uri("lists/train.json"), "data_type": "ManifestFile"} | fields)
    return document


def staged(pod: Pod) -> dict[str, bytes]:
    root = pod.ml / "input/data/train"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def failure(one: Job) -> tuple[str | None, str]:
    report = one.pod.stage(code=1)
    assert report.result is Result.FAILED
    return report.reason, report.message or ""


def test_what_the_manifest_names_arrives_under_its_relative_keys_and_nothing_else(one: Job) -> None:
    one.put("data/a", "data/deep/b", "data/.amazon.part", "data/not-named", "data/a b+c")
    one.put("data/empty", body=b"")
    document = manifest(one, "deep/b", "a", ".amazon.part", "empty", "a b+c")
    report = one.pod.stage()
    assert staged(one.pod) == {
        "a": b"data/a",
        "deep/b": b"data/deep/b",
        ".amazon.part": b"data/.amazon.part",
        "empty": b"",
        "a b+c": b"data/a b+c",
    }
    assert (report.objects, report.bytes) == (5, sum(map(len, staged(one.pod).values())))
    assert (one.pod.ml / "input/data/train-manifest").read_bytes() == document


def test_an_object_that_is_named_twice_is_one_file(one: Job) -> None:
    one.put("data/a")
    manifest(one, "a", "a")
    assert one.pod.stage().objects == 1


def test_a_large_object_and_many_small_ones_arrive_whole(one: Job) -> None:
    big = bytes(range(256)) * 80_000
    one.put("data/big", body=big)
    names = [f"n{number:04}" for number in range(1100)]
    one.put(*(f"data/{name}" for name in names))
    manifest(one, "big", *names)
    assert one.pod.stage().objects == 1101
    assert staged(one.pod)["big"] == big


def test_hosts_share_the_objects_that_are_named(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        two.put(*(f"data/{number}" for number in range(5)))
        manifest(two, "4", "2", "0", "1", "3", distribution="ShardedByS3Key")
        first, second = two.pods
        first.start()
        early = first.stage_in_background()
        second.stage()
        assert early.wait(20) == 0
        assert [sorted(staged(pod)) for pod in two.pods] == [["0", "2", "4"], ["1", "3"]]


def test_a_channel_that_is_called_like_a_manifest_keeps_its_directory(one: Job) -> None:
    one.put("data/a")
    manifest(one, "a")
    other = ChannelPlan(name="train-manifest", s3_uri=one.uri("data/"))
    one.change(channels=[*one.plan.channels, other])
    one.pod.stage()
    assert (one.pod.ml / "input/data/train-manifest/a").read_bytes() == b"data/a"


def test_an_object_that_is_missing_is_named(one: Job) -> None:
    one.put("data/a")
    manifest(one, "a", "gone")
    reason, message = failure(one)
    assert reason == "DataDownloadFailed"
    assert message == (
        f'ClientError: Data download failed:the manifest {one.uri("lists/train.json")} of channel "train" names '
        f"{one.uri('data/gone')}, which does not exist; write the object, or remove the entry"
    )


def test_a_bucket_that_is_missing_is_named(one: Job) -> None:
    document = json.dumps([{"prefix": "s3://no-such-bucket-here/"}, "a"])
    one.put("lists/x", body=document.encode())
    one.channels({"s3_uri": one.uri("lists/x"), "data_type": "ManifestFile"})
    reason, message = failure(one)
    assert reason == "NoSuchBucket"
    assert 'bucket "no-such-bucket-here" does not exist' in message


def test_a_manifest_that_is_missing_or_no_json_is_named(one: Job) -> None:
    one.channels({"s3_uri": one.uri("lists/none"), "data_type": "ManifestFile"})
    assert f'the manifest {one.uri("lists/none")} of channel "train" does not exist' in failure(one)[1]
    one.put("lists/none", body=b"[oops")
    reason, message = failure(one)
    assert reason == "DataDownloadFailed"
    assert f'the manifest {one.uri("lists/none")} of channel "train" is no JSON' in message


def test_a_wrong_secret_key_is_said_as_for_a_prefix(one: Job) -> None:
    one.put("out/x")
    manifest(one, "a")
    one.set_credentials(secret="wrong")
    assert failure(one)[0] == "AccessDenied"


@pytest.mark.parametrize("listed", [True, False], ids=["a prefix", "a manifest"])
def test_shares_by_size_divide_the_bytes_and_are_the_same_when_staged_again(
    server: S3Server, tmp_path: Path, listed: bool
) -> None:
    sizes = {"a": 900, "b": 10, "c": 20, "d": 870, "e": 30}
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=2) as two:
        for name, size in sizes.items():
            two.put(f"data/{name}", body=b"x" * size)
        by_size = {"distribution": "ShardedByS3Key", "sharding": "bytes"}
        if listed:
            two.channels({"s3_uri": two.uri("data/")} | by_size)
        else:
            manifest(two, *reversed(sizes), **by_size)
        first, second = two.pods
        first.start()
        for _ in range(2):
            early = first.stage_in_background()
            late = second.stage()
            assert early.wait(20) == 0
            assert [sorted(staged(pod)) for pod in two.pods] == [["a", "c"], ["b", "d", "e"]]
            reports = (first.staged_report(), late)
            assert [(report.objects, report.bytes) for report in reports] == [(2, 920), (3, 910)]


def test_only_hosts_of_the_named_groups_get_a_channel_and_share_it(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}", hosts=3) as three:
        three.put(*(f"data/{number}" for number in range(4)))
        groups = dict(zip(("algo-1", "algo-2", "algo-3"), ("leader", "workers", "workers"), strict=True))
        hosts = [host.but(instance_group=groups[host.name]) for host in three.plan.hosts]
        three.change(hosts=hosts)
        fields = {"s3_uri": three.uri("data/"), "distribution": "ShardedByS3Key", "instance_groups": ["workers"]}
        three.channels(fields)
        three.pods[0].start()
        background = [pod.stage_in_background() for pod in three.pods]
        assert [process.wait(30) for process in background] == [0, 0, 0]
        leader = three.pods[0].ml / "input"
        assert not (leader / "data/train").exists()
        assert json.loads((leader / "config/inputdataconfig.json").read_text()) == {}
        assert [sorted(staged(pod)) for pod in three.pods[1:]] == [["0", "2"], ["1", "3"]]


def test_a_manifests_objects_lie_under_their_whole_keys_if_asked(one: Job) -> None:
    one.put("data/deep/b")
    manifest(one, "deep/b", manifest_paths="key")
    one.pod.stage()
    assert list(staged(one.pod)) == ["data/deep/b"]
