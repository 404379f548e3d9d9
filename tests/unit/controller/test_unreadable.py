"""A spec that was fine when its pods were made, and that the operator of today cannot read: an upgrade touches no running job."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import objects as o
from tests.unit.controller.test_restart import RETRY, look, lost, trained
from trainyard.api.reasons import Reason
from trainyard.api.report import StopReason
from trainyard.controller.core import logmetrics
from trainyard.controller.core.actions import actions
from trainyard.controller.core.decision import Act
from trainyard.controller.core.job import Job, parse_job
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.policies import decide
from trainyard.controller.core.status import reduce

NARROWED = {"debugHookConfig": {"s3OutputPath": "models/debug"}}
METRICS = {"trainingImage": o.IMAGE, "metricDefinitions": [{"name": "loss", "regex": "loss=(.*)"}]}


def narrowed(job: Job, **spec: Any) -> Job:
    """The same job for an operator whose rules its spec breaks."""
    found = parse_job(o.raw_job(status=job.status.to_dict(), **(NARROWED | spec)))
    assert found.spec is None
    return found


@pytest.mark.parametrize(
    ("pod", "act", "secondary"),
    [
        (o.training(), Act.WATCH, "Training"),
        (o.uploading(), Act.WATCH, "Uploading"),
        (o.over(), Act.FINISH, "Completed"),
        (o.over(code=3), Act.FINISH, "Failed"),
        (o.stopped(why=StopReason.MAX_RUNTIME_EXCEEDED), Act.FINISH, "MaxRuntimeExceeded"),
    ],
)
def test_a_job_with_pods_goes_on_to_its_own_end(pod: Pod, act: Act, secondary: str) -> None:
    before = trained(trainingJobName="Diamonds")
    decision, snapshot, job = look(narrowed(before, trainingJobName="Diamonds"), [pod])
    assert (decision.act, job.status.secondary_status) == (act, secondary)
    assert actions(snapshot, decision).delete == ()
    assert job.status.training_job_name == before.status.training_job_name == "Diamonds"
    assert job.status.model_artifacts == before.status.model_artifacts
    accepted, uploaded = job.condition("Accepted"), job.condition("ArtifactsUploaded")
    assert accepted is not None
    assert accepted.status == "True"
    assert "debugHookConfig" in accepted.message
    assert uploaded is not None
    assert (uploaded.status == "True") == (act is Act.FINISH)


def test_a_running_job_is_written_once_and_not_again() -> None:
    _, _, job = look(narrowed(trained()), [o.training()])
    assert look(job, [o.training()], now=2000)[2].status == job.status


def test_a_users_stop_is_heard() -> None:
    job = narrowed(trained(), stop=True)
    decision, snapshot, job = look(job, [o.training()])
    assert (decision.act, len(actions(snapshot, decision).annotate)) == (Act.STOP, 1)
    assert look(job, [o.stopped()])[2].status.secondary_status == "Stopped"


def test_a_suspension_is_heard_and_the_attempt_that_would_follow_is_refused() -> None:
    job = narrowed(trained(), suspend=True)
    decision, _, job = look(job, [o.training()])
    assert decision.act is Act.SUSPEND
    decision, _, job = look(job, [o.stopped(why=StopReason.SUSPENDED)])
    assert decision.act is Act.RESTART
    decision, _, job = look(narrowed(job), [])
    assert (decision.act, decision.reason, job.status.training_job_status) == (
        Act.FINISH,
        Reason.INVALID_SPEC,
        "Failed",
    )


def test_an_attempt_that_has_no_pods_yet_is_refused() -> None:
    _, _, job = look(trained(**RETRY), [lost()])
    decision, _, job = look(narrowed(job, **RETRY), [])
    assert (decision.act, decision.reason) == (Act.FINISH, Reason.INVALID_SPEC)
    assert "debugHookConfig" in (job.status.failure_reason or "")


def test_a_lost_host_is_the_end_and_keeps_its_reason() -> None:
    decision, _, _ = look(narrowed(trained(**RETRY), **RETRY), [lost()])
    assert (decision.act, decision.reason) == (Act.FINISH, Reason.POD_LOST)


def test_hosts_that_were_never_made_cannot_be() -> None:
    job = narrowed(o.job(hosts=2), resourceConfig=o.raw_job(hosts=2)["spec"]["resourceConfig"])
    decision = decide(o.snapshot(job, [o.starting()]))
    assert (decision.act, decision.reason) == (Act.REFUSE, Reason.INVALID_SPEC)


def test_what_is_left_of_it_goes_after_its_time() -> None:
    job = narrowed(trained(), ttlSecondsAfterFinished=100)
    _, _, job = look(job, [o.over()], now=80)
    snapshot = o.snapshot(job, [o.over()], now=170)
    assert actions(snapshot, decide(snapshot)).expired


def test_its_metrics_are_read_on() -> None:
    job = narrowed(trained(algorithmSpecification=METRICS), algorithmSpecification=METRICS)
    snapshot = o.snapshot(job, [o.training()])
    assert logmetrics.definitions(snapshot) == (("loss", "loss=(.*)"),)
    assert [pod.host for pod in logmetrics.logs_to_read(snapshot)] == ["algo-1"]


@pytest.mark.parametrize("value", [-1, 0, 10**30, "7", None, True, {}])
def test_no_pass_breaks_on_what_such_a_spec_holds(value: Any) -> None:
    broken = dict.fromkeys(("stop", "suspend", "ttlSecondsAfterFinished", "trainingJobName"), value)
    job = narrowed(trained(), **broken, resourceConfig={"instanceCount": value}, algorithmSpecification=value)
    for pod in (o.training(), o.over()):
        snapshot = o.snapshot(job, [pod])
        reduce(snapshot, decide(snapshot))
        _, _, ended = look(job, [pod])
        later = o.snapshot(ended, [pod], now=5000)
        actions(later, decide(later))
