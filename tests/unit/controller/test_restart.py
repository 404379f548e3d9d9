"""Another attempt after an interruption, an InternalServerError or a suspension: when, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support import objects as o
from trainyard.api import names
from trainyard.api.limits import StoppingCondition
from trainyard.api.report import Result, StopOrder, StopReason
from trainyard.api.status import JobStatus
from trainyard.controller.core.actions import actions
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.job import Job
from trainyard.controller.core.jobplan import job_plan
from trainyard.controller.core.observed import Pod, as_gone
from trainyard.controller.core.policies import decide
from trainyard.controller.core.references import Resolved
from trainyard.controller.core.snapshot import Snapshot
from trainyard.controller.core.status import reduce

RETRY = {"retryStrategy": {"maximumRetryAttempts": 2}}
SPOT = {
    "enableManagedSpotTraining": True,
    "stoppingCondition": {"maxRuntimeInSeconds": 86400, "maxWaitTimeInSeconds": 604800},
}
DRAINED = {
    "conditions": [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": o.stamp(1)},
        {"type": "DisruptionTarget", "status": "True", "message": "Eviction API: evicting"},
    ]
}


def lost(host: str = "algo-1") -> Pod:
    return as_gone(o.training(host, status=DRAINED, metadata={"deletionTimestamp": o.stamp(100)}))


def interrupted(host: str = "algo-2") -> Pod:
    """It was told to end because another host was lost, and has."""
    return o.stopped(host, why=StopReason.INTERRUPTED)


def after(job: Job, status: JobStatus) -> Job:
    return replace(job, status=JobStatus.model_validate(status.to_dict()), raw_status=status.to_dict())


def look(job: Job, pods: list[Pod], now: float = 1000, **more: Any) -> tuple[Decision, Snapshot, Job]:
    """One pass: what was decided, on what, and the job with the status that was written."""
    snapshot = o.snapshot(job, pods, now=now, **more)
    decision = decide(snapshot)
    return decision, snapshot, after(job, reduce(snapshot, decision))


def path(job: Job) -> list[str]:
    return [entry.status for entry in job.status.secondary_status_transitions]


def trained(**spec: Any) -> Job:
    """One host, in training from second 6 on."""
    job = o.job(**spec)
    for pods in ([o.starting()], [o.training()]):
        _, _, job = look(job, pods, now=10)
    return job


@pytest.mark.parametrize(
    ("spec", "pod", "act", "reason"),
    [
        (RETRY, lost(), Act.RESTART, "Retrying"),
        (SPOT, lost(), Act.RESTART, "Interrupted"),
        (RETRY | SPOT, lost(), Act.RESTART, "Interrupted"),
        ({}, lost(), Act.FINISH, "PodLost"),
        (SPOT, o.training(status={"phase": "Failed"} | DRAINED), Act.RESTART, "Interrupted"),
        (RETRY, o.over(code=3), Act.FINISH, "AlgorithmError"),
        (RETRY, o.over(code=137, reason="OOMKilled"), Act.FINISH, "OutOfMemory"),
        (RETRY, o.stage_failed(message="ClientError: no", reason="NoData"), Act.FINISH, "NoData"),
        (RETRY, o.over(code=0, message=""), Act.RESTART, "Retrying"),
        (SPOT, o.over(code=0, message=""), Act.FINISH, "InternalError"),
        (RETRY | {"stop": True}, lost(), Act.FINISH, "Stopped"),
        (RETRY, o.stopped(why=StopReason.MAX_RUNTIME_EXCEEDED), Act.FINISH, "MaxRuntimeExceeded"),
    ],
)
def test_only_what_the_platform_did_starts_a_job_again(spec: dict[str, Any], pod: Pod, act: Act, reason: str) -> None:
    decision, _, _ = look(trained(**spec), [pod])
    assert (decision.act, decision.reason) == (act, reason), decision.message


def test_a_retry_counts_its_attempts_and_gives_up_after_the_last() -> None:
    job = trained(**RETRY)
    for attempt in (2, 3):
        decision, _, job = look(job, [replace(lost(), attempt=attempt - 1)], now=100)
        assert decision.act is Act.RESTART
        assert (job.status.attempt, job.status.retry_attempts, job.status.hosts) == (attempt, attempt - 1, [])
    decision, _, job = look(job, [lost()], now=200)
    assert (decision.act, job.status.training_job_status) == (Act.FINISH, "Failed")
    assert (job.status.failure_reason or "").startswith("InternalServerError")


def test_a_retry_goes_back_to_starting_and_an_interruption_shows_interrupted_first() -> None:
    for spec, between in ((RETRY, ["Starting"]), (SPOT, ["Interrupted", "Starting"])):
        _, _, job = look(trained(**spec), [lost()], now=100)
        _, _, job = look(job, [o.starting()], now=130)
        assert path(job) == ["Starting", "Downloading", "Training", *between]
        assert job.status.training_job_status == "InProgress"


def test_the_second_attempt_goes_the_whole_way_and_keeps_the_first_start() -> None:
    _, _, job = look(trained(**SPOT), [lost()], now=100)
    first = job.status.training_start_time
    later = {name: o.ended(200, 260) for name in ("training", "hold")}
    told = o.report("algo-1", Result.STAGED)
    states = {"sidecar": o.running(190), "prefetch": o.ended(191, 191), "stage": o.ended(192, 195, message=told)}
    _, _, job = look(job, [o.pod(containers=states | {"training": o.running(200), "hold": o.running(200)})], now=201)
    states["sidecar"] = o.ended(190, 270, message=o.report())
    _, _, job = look(job, [o.pod(containers=states | later, status={"phase": "Succeeded"})], now=280)
    assert path(job)[-6:] == ["Interrupted", "Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert (job.status.training_start_time, job.status.attempt) == (first, 2)
    assert job.status.training_time_in_seconds == 268, "from the first staging to the end, whatever lay between"
    assert job.status.billable_time_in_seconds == 98 + 80, "what ran: until the loss, and from the second staging on"


def test_running_time_is_counted_whatever_the_nodes_clock_says() -> None:
    """The second attempt's node is 90 s behind the operator, so that its pods seem to begin before they were due."""
    _, _, job = look(trained(**RETRY), [lost()], now=300)
    behind = {"sidecar": o.running(212), "prefetch": o.ended(213, 213), "stage": o.running(214)}
    _, _, job = look(job, [o.pod(containers=behind)], now=310)
    drained = o.pod(
        status=DRAINED,
        metadata={"deletionTimestamp": o.stamp(500)},
        containers=behind | {"stage": o.ended(214, 215), "training": o.ended(216, 312, 143), "hold": o.ended(216, 313)},
    )
    _, _, job = look(job, [as_gone(drained)], now=500)
    assert job.status.attempt == 3
    assert job.status.earlier_running_time_in_seconds == 98 + (313 - 212)
    states = {"sidecar": o.ended(412, 470, message=o.report()), "prefetch": o.ended(413, 413)}
    states |= {"stage": o.ended(414, 415), "training": o.ended(416, 460), "hold": o.ended(416, 461)}
    _, _, job = look(job, [o.pod(containers=states, status={"phase": "Succeeded"})], now=560)
    assert job.status.billable_time_in_seconds == 199 + (470 - 412)


