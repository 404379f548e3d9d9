"""The clocks of a job: how long it may run, wait and stay without capacity, and why it is to be stopped now.

maxRuntimeInSeconds is kept by the agents, also while the operator is away: here is only what earlier attempts have left of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from trainyard.api.reasons import Reason
from trainyard.api.report import StopReason
from trainyard.api.status import SecondaryStatus
from trainyard.controller.core.job import Job
from trainyard.controller.core.references import Unresolved
from trainyard.controller.core.snapshot import Snapshot

CAPACITY_TEXT = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
)


@dataclass(frozen=True)
class Cause:
    """Why a job is stopped, and how it is then called. `since` is when the limit was reached; None for a user's stop."""

    order: StopReason
    reason: Reason
    secondary: SecondaryStatus
    message: str
    since: datetime | None = None


USER_STOP = Cause(StopReason.USER_REQUESTED, Reason.STOPPED, SecondaryStatus.STOPPED, "Training job stopped")


def remaining_runtime(job: Job) -> int:
    """Seconds that earlier attempts have left of maxRuntimeInSeconds, at least 1."""
    limit = job.spec.stopping_condition.max_runtime_in_seconds if job.spec is not None else 1
    return max(limit - (job.status.earlier_running_time_in_seconds or 0), 1)


def is_suspended(job: Job) -> bool:
    """As its status says: no pod is there, and its clocks stand still."""
    condition = job.condition(Reason.SUSPENDED)
    return condition is not None and condition.status == "True"


def wait_deadline(job: Job) -> datetime | None:
    """When waiting and running together must end; None without a limit, or while the clock stands still."""
    limit = job.spec.stopping_condition.max_wait_time_in_seconds if job.spec is not None else None
    if limit is None or is_suspended(job):
        return None
    return job.created + timedelta(seconds=limit + (job.status.suspended_time_in_seconds or 0))


def pending_deadline(snapshot: Snapshot) -> datetime | None:
    """When the present attempt must have its nodes; None without a limit, or once all hosts have theirs."""
    job = snapshot.job
    limit = job.spec.stopping_condition.max_pending_time_in_seconds if job.spec is not None else None
    scheduled = snapshot.complete and all(pod.scheduled for pod in snapshot.pods)
    if limit is None or scheduled or is_suspended(job):
        return None
    return (job.status.attempt_start_time or job.created) + timedelta(seconds=limit)


def stop_cause(snapshot: Snapshot) -> Cause | None:
    """Why the job is to be stopped; a user's stop outranks the clocks."""
    job, now = snapshot.job, snapshot.now
    if job.stop:
        return USER_STOP
    if job.spec is None:
        return None
    limits = job.spec.stopping_condition
    if (end := wait_deadline(job)) is not None and now >= end:
        text = f"Training job stopped: waiting and running took {limits.max_wait_time_in_seconds} s (stoppingCondition.maxWaitTimeInSeconds)"
        return Cause(
            StopReason.MAX_WAIT_TIME_EXCEEDED,
            Reason.MAX_WAIT_TIME_EXCEEDED,
            SecondaryStatus.MAX_WAIT_TIME_EXCEEDED,
            text,
            end,
        )
    if (end := pending_deadline(snapshot)) is not None and now >= end:
        waited = f"Waited {limits.max_pending_time_in_seconds} s (stoppingCondition.maxPendingTimeInSeconds)"
        words = next((f" {pod.unschedulable}" for pod in snapshot.pods if pod.unschedulable), "")
        missed = snapshot.resolution if snapshot.missing else None
        text = f"{waited}: {missed.message}" if isinstance(missed, Unresolved) else f"{CAPACITY_TEXT} {waited}.{words}"
        return Cause(
            StopReason.MAX_PENDING_TIME_EXCEEDED,
            Reason.MAX_PENDING_TIME_EXCEEDED,
            SecondaryStatus.STOPPED,
            text,
            end,
        )
    return None


def next_deadline(snapshot: Snapshot) -> datetime | None:
    """When one of the clocks asks for another look."""
    ends = [end for end in (wait_deadline(snapshot.job), pending_deadline(snapshot)) if end is not None]
    return min((end for end in ends if end > snapshot.now), default=None)
