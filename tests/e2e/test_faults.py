"""The operator killed in each phase of a job, `stage` while it works, and the sidecar in the middle of its upload: nothing lost, nothing doubled."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.e2e.jobs import Job, channel, eventually, manifest, path_of, started
from tests.e2e.site import Desk

NORMAL = ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def incarnations(desk: Desk, name: str) -> set[str]:
    """The uids of every pod that the namespace ever had for a job, by the events that speak of them."""
    events = desk.kubectl.list("events", desk.namespace)
    return {
        event["involvedObject"]["uid"]
        for event in events
        if event["involvedObject"]["kind"] == "Pod" and event["involvedObject"]["name"].startswith(name)
    }


@pytest.mark.parametrize("phase", ["Created", "Downloading", "Training", "Uploading"])
def test_the_operator_killed_in_a_phase_neither_loses_nor_doubles_anything(desk: Desk, phase: str) -> None:
    desk.fill("data", 300)
    name = f"killed-{phase.lower()}"
    job = desk.submit(
        manifest(
            name,
            desk.images["test-train"],
            desk.bucket,
            hosts=2,
            channels=[channel("train", desk.bucket.uri("data/"), sharded=True)],
            hyper={"inventory": "1", "seconds": "6", "megabytes": "40"},
        )
    )
    if phase == "Created":
        eventually("a pod was made", lambda: job.pods, within=30, every=0.05)
    elif phase == "Uploading":
        job.uploads()
    else:
        job.reaches(phase, within=120)
    desk.kill_operator()
    status = job.completes(within=180)
    assert path_of(status) == NORMAL
    assert status["attempt"] == 1
    assert len(job.pods) == len(incarnations(desk, name)) == 2
    assert sorted(job.model()) == ["inventory-algo-1.json", "inventory-algo-2.json", "noise"]


def test_a_job_whose_operator_is_away_until_the_end_is_complete_when_it_returns(desk: Desk) -> None:
    job = desk.submit(
        manifest("away", desk.images["test-train"], desk.bucket, hyper={"write": {"a": "b"}, "seconds": "10"})
    )
    job.trains()
    with desk.operator_away():
        eventually(
            "the model is committed without the operator",
            lambda: desk.bucket.exists(job.key("trainyard-manifest.json")),
            within=180,
        )
    status = job.completes(within=60)
    assert path_of(status) == NORMAL
    assert job.model() == {"a": b"b"}


def stages(job: Job, times: int) -> None:
    """Waits until `stage` runs, having been started again so often."""

    def there() -> bool:
        found = started(job, "stage")
        return found is not None and found["restartCount"] == times

    eventually(f"stage runs, started again {times} times", there, within=60)


def test_a_stage_that_is_killed_is_started_again_in_its_pod_and_the_job_completes(desk: Desk) -> None:
    desk.fill("data", 300)
    train = channel("train", desk.bucket.uri("data/"))
    with desk.s3_paused():  # so that it is at work
        job = desk.submit(manifest("restaged", desk.images["test-train"], desk.bucket, channels=[train]))
        stages(job, 0)
        desk.kill_container(job, "stage")
        stages(job, 1)
    status = job.completes(within=120)
    assert path_of(status) == NORMAL
    assert (status["attempt"], status["hosts"][0]["objects"]) == (1, 300)


def test_a_stage_that_is_killed_over_and_over_fails_the_job_and_says_so_meanwhile(desk: Desk) -> None:
    desk.fill("data", 1)
    train = channel("train", desk.bucket.uri("data/"))
    with desk.s3_paused():
        job = desk.submit(manifest("overkilled", desk.images["test-train"], desk.bucket, channels=[train]))
        for times in range(3):
            stages(job, times)
            desk.kill_container(job, "stage")
            if times == 1:  # the kubelet begins to take its time
                desk.eventually_says(job, "it was killed (exit code 137, Error) and is started again", within=30)
        status = desk.fails_within(job, 30)
    expected = "InternalServerError: staging on host algo-1 ended 3 times without a report (exit code 137, Error)"
    assert status["failureReason"].startswith(expected)
    desk.pods_are_over(job)


def test_a_job_that_has_committed_before_its_pod_and_report_are_lost_is_not_trained_again(desk: Desk) -> None:
    """Its model is of random bytes: a second training would leave others."""
    spec = manifest(
        "committed",
        desk.images["test-train"],
        desk.bucket,
        hyper={"megabytes": "1", "until": "/tmp/end"},
        retryStrategy={"maximumRetryAttempts": 1},
    )
    job = desk.submit(spec)
    job.trains()
    pod = job.pods[0]["metadata"]["name"]
    with ExitStack() as away:
        # The operator must have told the agent that training has ended, and not see the commit that follows.
        with desk.s3_paused():
            job.kubectl("exec", pod, "-n", job.namespace, "-c", "training", "--", "touch", "/tmp/end")
            job.reaches("Uploading")
            away.enter_context(desk.operator_away())
        eventually("the commit", lambda: desk.bucket.exists(job.key("trainyard-manifest.json")), within=60)
        committed = job.manifest(), job.model()
        job.kubectl("delete", "pod", pod, "-n", job.namespace)
    status = job.completes(within=60)
    assert (job.manifest(), job.model()) == committed
    assert path_of(status)[-1] == "Completed"
    assert status["attempt"] == 2
    (again,) = job.pods
    (training,) = (entry for entry in again["status"]["containerStatuses"] if entry["name"] == "training")
    assert not training.get("containerID"), "its program has not run again"


def test_a_sidecar_killed_during_its_upload_is_restarted_and_finishes_it(desk: Desk) -> None:
    # Random bytes, so many that the upload takes seconds: the kill must fall into it.
    spec = manifest("sidecar", desk.images["test-train"], desk.bucket, hyper={"megabytes": "600", "write": {"a": "b"}})
    spec["spec"]["resourceConfig"]["volumeSizeInGB"] = 2
    job = desk.submit(spec)
    job.uploads()
    eventually("parts are on their way", desk.bucket.unfinished_uploads, within=60, every=0.05)
    desk.kill_container(job, "sidecar")
    status = job.completes(within=240)
    assert path_of(status) == NORMAL
    sidecar = next(s for s in job.pods[0]["status"]["initContainerStatuses"] if s["name"] == "sidecar")
    assert sidecar["restartCount"] >= 1
    model = job.model()
    assert (model["a"], len(model["noise"])) == (b"b", 600 << 20)
    eventually("no unfinished upload", lambda: desk.bucket.unfinished_uploads() == [], within=30)
