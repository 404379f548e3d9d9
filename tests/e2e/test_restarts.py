"""Interruptions, retries, suspension, waiting for a name, and what is left after the end."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.jobs import Job, eventually, manifest, path_of
from tests.e2e.site import Desk, Site, open_desk

# Long enough to be found in training, short enough to be waited for; it ends at SIGTERM.
QUICK = {"seconds": "45", "term": "handle", "write": {"a": "b"}}
LONG = QUICK | {"seconds": "1000"}
WHOLE = ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def patched(job: Job, **spec: object) -> None:
    patch = json.dumps({"spec": spec})
    job.kubectl("patch", "trainingjob", job.name, "-n", job.namespace, "--type=merge", "-p", patch)


def pod_names(job: Job) -> list[str]:
    return [pod["metadata"]["name"] for pod in job.pods]


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[Desk]:
    with open_desk(site, "restarts") as desk:
        yield desk


@pytest.fixture(scope="module")
def evicted(shared: Desk) -> dict[str, Job]:
    """Jobs whose pods are evicted while they train, side by side."""
    image, bucket = shared.images["test-train"], shared.bucket
    retry = {"retryStrategy": {"maximumRetryAttempts": 1}}
    spot = {
        "enableManagedSpotTraining": True,
        "stoppingCondition": {"maxRuntimeInSeconds": 3600, "maxWaitTimeInSeconds": 7200},
    }
    jobs = {
        "retried": shared.submit(manifest("retried", image, bucket, hyper=QUICK, **retry)),
        "spot": shared.submit(manifest("spot", image, bucket, hosts=2, hyper=QUICK, **spot)),
        "neither": shared.submit(manifest("neither", image, bucket, hyper=LONG)),
    }
    for job in jobs.values():
        job.trains(within=180)
        shared.evict(f"{job.name}-1-algo-1")
    return jobs


def test_a_drained_job_with_a_retry_strategy_is_trained_again_and_completes(evicted: dict[str, Job]) -> None:
    job = evicted["retried"]
    status = job.completes(within=240)
    assert path_of(status) == ["Starting", "Downloading", "Training", *WHOLE]
    assert (status["attempt"], status["retryAttempts"]) == (2, 1)
    (record,) = status["earlierAttempts"]
    assert record["reason"] == "Retrying"
    assert "algo-1" in record["message"]
    assert "Eviction" in record["message"]
    assert pod_names(job) == ["retried-2-algo-1"], "the first attempt's pod has gone"
    assert job.model() == {"a": b"b"}
    assert job.manifest()["attempt"] == 2
    assert status["billableTimeInSeconds"] <= status["trainingTimeInSeconds"]


def test_a_drained_spot_job_starts_again_from_interrupted_with_all_its_hosts(evicted: dict[str, Job]) -> None:
    job = evicted["spot"]
    status = job.completes(within=240)
    assert path_of(status) == ["Starting", "Downloading", "Training", "Interrupted", *WHOLE]
    assert (status["attempt"], status["interruptions"]) == (2, 1)
    assert "retryAttempts" not in status
    assert pod_names(job) == ["spot-2-algo-1", "spot-2-algo-2"]
    assert [host["pod"] for host in status["hosts"]] == pod_names(job)
    assert "Interrupted" in [event["reason"] for event in job.events]


def test_a_drained_job_with_neither_fails_and_says_what_happened(evicted: dict[str, Job]) -> None:
    status = evicted["neither"].ends(within=240)
    assert status["failureReason"].startswith("InternalServerError: host algo-1 was lost")
    assert "Eviction" in status["failureReason"]
    assert status["attempt"] == 1


def test_a_suspended_job_has_no_pods_and_goes_on_when_it_may(desk: Desk) -> None:
    job = desk.submit(manifest("paused", desk.images["test-train"], desk.bucket, hyper=LONG))
    job.trains(within=180)
    patched(job, suspend=True)
    eventually("the pods are gone", lambda: not job.pods, within=120)
    job.kubectl("wait", f"tj/{job.name}", "-n", job.namespace, "--for=condition=Suspended", "--timeout=30s")
    status = job.status
    assert (status["trainingJobStatus"], status["secondaryStatus"]) == ("InProgress", "Interrupted")
    assert job.condition("Ready")["status"] == "True"
    assert job.model()["terminated"] == b"SIGTERM", "what it wrote until then is safe"
    patched(job, suspend=False)
    job.trains(within=120)
    assert pod_names(job) == ["paused-2-algo-1"]
    assert job.condition("Suspended")["status"] == "False"
    job.stop()
    status = job.ends(within=120)
    assert path_of(status)[-4:] == ["Downloading", "Training", "Stopping", "Stopped"]


def test_a_job_that_is_born_suspended_makes_nothing_until_it_may(desk: Desk) -> None:
    hyper = {"write": {"a": "b"}}
    job = desk.submit(manifest("born", desk.images["test-train"], desk.bucket, hyper=hyper, suspend=True))
    job.kubectl("wait", f"tj/{job.name}", "-n", job.namespace, "--for=condition=Suspended", "--timeout=30s")
    kinds = "pods,services,configmaps"
    assert job.kubectl.list(kinds, desk.namespace, f"trainyard.dev/job-name={job.name}") == []
    patched(job, suspend=False)
    status = job.completes(within=120)
    assert status["attempt"] == 1
    assert path_of(status) == WHOLE


def test_a_second_job_of_a_training_job_name_waits_until_the_first_is_deleted(desk: Desk) -> None:
    image = desk.images["test-train"]
    hyper = {"write": {"a": "1"}, "seconds": "10"}
    first = desk.submit(manifest("first", image, desk.bucket, hyper=hyper, trainingJobName="Same-Name"))
    first.reaches("Training", within=120)
    second = desk.submit(
        manifest("second", image, desk.bucket, hyper={"write": {"a": "2"}}, trainingJobName="Same-Name")
    )
    desk.eventually_says(second, "ResourceInUse", within=20)
    accepted = second.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "ResourceInUse")
    assert "Training job names must be unique" in accepted["message"]
    assert "TrainingJob first has it" in accepted["message"]
    first.completes(within=120)
    assert second.pods == []
    first.delete()
    second.completes(within=180)
    assert desk.bucket.archive("out/Same-Name/output/model.tar.gz") == {"a": b"2"}


def test_a_spot_job_without_capacity_ends_at_its_wait_limit(desk: Desk) -> None:
    desk.instance_type("ml.test.nowhere", nodeSelector={"no-such": "node"})
    limits = {"maxRuntimeInSeconds": 5, "maxWaitTimeInSeconds": 8}
    spec = manifest(
        "waits", desk.images["test-train"], desk.bucket, enableManagedSpotTraining=True, stoppingCondition=limits
    )
    spec["spec"]["resourceConfig"]["instanceType"] = "ml.test.nowhere"
    job = desk.submit(spec)
    status = job.ends(within=60)
    assert (status["trainingJobStatus"], status["secondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert "maxWaitTimeInSeconds" in status["secondaryStatusTransitions"][-1]["statusMessage"]
    desk.pods_are_over(job)


@pytest.mark.parametrize("remove", [False, True])
def test_what_is_left_of_a_job_goes_after_its_time_to_live(desk: Desk, remove: bool) -> None:
    name = "goes" if remove else "stays"
    spec = manifest(
        name, desk.images["test-train"], desk.bucket, hyper={"write": {"a": "b"}}, ttlSecondsAfterFinished=5
    )
    spec["metadata"]["annotations"] = {"trainyard.dev/delete-after-ttl": str(remove).lower()}
    job = desk.submit(spec)
    kinds = "pods,services,configmaps"
    if not remove:
        job.completes(within=120)
    eventually("the model is there", lambda: desk.bucket.exists(job.key("trainyard-manifest.json")), within=120)
    eventually(
        "nothing is left of its children",
        lambda: not job.kubectl.list(kinds, desk.namespace, f"trainyard.dev/job-name={name}"),
        within=60,
    )
    eventually(
        "the job itself is as it should be",
        lambda: (job.kubectl.get("trainingjob", name, desk.namespace) is None) == remove,
        within=20,
    )
    assert job.model() == {"a": b"b"}
