"""Jobs that cannot succeed: each ends, soon, with a reason that names the object and the fix."""

from __future__ import annotations

import time

import pytest

from tests.e2e.jobs import channel, ended, eventually, manifest, path_of
from tests.e2e.site import IMAGE_PULL_TIMEOUT, Desk


def test_an_exit_code_with_a_failure_file_is_told_in_its_words(desk: Desk) -> None:
    job = desk.submit(
        manifest(
            "exit-3",
            desk.images["test-train"],
            desk.bucket,
            hyper={"exit": "3", "failure": "x" * 2400, "write": {"a": "b"}},
        )
    )
    status = job.ends()
    assert (status["trainingJobStatus"], path_of(status)[-2:]) == ("Failed", ["Uploading", "Failed"])
    reason = status["failureReason"]
    assert reason.startswith("AlgorithmError: xxx")
    assert reason.endswith(", exit code: 3")
    assert len(reason) <= 1024
    assert job.model() == {"a": b"b"}, "what a failed job wrote is uploaded as well"
    assert job.condition("Failed")["status"] == "True"
    assert job.condition("Stalled")["status"] == "True"


def test_an_exit_code_without_a_failure_file_is_told_by_the_code(desk: Desk) -> None:
    status = desk.submit(manifest("exit-1", desk.images["test-train"], desk.bucket, hyper={"exit": "1"})).ends()
    assert status["failureReason"] == "AlgorithmError: , exit code: 1"


def test_one_failing_host_ends_the_others_and_its_reason_wins(desk: Desk) -> None:
    job = desk.submit(
        manifest(
            "half",
            desk.images["test-train"],
            desk.bucket,
            hosts=2,
            hyper={
                "exit": "4@algo-2",
                "failure": "boom",
                "term": "handle",
                "write": {"a": "b"},
                # By itself algo-1 would be at work for longer than the job is waited for.
                "lines": {"algo-1": [[1000, "not told to end"]]},
            },
        )
    )
    status = job.ends(within=240)
    assert status["trainingJobStatus"] == "Failed"
    assert status["failureReason"] == "AlgorithmError: boom, exit code: 4"
    assert {host["name"]: host["exitCode"] for host in status["hosts"]} == {"algo-1": 0, "algo-2": 4}
    (failed,) = (pod for pod in job.pods if pod["metadata"]["name"] == "half-1-algo-2")
    assert job.told_to_end("half-1-algo-1", within=10) >= ended(failed)


@pytest.mark.parametrize("who", ["allocate", "child"])
def test_memory_over_the_limit_is_a_client_error_that_names_host_and_limit(desk: Desk, who: str) -> None:
    status = desk.submit(manifest(f"oom-{who}", desk.images["test-train"], desk.bucket, hyper={who: "2000"})).ends()
    reason = status["failureReason"]
    assert reason.startswith("ClientError: Please use an instance type with more memory")
    assert "Training on host algo-1 was killed at its memory limit of 384 MiB (ml.test.tiny)" in reason


def test_a_full_storage_volume_is_a_client_error_that_names_its_size(desk: Desk) -> None:
    # Such an eviction has no grace, and sets no DisruptionTarget.
    hyper = {"megabytes": "1200", "seconds": "1000"}
    job = desk.submit(manifest("disk-full", desk.images["test-train"], desk.bucket, hyper=hyper))
    status = job.ends(within=300)
    (pod,) = job.pods
    assert "DisruptionTarget" not in [condition["type"] for condition in pod["status"]["conditions"]]
    reason = status["failureReason"]
    assert reason.startswith(
        "ClientError: the storage volume of host algo-1 is full (resourceConfig.volumeSizeInGB: 1)"
    )
    assert "Raise volumeSizeInGB" in reason
    assert job.condition("Failed")["reason"] == "DiskFull"


@pytest.mark.timeout(IMAGE_PULL_TIMEOUT + 300)
@pytest.mark.parametrize(
    ("name", "image", "limit"),
    [
        ("bad-name", "localhost/Not-A-Name:1", 40),
        ("missing", "localhost/trainyard/no-such-image:1", IMAGE_PULL_TIMEOUT + 70),
    ],
)
def test_an_image_that_cannot_be_had_is_named_before_any_download(
    desk: Desk, name: str, image: str, limit: float
) -> None:
    job = desk.submit(manifest(name, image, desk.bucket))
    desk.eventually_says(job, image, within=30)
    status = job.ends(within=limit)
    assert status["trainingJobStatus"] == "Failed"
    assert status["failureReason"].startswith("ClientError: ")
    assert image in status["failureReason"]
    assert "Training" not in path_of(status)
    desk.pods_are_over(job)


def test_an_image_without_train_says_what_to_do(desk: Desk) -> None:
    status = desk.submit(manifest("no-train", desk.images["test-bare"], desk.bucket)).ends()
    assert status["failureReason"].startswith("ClientError: ")
    assert "train" in status["failureReason"]
    assert "containerEntrypoint" in status["failureReason"]


def test_an_entrypoint_that_is_no_program_is_told_as_such(desk: Desk) -> None:
    spec = manifest("no-program", desk.images["test-train"], desk.bucket)
    spec["spec"]["algorithmSpecification"]["containerEntrypoint"] = ["/etc/passwd"]
    job = desk.submit(spec)
    status = job.ends()
    assert "'/etc/passwd' cannot be executed: permission denied" in status["failureReason"]
    assert job.condition("Failed")["reason"] == "NotExecutable"
    assert status["hosts"][0]["exitCode"] == 128