def test_what_earlier_attempts_ran_counts_for_the_runtime_limit() -> None:
    job = trained(stoppingCondition={"maxRuntimeInSeconds": 500}, **RETRY)
    late = as_gone(o.uploading(code=137, until=302, status=DRAINED, metadata={"deletionTimestamp": o.stamp(300)}))
    _, snapshot, job = look(job, [late], now=400)
    assert job.status.earlier_running_time_in_seconds == 300
    assert isinstance(snapshot.resolution, Resolved)
    assert job_plan(job, snapshot.resolution, snapshot.options).max_runtime_seconds == 200


def test_attempts_that_end_at_once_wait_longer_each_time_and_long_ones_do_not() -> None:
    job = trained(**SPOT)
    _, _, job = look(job, [lost()], now=100)
    decision, snapshot, _ = look(job, [], now=101)
    assert (decision.act, decision.requeue_after) == (Act.WAIT, 9)
    assert actions(snapshot, decision).pods == ()
    assert decide(o.snapshot(job, [], now=110)).act is Act.MAKE
    _, _, again = look(job, [lost()], now=120)
    assert decide(o.snapshot(again, [], now=121)).requeue_after == 19
    long_run = o.uploading(code=137, until=5000, status=DRAINED, metadata={"deletionTimestamp": o.stamp(4900)})
    _, _, rested = look(trained(**SPOT), [as_gone(long_run)], now=5001)
    assert decide(o.snapshot(rested, [], now=5001)).act is Act.MAKE


