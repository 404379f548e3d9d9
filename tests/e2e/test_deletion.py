"""A job deleted in each of its phases is soon gone with all that it had, also where S3 does not answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.e2e.jobs import Job, channel, eventually, manifest, staging
from tests.e2e.site import LONG, Desk, Site

OBEDIENT = {"seconds": "1000", "term": "handle"}
# What a deleted job may take with S3 away, which is usually 300 s; and until it is gone, with training's end before it, and half a
# minute to take back what was begun.
BUDGET_S = 5
GONE_S = 120 + BUDGET_S + 30
# Nobody can tell a pod in a namespace that goes to end early: its snapshot begins after 120 s, and the last minute is for taking back.
SNAPSHOT_S = 90
only_long = pytest.mark.skipif(not LONG, reason="takes minutes: TRAINYARD_LONG=1")


def whole(job: Job) -> bool:
    """Is its result in S3?"""
    return job.bucket.exists(job.key("trainyard-manifest.json"))


def deleted(desk: Desk, job: Job, *, within: float = 90) -> None:
    mine = job.kubectl.list("pods,services,configmaps", desk.namespace, f"trainyard.dev/job-name={job.name}")
    assert not any("finalizers" in found["metadata"] for found in [job.resource, *mine])
    job.delete(wait=False)
    eventually("the object is gone", lambda: job.kubectl.get("tj", job.name, desk.namespace) is None, within=10)
    desk.leaves_nothing(job, within=within)
    assert desk.bucket.unfinished_uploads() == []


def test_a_job_deleted_while_it_waits_for_a_node_is_gone(desk: Desk) -> None:
    desk.instance_type("ml.test.nowhere", nodeSelector={"no-such": "node"})
    spec = manifest("waiting", desk.images["test-train"], desk.bucket, hosts=2)
    spec["spec"]["resourceConfig"]["instanceType"] = "ml.test.nowhere"
    job = desk.submit(spec)
    job.reaches("Pending", within=30)
    eventually("its pods are made", lambda: len(job.pods) == 2, within=30)
    deleted(desk, job, within=30)


def test_a_job_deleted_while_it_uploads_is_uploaded_and_then_gone(desk: Desk) -> None:
    # Random bytes, so many that the upload takes seconds: the deletion must fall into it.
    spec = manifest("uploading", desk.images["test-train"], desk.bucket, hyper={"megabytes": "500"})
    job = desk.submit(spec)
    job.uploads()
    eventually("parts are on their way", desk.bucket.unfinished_uploads, within=60, every=0.05)
    deleted(desk, job, within=180)
    assert whole(job)


def test_a_job_deleted_after_its_end_leaves_its_model_alone(desk: Desk) -> None:
    job = desk.submit(manifest("ended", desk.images["test-train"], desk.bucket, hyper={"write": {"a": "b"}}))
    job.completes()
    assert job.pods
    deleted(desk, job)
    assert job.model() == {"a": b"b"}


def test_without_a_deletion_budget_a_deleted_job_is_gone_after_its_sigterm_and_uploads_nothing(
    site: Site, desk: Desk
) -> None:
    site.install(deletionBudgetSeconds="0")
    try:
        hyper = OBEDIENT | {"megabytes": "100"}
        job = desk.submit(manifest("hurried", desk.images["test-train"], desk.bucket, hyper=hyper))
        job.trains()
        deleted(desk, job)
    finally:
        site.install()
    assert [key for key in desk.bucket.list("out/") if not key.endswith("trainyard-attempt.json")] == []


@pytest.mark.parametrize(
    "away",
    [
        pytest.param(Desk.s3_forgetful, id="S3 refuses"),
        pytest.param(Desk.s3_paused, id="S3 does not answer", marks=only_long),
    ],
)
def test_a_job_deleted_while_it_trains_and_s3_takes_nothing_is_gone_within_its_budget(
    site: Site, desk: Desk, away: Callable[[Desk], AbstractContextManager[None]]
) -> None:
    site.install(deletionBudgetSeconds=str(BUDGET_S))
    try:
        job = desk.submit(manifest("training", desk.images["test-train"], desk.bucket, hyper=OBEDIENT))
        job.trains()
        with away(desk):
            job.delete(wait=False)
            desk.leaves_nothing(job, within=GONE_S)
    finally:
        site.install()
    assert not whole(job), "nothing can have been uploaded"
    assert desk.bucket.unfinished_uploads() == []


def test_a_job_deleted_while_its_data_is_on_its_way_is_gone_without_s3(desk: Desk) -> None:
    desk.bucket.put("data/a", "a")
    data = [channel("train", desk.bucket.uri("data/"))]
    with desk.s3_paused():
        job = desk.submit(manifest("downloading", desk.images["test-train"], desk.bucket, channels=data))
        eventually("it asks S3 for its data", lambda: staging(job), within=60)
        assert job.reaches("Downloading", within=10)
        job.delete(wait=False)
        desk.leaves_nothing(job, within=60)
    assert not whole(job)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(25, id="and ends by itself"),
        pytest.param(1000, id="and never ends", marks=only_long),
    ],
)
def test_a_namespace_is_not_trapped_by_a_program_that_ignores_sigterm_and_its_model_is_kept(
    site: Site, desk: Desk, seconds: int
) -> None:
    site.install(deletionBudgetSeconds=str(SNAPSHOT_S))
    try:
        hyper = {"seconds": str(seconds), "term": "note", "write": {"a": "b"}}
        job = desk.submit(manifest("defiant", desk.images["test-train"], desk.bucket, hyper=hyper))
        job.trains()
        desk.kubectl("delete", "namespace", desk.namespace, "--wait=false")
        job.told_to_end("defiant-1-algo-1", within=30)
        longest = min(seconds, 120 + SNAPSHOT_S) + 60
        eventually("its pods are gone", lambda: not desk.kubectl.list("pods", desk.namespace), within=longest)
        if seconds > 120:  # the cluster looks at a namespace again after half of its pods' grace, however soon they go
            names = lambda: [found["metadata"]["name"] for found in desk.kubectl.list("namespaces", "")]  # noqa: E731
            eventually("the namespace is gone", lambda: desk.namespace not in names(), within=longest)
    finally:
        site.install()
    assert whole(job)
    assert job.model() == {"a": b"b"}
