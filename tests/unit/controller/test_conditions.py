"""What tools wait for: the nine conditions in each stage of a job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support import objects as o
from tests.unit.controller.test_transitions import after, live, step
from trainyard.api.status import Condition, JobStatus
from trainyard.controller.core.announce import announcements
from trainyard.controller.core.conditions import TYPES
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.snapshot import Refusal

SHOWN = ("Ready", "Reconciling", "Stalled", "DataReady", "ArtifactsUploaded", "Complete", "Failed", "Finished")
# stage -> pod, which conditions are True besides Accepted, reason of Ready
STAGES: dict[str, tuple[Pod, set[str], str]] = {
    "unschedulable": (o.unscheduled(), {"Reconciling"}, "Unschedulable"),
    "starting": (o.starting(), {"Reconciling"}, "Starting"),
    "pulling": (o.pulling(), {"Reconciling"}, "PullingImage"),
    "pull failing": (o.pulling(reason="ErrImagePull", message="no such host"), {"Reconciling"}, "ImagePullFailing"),
    "staging": (o.staging(), {"Reconciling"}, "Staging"),
    "training": (o.training(), {"Ready", "DataReady"}, "Training"),
    "uploading": (o.uploading(), {"Ready", "DataReady"}, "Uploading"),
    "completed": (o.over(), {"Ready", "DataReady", "ArtifactsUploaded", "Complete", "Finished"}, "Completed"),
    "failed": (o.over(code=1), {"Stalled", "DataReady", "ArtifactsUploaded", "Failed", "Finished"}, "AlgorithmError"),
    "lost upload": (o.over(message=""), {"Stalled", "DataReady", "Failed", "Finished"}, "InternalError"),
}


def true(status: JobStatus) -> set[str]:
    return {condition.type for condition in status.conditions if condition.status == "True"}


def reason(status: JobStatus, kind: str = "Ready") -> str:
    return next(condition.reason for condition in status.conditions if condition.type == kind)


def message(status: JobStatus, kind: str = "Ready") -> str:
    return next(condition.message for condition in status.conditions if condition.type == kind)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_its_conditions(stage: str) -> None:
    pod, expected, why = STAGES[stage]
    status = live(o.job(), [[pod]])
    assert [condition.type for condition in status.conditions] == list(TYPES)
    assert true(status) == expected | {"Accepted"}
    assert reason(status) == why
    assert all(condition.observed_generation == 1 for condition in status.conditions)


def test_the_type_of_a_condition_is_described_with_every_one_that_there_is() -> None:
    told = Condition.model_fields["type"].description or ""
    some = ("FieldsIgnored", "CheckpointsKept", "MetricsRead", "LogLinesLost")
    assert [kind for kind in (*TYPES, *some) if kind not in told] == []


def test_a_stopping_job_is_reconciling_and_a_stopped_one_is_finished_and_ready() -> None:
    stopping = live(o.job(stop=True), [[o.training()]])
    assert (true(stopping) & {"Ready", "Reconciling"}, reason(stopping)) == ({"Reconciling"}, "Stopping")
    stopped = live(o.job(stop=True), [[o.training()], [o.stopped()]])
    assert true(stopped) == {"Accepted", "Ready", "DataReady", "ArtifactsUploaded", "Finished"}
    assert reason(stopped, "Finished") == "Stopped"


def test_a_refused_reference_says_so_in_accepted() -> None:
    status = step(o.snapshot(o.job(), roles=()))
    assert (true(status), reason(status, "Accepted")) == ({"Reconciling"}, "ExecutionRoleNotFound")
    assert o.ARN in message(status, "Accepted")


def test_an_unreadable_spec_fails_the_job_and_says_so_in_accepted() -> None:
    status = step(o.snapshot(o.job(outputDataConfig=None)))
    assert (true(status), reason(status, "Accepted")) == ({"Stalled", "Failed", "Finished"}, "InvalidSpec")
    assert "outputDataConfig" in message(status, "Accepted")


def test_refused_pods_are_pending_and_in_progress() -> None:
    status = step(o.snapshot(o.job(), now=5, refusal=Refusal("exceeded quota: pods=0", o.at(0))))
    assert (status.training_job_status, status.secondary_status) == ("InProgress", "Pending")
    assert (true(status), reason(status)) == ({"Accepted", "Reconciling"}, "PodsRefused")
    assert "exceeded quota" in message(status)


def test_the_scheduler_s_words_are_shown_with_what_was_asked_for() -> None:
    told = message(live(o.job(), [[o.unscheduled()]]))
    assert "3 Insufficient cpu" in told
    assert "12000Mi" in told
    assert o.INSTANCE in told


def test_a_transition_time_moves_only_when_the_status_flips() -> None:
    job = after(o.job(), live(o.job(), [[o.starting()]], first=10))
    job = after(job, step(o.snapshot(job, [o.staging()], now=100)))
    reconciling, ready = job.condition("Reconciling"), job.condition("Ready")
    assert reconciling is not None
    assert ready is not None
    assert reconciling.last_transition_time == ready.last_transition_time == o.at(10)
    job = after(job, step(o.snapshot(job, [o.training()], now=200)))
    reconciling, stalled = job.condition("Reconciling"), job.condition("Stalled")
    assert reconciling is not None
    assert stalled is not None
    assert (reconciling.last_transition_time, stalled.last_transition_time) == (o.at(200), o.at(10))


def test_hosts_keep_what_was_known_of_them() -> None:
    job = after(o.job(hosts=2), live(o.job(hosts=2), [[o.uploading(), o.training("algo-2")]]))
    later = step(o.snapshot(job, [o.training("algo-2")], now=1000))
    assert [(host.name, host.exit_code, host.objects, host.bytes) for host in later.hosts] == [
        ("algo-1", 0, 7, 700),
        ("algo-2", None, 7, 700),
    ]


def test_the_arn_has_the_role_s_region_and_account_and_stays() -> None:
    job = after(o.job(), live(o.job(), [[o.starting()]]))
    assert job.status.training_job_arn == f"arn:aws:sagemaker:eu-central-1:123456789012:training-job/{o.NAME}"
    assert step(o.snapshot(job, [o.training()], roles=())).training_job_arn == job.status.training_job_arn


def test_a_later_generation_is_observed() -> None:
    job = replace(after(o.job(), live(o.job(), [[o.training()]])), generation=7)
    assert step(o.snapshot(job, [o.training()])).observed_generation == 7


def test_a_host_that_the_cluster_ends_is_named_before_it_has_ended() -> None:
    tainted = {
        "type": "DisruptionTarget",
        "status": "True",
        "message": "Taint manager: deleting due to NoExecute taint",
    }
    status = live(o.job(), [[o.training(status={"conditions": [tainted]})]])
    assert reason(status) == "PodLost"
    assert all(word in message(status) for word in ("algo-1", "node-1", "NoExecute"))


def test_a_service_that_takes_a_host_s_name_is_named_until_training_runs() -> None:
    job = o.job(hosts=2)
    status = step(o.snapshot(job, [o.staging(), o.staging("algo-2")], shadowed=("algo-1",)))
    assert (reason(status), reason(status, "Reconciling")) == ("NameShadowed", "NameShadowed")
    assert "Service algo-1" in message(status)
    assert [said.kind for said in announcements(job, status) if said.reason == "NameShadowed"] == ["Warning"]
    status = step(o.snapshot(job, [o.training(), o.training("algo-2")], shadowed=("algo-1",)))
    assert reason(status) == "Training"


def test_an_agent_that_cannot_start_is_shown_with_its_last_words() -> None:
    last = {"lastState": {"terminated": {"exitCode": 1, "message": "the plan cannot be read"}}}
    pod = o.pod(
        status={"phase": "Pending"}, containers={"sidecar": o.waiting("CrashLoopBackOff", "back-off 20s") | last}
    )
    told = message(live(o.job(), [[pod]]))
    assert "container sidecar on algo-1: the plan cannot be read" in told