def test_the_other_hosts_of_a_lost_one_are_told_that_the_job_goes_on() -> None:
    job = o.job(hosts=2, **RETRY)
    pods = [lost(), o.training("algo-2")]
    _, _, job = look(job, [o.training(), o.training("algo-2")], now=10)
    decision, snapshot, job = look(job, pods, now=100)
    assert decision.act is Act.ABORT
    (order,) = actions(snapshot, decision).annotate
    assert StopOrder.from_json(order.annotations[names.ANNOTATION_STOP]).reason is StopReason.INTERRUPTED
    assert (job.status.secondary_status, job.condition("Ready").reason) == ("Training", "Interrupted")
    decision, _, job = look(job, [lost(), interrupted()], now=200)
    assert (decision.act, job.status.attempt) == (Act.RESTART, 2)
    assert path(job) == ["Starting", "Downloading", "Training", "Starting"]


def test_the_other_hosts_of_one_that_is_being_drained_need_not_wait_for_its_end() -> None:
    leaving = o.training(status=DRAINED, metadata={"deletionTimestamp": o.stamp(500)})
    for spec, reason in ((RETRY, StopReason.INTERRUPTED), ({}, StopReason.HOST_FAILED)):
        job = o.job(hosts=2, **spec)
        _, _, job = look(job, [o.training(), o.training("algo-2")], now=10)
        decision, snapshot, job = look(job, [leaving, o.training("algo-2")], now=100)
        (order,) = actions(snapshot, decision).annotate
        assert order.pod.host == "algo-2"
        assert StopOrder.from_json(order.annotations[names.ANNOTATION_STOP]).reason is reason
    assert look(trained(), [leaving], now=100)[0].act is Act.WATCH, "a single host has nobody to tell"


def test_the_first_failure_decides_whether_a_gang_starts_again() -> None:
    job = o.job(hosts=2, **RETRY)
    _, _, job = look(job, [o.training(), o.training("algo-2")], now=10)
    broken = o.over("algo-1", code=1, until=50)
    late = as_gone(o.uploading("algo-2", code=137, until=90, metadata={"deletionTimestamp": o.stamp(80)}))
    decision, _, _ = look(job, [broken, late], now=100)
    assert (decision.act, decision.reason) == (Act.FINISH, "AlgorithmError")


def silent(since: float, host: str = "algo-1") -> Pod:
    """Marked by the cluster as not ready at `since`, and taken off its node five minutes later: its kubelet says nothing more."""
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": o.stamp(1)},
        {"type": "Ready", "status": "False", "lastTransitionTime": o.stamp(since)},
        {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": o.stamp(since + 300)},
    ]
    deleted = {"deletionTimestamp": o.stamp(since + 720)}
    return as_gone(o.training(host, status={"conditions": conditions}, metadata=deleted))


