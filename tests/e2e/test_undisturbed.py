"""What must never stop a job: a busy node, a sidecar that dies or hangs for a while, an apiserver that does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.jobs import Job, eventually, manifest, path_of
from tests.e2e.site import Desk, Site, open_desk

NORMAL = ["Starting", "Downloading", "Training", "Uploading", "Completed"]
# The probe's patience is 30 s: whatever would kill training must have had the time to.
LONGER_THAN_THE_PROBE_S = 45


@pytest.fixture(scope="module")
def disturbed(site: Site) -> Iterator[dict[str, Job]]:
    """Each in its own way, side by side, for longer than training's liveness probe is patient."""
    with open_desk(site, "undisturbed") as desk:
        hyper = {"seconds": str(LONGER_THAN_THE_PROBE_S), "write": {"a": "b"}}
        names = ("busy", "killed", "hung")
        jobs = {
            name: desk.submit(
                manifest(
                    name,
                    desk.images["test-train"],
                    desk.bucket,
                    hyper=hyper | ({"busy": "64"} if name == "busy" else {}),
                )
            )
            for name in names
        }
        for job in jobs.values():
            job.trains(within=180)
        desk.kill_container(jobs["killed"], "sidecar")
        with desk.paused(jobs["hung"], "sidecar"), desk.apiserver_paused():
            # How long they stay away is what is tested.
            time.sleep(10)
        yield jobs


@pytest.mark.parametrize("name", ["busy", "killed", "hung"])
def test_a_disturbance_leaves_training_alone(disturbed: dict[str, Job], name: str) -> None:
    job = disturbed[name]
    status = job.completes(within=240)
    assert path_of(status) == NORMAL
    assert status["attempt"] == 1
    assert job.model() == {"a": b"b"}
    (pod,) = job.pods
    restarts = {entry["name"]: entry["restartCount"] for entry in pod["status"]["initContainerStatuses"]}
    assert restarts["sidecar"] == (1 if name == "killed" else 0)
    trained = next(entry for entry in pod["status"]["containerStatuses"] if entry["name"] == "training")
    assert trained["state"]["terminated"]["exitCode"] == 0


def test_an_operator_that_was_away_for_a_while_finds_its_jobs_as_they_are(desk: Desk) -> None:
    job = desk.submit(
        manifest("alone", desk.images["test-train"], desk.bucket, hyper={"seconds": "15", "write": {"a": "b"}})
    )
    job.trains()
    uid = job.pods[0]["metadata"]["uid"]
    with desk.operator_away():
        eventually("the pod still runs", lambda: job.pods[0]["status"]["phase"] == "Running", within=5)
    status = job.completes(within=120)
    assert path_of(status) == NORMAL
    assert [pod["metadata"]["uid"] for pod in job.pods] == [uid]
