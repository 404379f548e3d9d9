"""A job deleted in each of its phases is soon gone with all that it had, also where S3 does not answer."""

from __future__ import annotations

import pytest

from tests.e2e.jobs import Job, channel, eventually, manifest, staging
from tests.e2e.site import LONG, Desk, Site

OBEDIENT = {"seconds": "1000", "term": "handle"}
# So long a deleted job may take with S3 away: training's grace, the budget, and half a minute. Usually the budget is 300 s.
BUDGET_S = 10
GONE_S = 120 + BUDGET_S + 30
# Nobody can tell a pod in a namespace that goes to end early: its snapshot begins after 120 s, and the last minute is for taking back.
SNAPSHOT_S = 90


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


@pytest.mark.skipif(not LONG, reason="takes more than a minute: TRAINYARD_LONG=1")
def test_jobs_deleted_while_s3_does_not_answer_are_gone_within_their_budget(site: Site, desk: Desk) -> None:
    site.install(deletionBudgetSeconds=str(BUDGET_S))
    try:
        image, bucket = desk.images["test-train"], desk.bucket
        bucket.put("data/a", "a")
        training = desk.submit(manifest("training", image, bucket, hyper=OBEDIENT))
        training.trains()
        with desk.s3_paused():
            data = [channel("train", bucket.uri("data/"))]
            downloading = desk.submit(manifest("downloading", image, bucket, channels=data, hyper=OBEDIENT))
            eventually("it asks S3 for its data", lambda: staging(downloading), within=60)
            assert downloading.status["secondaryStatus"] == "Downloading"
            for job in (training, downloading):
                job.delete(wait=False)
            desk.leaves_nothing(downloading, within=GONE_S)
            desk.leaves_nothing(training, within=GONE_S)
    finally:
        site.install()
    assert not whole(training), "S3 was away: nothing can have been uploaded"
    assert bucket.unfinished_uploads() == []


@pytest.mark.skipif(not LONG, reason="takes minutes: TRAINYARD_LONG=1")
def test_a_namespace_is_not_trapped_by_a_program_that_ignores_sigterm_and_its_model_is_kept(
    site: Site, desk: Desk
) -> None:
    site.install(deletionBudgetSeconds=str(SNAPSHOT_S))
    try:
        hyper = {"seconds": "1000", "term": "note", "write": {"a": "b"}}
        job = desk.submit(manifest("defiant", desk.images["test-train"], desk.bucket, hyper=hyper))
        job.trains()
        desk.kubectl("delete", "namespace", desk.namespace, "--wait=false")
        names = lambda: [found["metadata"]["name"] for found in desk.kubectl.list("namespaces", "")]  # noqa: E731
        eventually("the namespace is gone", lambda: desk.namespace not in names(), within=120 + SNAPSHOT_S + 60)
    finally:
        site.install()
    assert whole(job)
    assert job.model() == {"a": b"b"}