def test_a_host_that_is_lost_after_hours_has_run_for_hours() -> None:
    job = trained(**SPOT)
    _, snapshot, job = look(job, [silent(36050)], now=36400)
    (record,) = job.status.earlier_attempts
    assert record.end_time == o.at(36000), "its node was silent for a while before the cluster said so"
    assert job.status.earlier_running_time_in_seconds == 36000 - 2
    assert job.status.secondary_status_transitions[-1].start_time == o.at(36000)
    assert isinstance(snapshot.resolution, Resolved)
    assert job_plan(job, snapshot.resolution, snapshot.options).max_runtime_seconds == 86400 - 35998
    assert look(job, [], now=36401)[0].act is Act.MAKE, "that was no quick end, so nothing waits"


def test_a_job_whose_host_is_lost_late_is_kept_for_its_whole_time() -> None:
    lost_late = as_gone(o.training(metadata={"deletionTimestamp": o.stamp(5000)}))
    _, _, job = look(trained(ttlSecondsAfterFinished=3600), [lost_late], now=5000)
    assert (job.status.training_job_status, job.status.training_end_time) == ("Failed", o.at(5000))
    assert look(job, [lost_late], now=5001)[0].requeue_after == 3599


@pytest.mark.parametrize(
    ("failed_at", "act", "reason"), [(900, Act.FINISH, "AlgorithmError"), (1010, Act.RESTART, "Retrying")]
)
def test_what_fails_because_another_host_is_lost_is_not_the_first_failure(
    failed_at: int, act: Act, reason: str
) -> None:
    """algo-1 dies at 1000 s, which the cluster says 50 s later."""
    job = o.job(hosts=2, **RETRY)
    _, _, job = look(job, [o.training(), o.training("algo-2")], now=10)
    decision, _, _ = look(job, [silent(1050), o.over("algo-2", code=1, until=failed_at)], now=1400)
    assert (decision.act, decision.reason) == (act, reason)


def test_the_other_host_of_one_that_is_drained_may_fail_before_it_has_uploaded() -> None:
    job = o.job(hosts=2, **RETRY)
    _, _, job = look(job, [o.training(), o.training("algo-2")], now=10)
    states = o.staged() | {
        "training": o.ended(6, 110, 143),
        "hold": o.ended(6, 100),
        "sidecar": o.ended(2, 200, message=o.report(stop_reason=StopReason.DELETED)),
    }
    drained = o.pod(containers=states, metadata={"deletionTimestamp": o.stamp(520)}, status={"phase": "Failed"})
    decision, _, _ = look(job, [drained, o.over("algo-2", code=1, until=111)], now=300)
    assert decision.act is Act.RESTART, decision.message


def test_a_host_that_vanishes_without_a_word_changes_a_status_once() -> None:
    job = o.job(hosts=2, **RETRY)
    pods = [as_gone(o.training()), o.training("algo-2")]
    for now in (10, 100):
        _, _, job = look(job, [o.training(), pods[1]] if now == 10 else pods, now=now)
    snapshot = o.snapshot(job, pods, now=200)
    assert reduce(snapshot, decide(snapshot)) is job.status


def test_the_pods_of_an_earlier_attempt_go_with_their_plan() -> None:
    _, _, job = look(trained(**RETRY), [lost()], now=100)
    old = o.over(code=1, status=DRAINED)
    decision, snapshot, _ = look(job, [], now=101, earlier=(old,))
    assert actions(snapshot, decision).plans == ((f"{o.NAME}-1-plan", "plan-uid"),)


def test_a_dead_node_is_not_waited_for() -> None:
    leaving = o.training(status=DRAINED, metadata={"deletionTimestamp": o.stamp(500)})
    assert look(trained(**RETRY), [leaving], now=100)[0].act is Act.WATCH
    assert look(trained(**RETRY), [replace(leaving, node_dead=True)], now=100)[0].act is Act.RESTART


# -- suspend


def suspend(job: Job, value: bool = True) -> Job:
    assert job.spec is not None
    return replace(job, spec=job.spec.model_copy(update={"suspend": value}), generation=job.generation + 1)


