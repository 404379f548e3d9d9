"""What must never stop a job: a busy node, a sidecar that dies or hangs for a while, an apiserver that does not answer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.e2e.jobs import Job, eventually, manifest, path_of
from tests.e2e.site import LONG, Desk, Site, open_desk

NORMAL = ["Starting", "Downloading", "Training", "Uploading", "Completed"]
# The probe's patience is 30 s: whatever would kill training must have had the time to.
LONGER_THAN_THE_PROBE_S = 45
# Passes over checkpoints, looks at reports and full compares must fall into it.
SILENCE_S = 60 if LONG else 15
WRITES = re.compile(
    r'^trainyard_api_requests_total\{code="\d+",resource="(?!leases")\w+",verb="(?:POST|PUT|PATCH|DELETE)"\} (\S+)',
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[Desk]:
    with open_desk(site, "undisturbed") as desk:
        yield desk


@pytest.fixture(scope="module")
def silent(shared: Desk) -> Job:
    """It prints one line with a metric, saves one checkpoint, and from then on trains without a sign. Started first: what there is to
    say of it is said within minutes."""
    hyper = {"lines": {"algo-1": [[0, "loss=0.5"]]}, "until": "/tmp/go", "write": {"a": "b"}}
    spec = manifest("silent", shared.images["test-train"], shared.bucket, hyper=hyper)
    spec["spec"]["algorithmSpecification"]["metricDefinitions"] = [{"name": "loss", "regex": r"loss=([0-9.]+)"}]
    spec["spec"]["checkpointConfig"] = {"s3URI": shared.bucket.uri("ck")}
    job = shared.submit(spec)
    job.trains(within=180)
    shell(job, "echo 1 > /opt/ml/checkpoints/step")
    return job


def shell(job: Job, script: str) -> None:
    pod = f"{job.name}-1-algo-1"
    job.kubectl("exec", pod, "-n", job.namespace, "-c", "training", "--", "sh", "-c", script)


@pytest.fixture(scope="module")
def disturbed(shared: Desk, silent: Job) -> dict[str, Job]:
    """Each in its own way, side by side, for longer than training's liveness probe is patient."""
    hyper = {"seconds": str(LONGER_THAN_THE_PROBE_S), "write": {"a": "b"}}
    names = ("busy", "killed", "hung")
    jobs = {
        name: shared.submit(
            manifest(
                name,
                shared.images["test-train"],
                shared.bucket,
                hyper=hyper | ({"busy": "64"} if name == "busy" else {}),
            )
        )
        for name in names
    }
    for job in jobs.values():
        job.trains(within=180)
    shared.kill_container(jobs["killed"], "sidecar")
    with shared.paused(jobs["hung"], "sidecar"), shared.apiserver_paused():
        # How long they stay away is what is tested.
        time.sleep(10)
    return jobs


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


def test_nothing_is_written_of_a_job_that_trains_in_silence(shared: Desk, silent: Job) -> None:
    """Its metric's value is in the status, its checkpoint in S3, and nothing changes any more."""
    eventually("the checkpoint is in S3", lambda: shared.bucket.exists("ck/step"), within=90)
    eventually("and said to be", lambda: silent.condition("CheckpointsKept").get("status") == "True", within=150)
    eventually("the value is recorded", lambda: silent.status.get("finalMetricDataList"), within=90)
    phases = lambda: {found["status"]["phase"] for found in silent.kubectl.list("namespaces", "")}  # noqa: E731
    eventually("nothing of other tests' jobs is left", lambda: phases() == {"Active"}, within=300)

    def written() -> tuple[dict[str, str], float, int]:
        """The versions of all that the job is made of, the operator's writes and the job's events so far."""
        mine = [
            silent.resource,
            *silent.kubectl.list("pods,configmaps", silent.namespace, "trainyard.dev/job-name=silent"),
        ]
        versions = {entry["metadata"]["name"]: entry["metadata"]["resourceVersion"] for entry in mine}
        return versions, sum(map(float, WRITES.findall(shared.operator_metrics()))), len(silent.events)

    last = written()

    def settled() -> bool:
        nonlocal last
        before, last = last, written()
        return before == last

    eventually("what there was to say is said", settled, within=60, every=5)
    # How long nothing happens is what is tested.
    time.sleep(SILENCE_S)
    assert written() == last
    assert last[1] > 0, "the operator's writes are counted"
    shell(silent, "touch /tmp/go")
    silent.completes()
    assert silent.model() == {"a": b"b"}
