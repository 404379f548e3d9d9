"""outputDataConfig.kmsKeyID on three S3 servers: one that knows KMS keys (moto), one that passes over them (versitygw), and one that
refuses them (rclone). None has ETags that are no MD5, as S3 has of such objects: that is shown by the unit tests of `Store`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.agent_rig import JOB_ID, Job
from tests.support.s3servers import job_on
from trainyard.agent.app import publish
from trainyard.agent.app.settings import Settings
from trainyard.api.plan import FolderPlan
from trainyard.api.report import Result

KEYS = ["alias/models", "arn:aws:kms:eu-west-1:123456789012:key/0f6c1a52-7d0e-4a3f-9b3e-2b7f4f0f8a11", "0f6c1a52-7d0e"]
MIB = 1024 * 1024


def encrypt(one: Job, key: str) -> None:
    one.change(store=one.plan.store.but(kms_key=key))


def keys_of_objects(one: Job) -> dict[str, str | None]:
    """The KMS key of every object in the bucket."""
    heads = {key: one.server.client.head_object(Bucket=one.bucket, Key=key) for key in one.server.keys(one.bucket)}
    return {key: head.get("SSEKMSKeyId") for key, head in heads.items()}


def run(one: Job) -> None:
    """A job that writes all that a job can write, small objects and such of several parts."""
    one.keep_checkpoints()
    folder = FolderPlan(
        what="TensorBoard files", s3_uri=one.uri("tb/"), local_path="/opt/ml/output/tb", directory="output/tb"
    )
    one.change(folders=[folder])
    one.pod.start()
    one.pod.run_training({"large": os.urandom(20 * MIB), "small": b"1"})
    one.pod.write({"scores": b"2"}, "output/data")
    one.pod.write({"step-1": b"3", "step-2": os.urandom(10 * MIB)}, "checkpoints")
    one.pod.write({"events": b"4"}, "output/tb")
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED


@pytest.mark.parametrize("key", KEYS, ids=["alias", "ARN", "id"])
@pytest.mark.parametrize("compression", ["GZIP", "NONE"])
def test_every_object_that_a_job_puts_out_is_encrypted_with_the_key(tmp_path: Path, key: str, compression: str) -> None:
    with job_on("moto", tmp_path) as one:
        encrypt(one, key)
        one.change(compression=compression)
        run(one)
        pod = one.pod
        settings = Settings(
            "algo-1", ml=pod.ml, state=pod.root / "other", plan=pod.root / "plan.json", credentials=one.credentials, timing=one.timing
        )  # fmt: skip
        settings.state.mkdir()
        # Of another attempt: of this one algo-1 has the files already.
        later = one.plan.but(job=one.plan.job.but(attempt=2))
        publish.Publisher(settings, later, lambda *_, **__: None).share(publish.Job())
        found = keys_of_objects(one)
        model = {"output/model.tar.gz"} if compression == "GZIP" else {"output/model/large", "output/model/small"}
        data = {"output/output.tar.gz"} if compression == "GZIP" else {"output/data/scores"}
        own = {"trainyard-attempt.json", "trainyard-manifest.json"}
        written = {f"out/Job/{name}" for name in model | data | own} | {"ck/step-1", "ck/step-2", "tb/events"}
        assert written < set(found)
        assert any(f"trainyard-shares/{JOB_ID}-2/algo-1/" in name for name in found)
        assert {name: used for name, used in found.items() if used != key} == {"ck/step-1": None, "ck/step-2": None}
        assert not one.server.uploads(one.bucket)


def test_without_a_key_nothing_is_asked_for(tmp_path: Path) -> None:
    with job_on("moto", tmp_path) as one:
        run(one)
        assert set(keys_of_objects(one).values()) == {None}


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("versitygw", "and did not encrypt it with the KMS key"),
        ("rclone", "NotImplemented: Server Side Encryption with KMS managed keys is not supported"),
    ],
)
def test_a_server_without_kms_fails_the_job_before_training_and_says_what_to_do(
    tmp_path: Path, server: str, words: str
) -> None:
    with job_on(server, tmp_path) as one:
        encrypt(one, "alias/models")
        report = one.pod.stage(code=1)
        assert report.result is Result.FAILED
        message = report.message or ""
        assert message.startswith("ClientError: Artifact upload failed:S3 at http://")
        assert words in message
        assert '"alias/models" of outputDataConfig.kmsKeyID' in message