def test_a_job_that_is_suspended_from_the_start_makes_nothing_until_it_may() -> None:
    job = o.job(suspend=True)
    decision, snapshot, job = look(job, [], now=5)
    assert (decision.act, actions(snapshot, decision).pods, path(job)) == (Act.WAIT, (), ["Pending"])
    assert {kind: job.condition(kind).status for kind in ("Suspended", "Ready", "Reconciling")} == {
        "Suspended": "True",
        "Ready": "True",
        "Reconciling": "False",
    }
    decision, _, job = look(suspend(job, False), [], now=65)
    assert decision.act is Act.MAKE
    assert (job.status.attempt, job.status.suspended_time_in_seconds) == (1, 60)
    assert job.condition("Suspended").status == "False"


def test_a_suspended_job_ends_its_pods_and_goes_on_as_a_new_attempt() -> None:
    job = suspend(trained())
    decision, snapshot, job = look(job, [o.training()], now=20)
    assert decision.act is Act.SUSPEND
    (order,) = actions(snapshot, decision).annotate
    assert StopOrder.from_json(order.annotations[names.ANNOTATION_STOP]).reason is StopReason.SUSPENDED
    assert job.status.training_job_status == "InProgress"
    decision, _, job = look(job, [o.stopped(why=StopReason.SUSPENDED)], now=80)
    assert (decision.act, job.status.attempt, job.status.secondary_status) == (Act.RESTART, 2, "Interrupted")
    decision, _, job = look(job, [], now=81)
    assert (decision.act, job.condition("Suspended").status) == (Act.WAIT, "True")
    decision, _, job = look(suspend(job, False), [], now=181)
    assert (decision.act, job.status.suspended_time_in_seconds) == (Act.MAKE, 100)
    _, _, job = look(job, [o.starting()], now=182)
    assert path(job) == ["Starting", "Downloading", "Training", "Interrupted", "Starting"]


def test_a_suspension_that_is_taken_back_too_late_is_followed_by_a_new_attempt_at_once() -> None:
    job = suspend(suspend(trained()), False)
    told = o.training(annotations={names.ANNOTATION_STOP: StopOrder(reason=StopReason.SUSPENDED).to_json()})
    assert look(job, [told], now=20)[0].act is Act.SUSPEND
    decision, _, job = look(job, [o.stopped(why=StopReason.SUSPENDED)], now=80)
    assert decision.act is Act.RESTART
    assert look(job, [], now=81)[0].act is Act.MAKE


@pytest.mark.parametrize(
    ("pod", "act", "reason"),
    [
        (o.over(), Act.FINISH, "Completed"),
        (o.over(code=3), Act.FINISH, "AlgorithmError"),
        (lost(), Act.RESTART, "Suspended"),
    ],
)
def test_a_job_that_ends_before_it_hears_of_its_suspension_has_ended(pod: Pod, act: Act, reason: str) -> None:
    decision, _, _ = look(suspend(trained()), [pod], now=100)
    assert (decision.act, decision.reason) == (act, reason)


@pytest.mark.parametrize("order", [StopReason.SUSPENDED, StopReason.INTERRUPTED])
def test_a_host_that_was_told_to_end_and_left_no_report_has_not_failed_by_itself(order: StopReason) -> None:
    told = {names.ANNOTATION_STOP: StopOrder(reason=order).to_json()}
    job = suspend(trained(**RETRY)) if order is StopReason.SUSPENDED else trained(**RETRY)
    decision, _, _ = look(job, [o.over(code=143, message="", annotations=told)], now=100)
    assert decision.act is Act.RESTART, decision.message


def test_a_suspended_job_can_be_stopped() -> None:
    _, _, job = look(o.job(suspend=True), [], now=5)
    assert job.spec is not None
    stopped = replace(job, spec=job.spec.model_copy(update={"stop": True}), generation=9)
    decision, _, job = look(stopped, [], now=10)
    assert (decision.act, job.status.training_job_status) == (Act.FINISH, "Stopped")


