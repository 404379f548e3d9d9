"""Stopping and deleting, with programs that react to SIGTERM and programs that never do.

Python as PID 1 without a handler never sees SIGTERM: such a job takes the full 120 s. All jobs of this module are
started and told to stop side by side, so that the module takes about as long as its slowest test.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.jobs import Job, began, channel, check_transitions, ended, eventually, manifest, path_of, staging
from tests.e2e.site import LONG, Desk, Site, open_desk

STUBBORN = {"seconds": "1000", "write": {"partial": "kept"}}
# As stubborn, but it says when SIGTERM came.
DEFIANT = STUBBORN | {"term": "note"}
OBEDIENT = {"seconds": "1000", "term": "handle"}


@dataclass
class Started:
    """A job that was training when it was told to end, and when that was."""

    desk: Desk
    job: Job
    told: float


@pytest.fixture(scope="module")
def started(site: Site) -> Iterator[dict[str, Started]]:
    with open_desk(site, "stopping") as desk:
        image = desk.images["test-train"]
        jobs = {
            "stubborn-stop": desk.submit(manifest("stubborn-stop", image, desk.bucket, hyper=STUBBORN)),
            "defiant-stop": desk.submit(manifest("defiant-stop", image, desk.bucket, hyper=DEFIANT)),
            "stubborn-delete": desk.submit(manifest("stubborn-delete", image, desk.bucket, hyper=STUBBORN)),
            "obedient-stop": desk.submit(manifest("obedient-stop", image, desk.bucket, hyper=OBEDIENT)),
            "limit": desk.submit(
                manifest("limit", image, desk.bucket, hyper=OBEDIENT, stoppingCondition={"maxRuntimeInSeconds": 60})
            ),
        }
        for job in jobs.values():
            job.trains(within=180)
        told = {}
        for name, job in jobs.items():
            told[name] = time.monotonic()
            if name.endswith("stop"):
                job.stop()
            elif name.endswith("delete"):
                job.delete(wait=False)
        yield {name: Started(desk, job, told[name]) for name, job in jobs.items()}


def test_the_limit_counts_over_attempts_and_is_kept_while_the_operator_is_away(started: dict[str, Started]) -> None:
    # The first of the module: the programs that ignore SIGTERM have their 120 s meanwhile.
    desk = started["limit"].desk
    spec = manifest(
        "limited",
        desk.images["test-train"],
        desk.bucket,
        hyper=OBEDIENT,
        retryStrategy={"maximumRetryAttempts": 1},
        stoppingCondition={"maxRuntimeInSeconds": 120},
    )
    job = desk.submit(spec)
    job.trains()
    desk.evict("limited-1-algo-1")
    eventually("the second attempt begins", lambda: job.status.get("attempt") == 2, within=120)
    job.trains()
    with desk.operator_away():
        status = job.status
        (first,) = status["earlierAttempts"]
        ran = datetime.fromisoformat(first["endTime"]) - datetime.fromisoformat(first["startTime"])
        limit = began(status, "Downloading") + timedelta(seconds=120) - ran
        # So long before the limit the pod begins to act on it.
        assert datetime.now(UTC) < limit - timedelta(seconds=30), "the operator must be gone before that"
        told = job.told_to_end("limited-2-algo-1")
    assert 0 <= (told - limit).total_seconds() <= 5
    status = job.ends(within=120)
    assert (status["trainingJobStatus"], status["secondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert job.model() == {"terminated": b"SIGTERM"}


def test_a_stop_reaches_a_program_that_handles_sigterm_and_its_model_is_kept(started: dict[str, Started]) -> None:
    it = started["obedient-stop"]
    status = it.job.ends(within=90)
    assert status["trainingJobStatus"] == "Stopped"
    assert path_of(status)[-3:] == ["Training", "Stopping", "Stopped"]
    assert it.job.model() == {"terminated": b"SIGTERM"}
    assert it.job.condition("Finished")["reason"] == "Stopped"


def test_a_job_at_its_maximum_runtime_is_stopped_and_its_model_is_kept(started: dict[str, Started]) -> None:
    it = started["limit"]
    status = it.job.ends(within=180)
    assert (status["trainingJobStatus"], status["secondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert path_of(status)[-3:] == ["Training", "Stopping", "MaxRuntimeExceeded"]
    assert it.job.model() == {"terminated": b"SIGTERM"}
    since_start = it.job.told_to_end("limit-1-algo-1") - datetime.fromisoformat(status["trainingStartTime"])
    assert 60 <= since_start.total_seconds() <= 60 + 5


def test_a_stop_is_sigterm_within_35_s_and_sigkill_120_s_later_and_then_the_files_are_kept(
    started: dict[str, Started],
) -> None:
    job = started["defiant-stop"].job
    status = job.ends(within=200)
    assert status["trainingJobStatus"] == "Stopped"
    (pod,) = job.pods
    told = job.told_to_end(pod["metadata"]["name"])
    assert 0 <= (told - stop_requested(job)).total_seconds() <= 35
    assert 119 <= (ended(pod) - told).total_seconds() <= 123
    assert job.model() == {"partial": b"kept"}
    assert job.manifest()["outcome"] == "Stopped"


def stop_requested(job: Job) -> datetime:
    """When the apiserver wrote spec.stop; whole seconds."""
    fields = job.kubectl("get", "tj", job.name, "-n", job.namespace, "-o", "json", "--show-managed-fields")
    (at,) = (
        entry["time"]
        for entry in json.loads(fields)["metadata"]["managedFields"]
        if "f:stop" in entry["fieldsV1"].get("f:spec", {})
    )
    return datetime.fromisoformat(at)


def test_a_stopped_program_that_ignores_sigterm_is_gone_after_120_s_and_its_files_are_kept(
    started: dict[str, Started],
) -> None:
    it = started["stubborn-stop"]
    status = it.job.ends(within=200)
    check_transitions(status)
    assert status["trainingJobStatus"] == "Stopped"
    assert it.job.model() == {"partial": b"kept"}
    assert it.job.manifest()["outcome"] == "Stopped"
    (pod,) = it.job.pods
    assert (ended(pod) - stop_requested(it.job)).total_seconds() < 30 + 120 + 10


def test_a_deleted_program_that_ignores_sigterm_is_gone_after_120_s_and_its_files_are_kept(
    started: dict[str, Started],
) -> None:
    it = started["stubborn-delete"]
    it.desk.leaves_nothing(it.job, within=30 + 120 + 30 - (time.monotonic() - it.told))
    assert it.job.model() == {"partial": b"kept"}


def test_a_stop_before_any_pod_runs_needs_no_pod(desk: Desk) -> None:
    desk.instance_type("ml.test.nowhere", nodeSelector={"no-such": "node"})
    spec = manifest("early", desk.images["test-train"], desk.bucket)
    spec["spec"]["resourceConfig"]["instanceType"] = "ml.test.nowhere"
    job = desk.submit(spec)
    status = job.reaches("Pending", within=30)
    assert "endTime" not in status["secondaryStatusTransitions"][-1]
    job.stop()
    assert job.ends(within=30)["trainingJobStatus"] == "Stopped"
    desk.pods_are_over(job)


@pytest.mark.skipif(not LONG, reason="takes minutes: TRAINYARD_LONG=1")
def test_a_stop_goes_on_without_the_operator_once_the_pods_were_told(desk: Desk) -> None:
    job = desk.submit(manifest("left-alone", desk.images["test-train"], desk.bucket, hyper=OBEDIENT))
    job.trains()
    job.stop()
    told = lambda: "trainyard.dev/stop" in job.pods[0]["metadata"]["annotations"]  # noqa: E731
    eventually("its pod is told", told, within=30)
    with desk.operator_away():
        key = job.key("trainyard-manifest.json")
        # Nobody tells the pod that training has ended: it may use its 120 s, and only then does silence count.
        eventually("the model is in S3, and the manifest", lambda: desk.bucket.exists(key), within=360)
        eventually("nothing of it runs", lambda: job.pods[0]["status"]["phase"] in ("Succeeded", "Failed"), within=60)
    assert job.manifest()["outcome"] == "Stopped"
    assert job.model() == {"terminated": b"SIGTERM"}
    status = job.ends(within=60)
    check_transitions(status)
    assert path_of(status)[-3:] == ["Training", "Stopping", "Stopped"]


def test_a_stop_while_data_is_on_its_way_ends_the_job_without_s3(desk: Desk) -> None:
    desk.bucket.put("data/a", "a")
    data = [channel("train", desk.bucket.uri("data/"))]
    with desk.s3_paused():
        job = desk.submit(manifest("halfway", desk.images["test-train"], desk.bucket, channels=data, hyper=OBEDIENT))
        job.reaches("Downloading", within=60)
        eventually("it asks S3 for its data", lambda: staging(job), within=60)
        job.stop()
        status = job.ends(within=90)
    assert path_of(status) == ["Starting", "Downloading", "Stopping", "Stopped"]
    desk.pods_are_over(job)


def test_a_stop_while_it_uploads_lets_that_end_and_the_job_is_stopped(desk: Desk) -> None:
    # Random bytes, so many that the upload takes seconds: the stop must fall into it.
    hyper = {"megabytes": "500", "write": {"a": "b"}}
    job = desk.submit(manifest("uploading", desk.images["test-train"], desk.bucket, hyper=hyper))
    job.uploads()
    eventually("parts are on their way", desk.bucket.unfinished_uploads, within=60, every=0.05)
    job.stop()
    assert not desk.bucket.exists(job.key("trainyard-manifest.json")), "the stop must come before the commit"
    status = job.ends(within=120)
    assert (status["trainingJobStatus"], status["secondaryStatus"]) == ("Stopped", "Stopped")
    assert path_of(status)[:3] == ["Starting", "Downloading", "Training"]
    model = job.model()
    assert (model["a"], len(model["noise"])) == (b"b", 500 << 20)
    assert job.manifest()["outcome"] == "Completed", "how training ended"


def test_a_job_deleted_while_training_leaves_nothing_behind(desk: Desk) -> None:
    job = desk.submit(manifest("gone", desk.images["test-train"], desk.bucket, hyper=OBEDIENT, hosts=2))
    job.trains(within=180)
    job.delete()
    # 30 s until the kubelet acts on the order; then upload, two looks of 10 s (ours, and the kubelet's at pods that have ended).
    desk.leaves_nothing(job, within=90)
    assert "terminated" in job.model()
    eventually("no unfinished upload", lambda: desk.bucket.unfinished_uploads() == [], within=30)


def test_a_deleted_namespace_goes_with_its_running_job(site: Site) -> None:
    with open_desk(site, "goes") as desk:
        desk.submit(manifest("goes", desk.images["test-train"], desk.bucket, hyper=OBEDIENT)).trains()
        desk.kubectl("delete", "namespace", desk.namespace, "--wait=false")
        eventually("its pod is gone", lambda: not desk.kubectl.list("pods", desk.namespace), within=90)
        # The cluster looks at a namespace again after half of its pods' grace, however soon they go; or when it is changed.
        desk.kubectl("label", "namespace", desk.namespace, "look=again", check=False)  # it may be gone
        names = lambda: [found["metadata"]["name"] for found in desk.kubectl.list("namespaces", "")]  # noqa: E731
        eventually("the namespace is gone", lambda: desk.namespace not in names(), within=60)


def test_a_new_job_under_the_name_of_one_that_is_still_ending_waits_for_it_and_then_runs(desk: Desk) -> None:
    image = desk.images["test-train"]
    old = desk.submit(manifest("again", image, desk.bucket, hyper=OBEDIENT))
    old.trains()
    uid = old.resource["metadata"]["uid"]
    old.delete()
    new = desk.submit(manifest("again", image, desk.bucket, hyper={"write": {"a": "b"}}))
    assert new.resource["metadata"]["uid"] != uid
    desk.eventually_says(new, "deleted job of the same name", within=20)
    new.completes(within=120)
    assert new.model() == {"a": b"b"}, "what the deleted job wrote was there before, and is replaced"
