"""A whole job, from its data to a commit that the next attempt knows of, on each S3 server that there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.agent_rig import Job, Pod, wait_for
from tests.support.s3servers import SERVERS, job_on
from trainyard.api.report import Result

MIB = 1024 * 1024


def found(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def stage(one: Job) -> None:
    """On all hosts: each waits for the others."""
    others = [pod.stage_in_background() for pod in one.pods[1:]]
    one.pod.stage()
    assert [other.wait(30) for other in others] == [0] * len(others)


@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
@pytest.mark.parametrize("name", SERVERS)
def test_two_hosts_get_their_data_keep_checkpoints_and_leave_one_model(
    tmp_path: Path, name: str, compression: str
) -> None:
    with job_on(name, tmp_path, hosts=2) as two:
        first = two.pods[0]
        data = {"a": os.urandom(20 * MIB + 1), "b c+ü": b"small", "d/e/f": b"deep", "g": b""}
        for path, content in data.items():
            two.put(f"data/{path}", body=content)
        two.put("ck/step-1", "ck/old")
        two.channels(
            {"s3_uri": two.uri("data/")},
            {"name": "part", "s3_uri": two.uri("data/"), "distribution": "ShardedByS3Key"},
        )
        two.change(compression=compression)
        two.keep_checkpoints()
        for pod in two.pods:
            pod.start()
        stage(two)
        shares = [found(pod.ml / "input/data/part") for pod in two.pods]
        assert [found(pod.ml / "input/data/train") for pod in two.pods] == [data, data]
        assert (shares[0] | shares[1], len(shares[0]), len(shares[1])) == (data, 2, 2)
        assert found(first.ml / "checkpoints") == {"step-1": b"ck/step-1", "old": b"ck/old"}

        written = [{"large": os.urandom(30 * MIB), "same": b"1"}, {"same": b"2", "other": os.urandom(9 * MIB)}]
        for pod, content in zip(two.pods, written, strict=True):
            pod.write(content)
            pod.probe()
        kept = {"step-1": b"changed", "step-2": os.urandom(9 * MIB)}
        first.write(kept, "checkpoints")
        (first.ml / "checkpoints/old").unlink()
        # By their names: rclone gives out half of an object that is being replaced.
        now = {f"ck/{path}" for path in kept}
        wait_for(
            "the checkpoints", lambda: {key for key in two.server.keys(two.bucket) if key.startswith("ck/")} == now
        )
        for pod in two.pods:
            pod.training_ends()
        assert [pod.end().result for pod in reversed(two.pods)] == [Result.COMMITTED, Result.COMMITTED]
        assert two.artifact("out/Job/output/model") == written[1] | written[0]
        assert (two.manifest()["outcome"], two.manifest()["missingHosts"]) == ("Completed", [])
        assert two.checkpoints() == kept
        assert two.server.uploads(two.bucket) == []

        two.plan = two.plan.but(job=two.plan.job.but(attempt=2))
        again = Pod(two, first.host, tmp_path / "again")
        again.make()
        assert again.stage(code=1).result is Result.ALREADY_COMMITTED
        assert not (again.ml / "input/data/train/a").exists()