# -- the clocks of waiting


def test_a_spot_job_is_stopped_when_waiting_and_running_have_taken_too_long() -> None:
    job = trained(
        stoppingCondition={"maxRuntimeInSeconds": 100, "maxWaitTimeInSeconds": 200}, enableManagedSpotTraining=True
    )
    assert look(job, [o.training()], now=150)[0].requeue_after == 50
    decision, snapshot, job = look(job, [o.training()], now=200)
    assert decision.act is Act.STOP
    assert "maxWaitTimeInSeconds" in next(iter(actions(snapshot, decision).annotate[0].annotations.values()))
    _, _, job = look(job, [o.stopped(why=StopReason.MAX_WAIT_TIME_EXCEEDED)], now=250)
    assert (job.status.training_job_status, path(job)[-2:]) == ("Stopped", ["Stopping", "MaxWaitTimeExceeded"])


def test_a_job_that_waits_between_two_attempts_is_stopped_at_its_wait_limit() -> None:
    job = trained(
        stoppingCondition={"maxRuntimeInSeconds": 100, "maxWaitTimeInSeconds": 200}, enableManagedSpotTraining=True
    )
    _, _, job = look(job, [lost()], now=150)
    _, _, job = look(job, [], now=200)
    assert path(job)[-2:] == ["Stopping", "MaxWaitTimeExceeded"]


def test_the_wait_clock_stands_still_while_a_job_is_suspended() -> None:
    job = o.job(
        stoppingCondition={"maxRuntimeInSeconds": 100, "maxWaitTimeInSeconds": 200},
        suspend=True,
        enableManagedSpotTraining=True,
    )
    _, _, job = look(job, [], now=10)
    assert look(job, [], now=900)[0].act is Act.WAIT
    decision, _, job = look(suspend(job, False), [], now=910)
    assert decision.act is Act.MAKE
    assert look(job, [o.unscheduled()], now=1090)[0].act is Act.WATCH
    assert look(job, [o.unscheduled()], now=1101)[0].act is Act.STOP


def test_a_failure_before_the_wait_limit_that_is_seen_after_it_stays_a_failure() -> None:
    job = trained(
        stoppingCondition={"maxRuntimeInSeconds": 100, "maxWaitTimeInSeconds": 200}, enableManagedSpotTraining=True
    )
    decision, _, _ = look(job, [o.over(code=3, until=60)], now=900)
    assert (decision.act, decision.reason) == (Act.FINISH, "AlgorithmError")


def test_a_host_that_is_lost_after_the_wait_limit_had_stopped_its_job_changes_nothing() -> None:
    job = trained(
        stoppingCondition={"maxRuntimeInSeconds": 100, "maxWaitTimeInSeconds": 200}, enableManagedSpotTraining=True
    )
    _, _, job = look(job, [o.training()], now=200)
    decision, _, _ = look(job, [as_gone(o.training(metadata={"deletionTimestamp": o.stamp(210)}))], now=211)
    assert (decision.act, decision.reason) == (Act.FINISH, "MaxWaitTimeExceeded")


def test_a_job_without_capacity_is_stopped_after_its_pending_time_with_the_schedulers_words() -> None:
    job = o.job(stoppingCondition={"maxRuntimeInSeconds": 100, "maxPendingTimeInSeconds": 1800})
    _, _, job = look(job, [o.unscheduled()], now=1799)
    decision, snapshot, job = look(job, [o.unscheduled()], now=1800)
    assert decision.act is Act.STOP
    assert [pod.host for pod in actions(snapshot, decision).delete] == ["algo-1"]
    _, _, job = look(job, [as_gone(o.unscheduled())], now=1805)
    assert (job.status.training_job_status, job.status.secondary_status) == ("Stopped", "Stopped")
    said = job.status.secondary_status_transitions[-1].status_message
    assert said.startswith("CapacityError: Unable to provision requested ML compute capacity.")
    assert "Insufficient cpu" in said


