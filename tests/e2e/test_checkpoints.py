"""Checkpoints in S3: a job that is interrupted goes on with the very last step that it saved, on a pod that never saw it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.jobs import Job, Manifest, eventually, manifest, path_of
from tests.e2e.site import Desk, Site, open_desk

# Counts, and saves every step. The first run goes on until it is told to end; the second ends by itself a few steps later.
PROGRAM = """
import json, os, signal, sys, time
config = json.load(open("/opt/ml/input/config/checkpointconfig.json"))
place = config["LocalPath"] + "/state.json"
state = json.load(open(place)) if os.path.exists(place) else {"step": 0, "runs": []}
state["runs"].append({"began": state["step"], "ended": None})

def save():
    with open(place + ".sagemaker-ignore", "w") as draft:
        json.dump(state, draft)
    os.rename(place + ".sagemaker-ignore", place)

def terminated(*_):
    state["runs"][-1]["ended"] = state["step"]
    save()
    sys.exit(0)

signal.signal(signal.SIGTERM, terminated)
print("training from step", state["step"], flush=True)
last = state["step"] + 5 if len(state["runs"]) > 1 else 10 ** 6
while state["step"] < last:
    time.sleep(0.2)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    state["step"] += 1
    save()
    print("step", state["step"], flush=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
json.dump(state, open("/opt/ml/model/state.json", "w"))
"""
# A hyperparameter may be longer than an argument.
RUN = "import json; exec(json.load(open('/opt/ml/input/config/hyperparameters.json'))['program'])"
SPOT = {
    "enableManagedSpotTraining": True,
    "stoppingCondition": {"maxRuntimeInSeconds": 3600, "maxWaitTimeInSeconds": 7200},
}


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[Desk]:
    with open_desk(site, "checkpoints") as desk:
        yield desk


def counting(desk: Desk, name: str, path: str = "/opt/ml/checkpoints", **spec: object) -> Manifest:
    made = manifest(name, desk.images["test-train"], desk.bucket, hyper={"program": PROGRAM}, **spec)
    made["spec"]["algorithmSpecification"] |= {"containerEntrypoint": ["python3", "-c"], "containerArguments": [RUN]}
    made["spec"]["checkpointConfig"] = {"s3URI": desk.bucket.uri(f"ck/{name}"), "localPath": path}
    return made


def counted(job: Job, step: int) -> None:
    """The first run has come so far."""
    pod = f"{job.name}-1-algo-1"
    eventually(f"step {step}", lambda: f"step {step}\n" in job.logs(pod, "training"), within=60)


def went_on(job: Job, status: Manifest) -> None:
    """The second run began with what the first saved at its end, and not with anything older."""
    assert status["attempt"] == 2
    first, second = json.loads(job.model()["state.json"])["runs"]
    assert first["began"] == 0
    assert first["ended"] >= 5
    assert second["began"] == first["ended"]
    saved = json.loads(job.bucket.read(f"ck/{job.name}/state.json"))
    assert saved["step"] == second["began"] + 5
    assert job.bucket.list(f"ck/{job.name}/") == [f"ck/{job.name}/state.json"], "no markers, no drafts"


@pytest.fixture(scope="module")
def evicted(shared: Desk) -> dict[str, Job]:
    """Jobs whose pods are evicted while they train, side by side."""
    retry = {"retryStrategy": {"maximumRetryAttempts": 1}}
    jobs = {
        "retried": shared.submit(counting(shared, "counts-retried", "/work/saved/", **retry)),
        "spot": shared.submit(counting(shared, "counts-spot", **SPOT)),
    }
    for job in jobs.values():
        job.trains(within=180)
        counted(job, 5)
        shared.evict(f"{job.name}-1-algo-1")
    return jobs


def test_an_evicted_spot_job_goes_on_with_its_last_step(evicted: dict[str, Job]) -> None:
    status = evicted["spot"].completes(within=240)
    assert path_of(status)[:4] == ["Starting", "Downloading", "Training", "Interrupted"]
    went_on(evicted["spot"], status)


def test_an_evicted_job_with_a_retry_strategy_goes_on_with_its_last_step_in_a_directory_of_its_own(
    evicted: dict[str, Job],
) -> None:
    status = evicted["retried"].completes(within=240)
    assert status["retryAttempts"] == 1
    went_on(evicted["retried"], status)


def test_a_suspended_job_goes_on_with_its_last_step(desk: Desk) -> None:
    job = desk.submit(counting(desk, "counts-paused"))
    job.trains(within=180)
    counted(job, 5)
    patch = ("patch", "trainingjob", job.name, "-n", job.namespace, "--type=merge", "-p")
    job.kubectl(*patch, '{"spec":{"suspend":true}}')
    eventually("the pods are gone", lambda: not job.pods, within=120)
    job.kubectl(*patch, '{"spec":{"suspend":false}}')
    went_on(job, job.completes(within=180))


def test_a_running_job_says_that_its_checkpoints_are_kept(desk: Desk) -> None:
    job = desk.submit(counting(desk, "counts-on"))
    job.trains(within=180)
    eventually("the condition", lambda: job.condition("CheckpointsKept").get("status") == "True", within=150)
    eventually("a checkpoint", lambda: desk.bucket.exists("ck/counts-on/state.json"), within=90)
    job.stop()
    assert job.ends(within=180)["trainingJobStatus"] == "Stopped"


def test_checkpoints_of_a_bucket_that_is_not_there_fail_the_job_before_it_trains(desk: Desk) -> None:
    made = counting(desk, "counts-nowhere")
    made["spec"]["checkpointConfig"]["s3URI"] = "s3://no-such-bucket-here/ck"
    status = desk.submit(made).ends(within=120)
    assert status["trainingJobStatus"] == "Failed"
    assert status["failureReason"].startswith(
        'ClientError: Data download failed:bucket "no-such-bucket-here" does not exist'
    )
