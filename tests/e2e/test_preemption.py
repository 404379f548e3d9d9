"""The scheduler takes jobs' places for a pod of higher priority: each job goes on, or ends, as its kind promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

import pytest

from tests.e2e.jobs import Job, Kubectl, Manifest, eventually, manifest, path_of
from tests.e2e.site import Desk, Site, open_desk

# What a node has a few of and only these pods ask for: nothing else of the cluster can be a victim.
SEAT = "trainyard.dev/test-seat"
TAKEN_BY_JOBS = 4
WHOLE = ["Starting", "Downloading", "Training", "Uploading", "Completed"]


@contextmanager
def seats(kubectl: Kubectl, count: int) -> Iterator[None]:
    """The cluster's nodes have so many of them altogether."""
    (node,) = kubectl("get", "nodes", "-o", "name").split()

    def offered(amount: str | None) -> None:
        patch = json.dumps({"status": {"capacity": {SEAT: amount}, "allocatable": {SEAT: amount}}})
        kubectl("patch", node, "--subresource=status", "--type=merge", "-p", patch)

    offered(str(count))
    try:
        yield
    finally:
        offered(None)


@contextmanager
def urgent(desk: Desk) -> Iterator[Manifest]:
    """A pod of high priority that takes all seats for as long as the block lasts."""
    name = f"urgent-{desk.namespace}"
    desk.kubectl.apply(
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1000}
    )
    container = {
        "name": "main",
        "image": desk.images["test-bare"],
        "command": ["sleep", "1000"],
        "resources": {"limits": {SEAT: str(TAKEN_BY_JOBS)}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "urgent", "namespace": desk.namespace},
        "spec": {"priorityClassName": name, "terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    desk.kubectl.apply(pod)
    try:
        yield pod
    finally:
        desk.kubectl("delete", "pod", "urgent", "-n", desk.namespace, "--ignore-not-found")
        desk.kubectl("delete", "priorityclass", name)


def path(status: Manifest) -> list[str]:
    """Without waits for room: Pending, and Starting once more where pods were made before the urgent one had gone."""
    return [state for state, _ in groupby(state for state in path_of(status) if state != "Pending")]


@pytest.fixture(scope="module")
def preempted(site: Site) -> Iterator[dict[str, Job]]:
    """Jobs of each kind, trained side by side until another pod had the whole node, and has gone again."""
    with open_desk(site, "preempted") as desk, seats(site.kubectl, TAKEN_BY_JOBS):
        desk.instance_type("ml.test.seat", capacity={"cpu": "150m", "memory": "512Mi", SEAT: "1"})
        image, bucket = desk.images["test-train"], desk.bucket
        spot = {
            "enableManagedSpotTraining": True,
            "stoppingCondition": {"maxRuntimeInSeconds": 3600, "maxWaitTimeInSeconds": 7200},
        }
        # The first attempt trains until it is preempted, the second ends soon.
        hyper = {"seconds": "45", "term": "handle", "write": {"a": "b"}}
        specs = {
            "spot": manifest("spot", image, bucket, hosts=2, hyper=hyper, **spot),
            "retried": manifest("retried", image, bucket, hyper=hyper, retryStrategy={"maximumRetryAttempts": 1}),
            "neither": manifest("neither", image, bucket, hyper=hyper | {"seconds": "1000"}),
        }
        for spec in specs.values():
            spec["spec"]["resourceConfig"]["instanceType"] = "ml.test.seat"
        jobs = {name: desk.submit(spec) for name, spec in specs.items()}
        for job in jobs.values():
            job.reaches("Training", within=180)
        with urgent(desk):
            eventually(
                "the urgent pod has the node",
                lambda: desk.kubectl.get("pod", "urgent", desk.namespace)["spec"].get("nodeName"),
                within=120,
            )
            for name in ("spot", "retried"):
                eventually(f"{name} waits for room", lambda job=jobs[name]: job.status.get("attempt") == 2, within=60)
            assert not jobs["spot"].status.get("trainingEndTime"), "it waits for as long as it takes"
        yield jobs


def test_a_preempted_spot_job_starts_again_from_interrupted(preempted: dict[str, Job]) -> None:
    job = preempted["spot"]
    status = job.completes(within=240)
    assert path(status) == ["Starting", "Downloading", "Training", "Interrupted", *WHOLE]
    assert (status["attempt"], status["interruptions"]) == (2, 1)
    assert "preempting" in status["earlierAttempts"][0]["message"]
    assert job.model() == {"a": b"b"}


def test_a_preempted_job_with_a_retry_strategy_is_trained_again(preempted: dict[str, Job]) -> None:
    job = preempted["retried"]
    status = job.completes(within=240)
    assert path(status) == ["Starting", "Downloading", "Training", *WHOLE]
    assert (status["attempt"], status["retryAttempts"]) == (2, 1)
    assert status["earlierAttempts"][0]["reason"] == "Retrying"
    assert job.model() == {"a": b"b"}


def test_a_preempted_job_with_neither_fails_and_says_that_it_was_preempted_and_what_to_do(
    preempted: dict[str, Job],
) -> None:
    job = preempted["neither"]
    status = job.ends(within=240)
    assert status["attempt"] == 1
    reason = status["failureReason"]
    assert reason.startswith("InternalServerError: host algo-1 was lost: pod neither-1-algo-1 on node ")
    assert "was preempted" in reason
    assert "retryStrategy or enableManagedSpotTraining" in reason
    assert "drained" not in reason
    assert job.condition("Failed")["reason"] == "PodLost"