def test_each_attempt_has_the_pending_time_for_itself() -> None:
    """The second is due when the first is over, long after the pending time of a job that had counted from its creation."""
    job = o.job(**RETRY, stoppingCondition={"maxRuntimeInSeconds": 86400, "maxPendingTimeInSeconds": 1800})
    _, _, job = look(job, [o.training()], now=5000)
    decision, _, job = look(job, [lost()], now=5000)
    assert (decision.act, job.attempt, job.status.attempt_start_time) == (Act.RESTART, 2, o.at(5000))
    decision, _, _ = look(job, [o.unscheduled()], now=6799)
    assert (decision.act, decision.requeue_after) == (Act.WATCH, 1)
    assert look(job, [o.unscheduled()], now=6800)[0].act is Act.STOP
    told = StoppingCondition.model_fields["max_pending_time_in_seconds"].description or ""
    assert "status.attemptStartTime" in told


@pytest.mark.parametrize("behind", [0, 6, 1800])
def test_pods_that_had_no_node_are_stopped_whatever_the_apiservers_clock_says_of_their_deletion(behind: int) -> None:
    job = o.job(stoppingCondition={"maxRuntimeInSeconds": 100, "maxPendingTimeInSeconds": 1800})
    _, _, job = look(job, [o.unscheduled()], now=1800)
    deleted = replace(as_gone(o.unscheduled()), deleting=o.at(1801 - behind))
    _, _, job = look(job, [deleted], now=1805)
    assert (job.status.training_job_status, job.status.secondary_status) == ("Stopped", "Stopped")


def test_a_job_that_has_its_nodes_knows_no_pending_time() -> None:
    job = o.job(stoppingCondition={"maxRuntimeInSeconds": 100, "maxPendingTimeInSeconds": 1800})
    assert look(job, [o.training()], now=5000)[0].act is Act.WATCH


# -- after the end


@pytest.mark.parametrize(("annotated", "removed"), [(False, False), (True, True)])
def test_what_is_left_of_a_job_goes_after_its_time(annotated: bool, removed: bool) -> None:
    job = trained(ttlSecondsAfterFinished=100)
    _, _, job = look(job, [o.over()], now=80)
    assert decide(o.snapshot(job, [o.over()], now=90)).requeue_after == 80
    asked = {"trainyard.dev/delete-after-ttl": "true"} if annotated else {}
    decision, snapshot, _ = look(replace(job, annotations=asked), [o.over()], now=170)
    found = actions(snapshot, decision)
    assert (decision.act, found.expired, found.remove) == (Act.CLEAN, True, removed)
    assert decision.requeue_after is None


@pytest.mark.parametrize("edited", ["objects", "sideways"])
def test_an_annotation_edited_while_a_job_runs_neither_changes_nor_fails_its_next_attempt(edited: str) -> None:
    source = {"s3DataSource": {"s3URI": "s3://data/train"}}
    job = o.job(inputDataConfig=[{"channelName": "train", "dataSource": source}], **RETRY)
    job = replace(job, annotations={names.ANNOTATION_SHARDING: "bytes"})
    _, _, job = look(job, [o.training()], now=10)
    _, _, job = look(replace(job, annotations={names.ANNOTATION_SHARDING: edited}), [lost()], now=100)
    decision, snapshot, _ = look(job, [], now=200)
    assert decision.act is Act.MAKE, decision.message
    assert isinstance(decision.resolved, Resolved)
    assert job_plan(job, decision.resolved, snapshot.options).channels[0].sharding == "bytes"


def test_a_job_whose_annotations_are_not_understood_by_now_records_no_choice_and_goes_on() -> None:
    job = replace(o.job(), annotations={names.ANNOTATION_SHARDING: "sideways"})
    decision, _, job = look(job, [o.training()], now=10)
    assert (decision.act, job.status.choices) == (Act.WATCH, None)