def test_no_data_gives_the_documented_text_and_training_never_starts(desk: Desk) -> None:
    uri = desk.bucket.uri("nothing/here")
    job = desk.submit(
        manifest("no-data", desk.images["test-train"], desk.bucket, hosts=2, channels=[channel("train", uri)])
    )
    status = job.ends()
    assert status["failureReason"].startswith(
        f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" given in input data source.'
        " Please ensure that the bucket exists in the selected region (us-east-1), that objects exist under that S3 prefix"
    )
    assert "Training" not in path_of(status)
    desk.pods_are_over(job)


def test_a_bucket_that_does_not_exist_is_named(desk: Desk) -> None:
    job = desk.submit(
        manifest(
            "no-bucket", desk.images["test-train"], desk.bucket, channels=[channel("train", "s3://no-such-bucket/a")]
        )
    )
    status = desk.fails_within(job, 30)
    assert status["failureReason"].startswith("ClientError: ")
    assert "no-such-bucket" in status["failureReason"]


def test_an_output_bucket_that_does_not_exist_fails_before_training(desk: Desk) -> None:
    spec = manifest("no-out", desk.images["test-train"], desk.bucket)
    spec["spec"]["outputDataConfig"]["s3OutputPath"] = "s3://no-such-bucket/out"
    status = desk.fails_within(desk.submit(spec), 30)
    assert status["failureReason"].startswith("ClientError: ")
    assert "no-such-bucket" in status["failureReason"]
    assert "Training" not in path_of(status)


def test_missing_credentials_name_the_secret_and_how_to_make_it(desk: Desk) -> None:
    desk.role("default", secret="nowhere")
    status = desk.fails_within(desk.submit(manifest("no-secret", desk.images["test-train"], desk.bucket)), 30)
    assert status["failureReason"].startswith("ClientError: ")
    assert '"nowhere"' in status["failureReason"]
    assert "kubectl create secret" in status["failureReason"]


def test_wrong_credentials_are_told_as_no_access(desk: Desk) -> None:
    desk.secret("wrong", "nobody", "nothing-at-all")
    desk.role("default", secret="wrong")
    status = desk.fails_within(desk.submit(manifest("no-access", desk.images["test-train"], desk.bucket)), 30)
    assert status["failureReason"].startswith("ClientError: ")
    assert "wrong" in status["failureReason"]


def test_an_unknown_instance_type_is_a_condition_and_a_failed_job(desk: Desk) -> None:
    spec = manifest("no-type", desk.images["test-train"], desk.bucket)
    spec["spec"]["resourceConfig"]["instanceType"] = "ml.no.such"
    job = desk.submit(spec)
    eventually("Accepted is False", lambda: job.condition("Accepted").get("status") == "False", within=10)
    status = desk.fails_within(job, 30)
    assert "ml.no.such" in status["failureReason"]
    assert "InstanceType" in status["failureReason"]
    assert job.pods == []


def test_an_unknown_role_is_a_condition_and_a_failed_job(desk: Desk) -> None:
    arn = "arn:aws:iam::123456789012:role/none"
    job = desk.submit(manifest("no-role", desk.images["test-train"], desk.bucket, roleARN=arn))
    eventually("Accepted is False", lambda: job.condition("Accepted").get("status") == "False", within=10)
    status = desk.fails_within(job, 30)
    assert arn in status["failureReason"]
    assert "ExecutionRole" in status["failureReason"]


def test_a_role_that_comes_late_is_waited_for(desk: Desk) -> None:
    arn = "arn:aws:iam::123456789012:role/late"
    job = desk.submit(manifest("late-role", desk.images["test-train"], desk.bucket, roleARN=arn))
    eventually("Accepted is False", lambda: job.condition("Accepted").get("status") == "False", within=10)
    desk.role("late", roleARN=arn)
    job.completes()


def test_a_refused_upload_is_held_with_its_reason_visible_and_fails_or_goes_on_once_access_is_repaired(
    desk: Desk,
) -> None:
    impatient = "arn:aws:iam::123456789012:role/impatient"
    desk.role("impatient", roleARN=impatient, uploadHoldSeconds=10)
    # Long enough for the bucket to be gone before the end, also on a busy machine; side by side, as it takes its time.
    hyper = {"write": {"a": "b"}, "seconds": "60"}
    image = desk.images["test-train"]
    refused = desk.submit(manifest("refused", image, desk.bucket, hyper=hyper, roleARN=impatient))
    repaired = desk.submit(manifest("repaired", image, desk.bucket, hyper=hyper))
    for job in (refused, repaired):
        job.trains()
    desk.forbid_writes()
    try:
        for job in (refused, repaired):
            assert job.status["secondaryStatus"] == "Training", "it must not have ended before the bucket was gone"
        for job in (refused, repaired):
            desk.eventually_says(job, "UploadBlocked", within=120)
        status = refused.ends(within=120)
    finally:
        desk.allow_writes()
    assert path_of(status)[-2:] == ["Uploading", "Failed"]
    assert status["failureReason"].startswith("ClientError: Artifact upload failed:")
    assert desk.bucket.name in status["failureReason"]
    repaired.completes(within=120)
    assert repaired.model() == {"a": b"b"}


def test_a_failed_job_leaves_nothing_running(desk: Desk) -> None:
    began = time.monotonic()
    job = desk.submit(manifest("over", desk.images["test-train"], desk.bucket, hyper={"exit": "7"}))
    job.ends()
    desk.pods_are_over(job)
    assert time.monotonic() - began < 120
