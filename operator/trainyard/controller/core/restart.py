"""Whether an attempt that is over, or that cannot go on, is followed by another one, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from trainyard.api import names
from trainyard.api.reasons import Reason
from trainyard.api.report import StopReason
from trainyard.api.status import AttemptRecord, JobStatus
from trainyard.controller.core import evidence
from trainyard.controller.core.job import Job
from trainyard.controller.core.snapshot import Snapshot, once

INTERNAL = "InternalServerError"
# Attempts that fail one after the other within QUICK_SECONDS of running wait longer and longer.
QUICK_SECONDS, FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 600, 10, 300
REMEMBERED = 10


@dataclass(frozen=True)
class Restart:
    """Another attempt follows. `reason` is Retrying, Interrupted or Suspended; `at` is when this one ended."""

    reason: Reason
    message: str
    at: datetime


def followed_up(snapshot: Snapshot, reason: Reason, text: str) -> Reason | None:
    """As what a failure of this kind starts the job again; None if the job ends with it."""
    job = snapshot.job
    if job.spec is None or not text.startswith(INTERNAL) or _out_of_time(job):
        return None
    if job.spec.enable_managed_spot_training and reason is Reason.POD_LOST:
        return Reason.INTERRUPTED
    strategy = job.spec.retry_strategy
    if strategy is not None and (job.status.retry_attempts or 0) < strategy.maximum_retry_attempts:
        return Reason.RETRYING
    return None


def _out_of_time(job: Job) -> bool:
    """Earlier attempts have used up maxRuntimeInSeconds: another one would be stopped as it starts."""
    limit = job.spec.stopping_condition.max_runtime_in_seconds if job.spec is not None else 0
    return (job.status.earlier_running_time_in_seconds or 0) >= limit


@once
def suspending(snapshot: Snapshot) -> bool:
    """Asked for, or begun: a host that was told to end for it cannot be called back."""
    told = any(evidence.ordered(pod) is StopReason.SUSPENDED for pod in snapshot.pods)
    ended = any(evidence.stop_reason(snapshot, pod) is StopReason.SUSPENDED for pod in snapshot.pods)
    return snapshot.job.suspend or told or ended


def due(job: Job) -> datetime | None:
    """When the present attempt may make its pods; None: at once."""
    since, earlier = job.status.attempt_start_time, job.status.earlier_attempts
    quick = 0
    for record in reversed(earlier):
        ran = (record.end_time - record.start_time).total_seconds() if record.start_time is not None else 0
        if record.reason == Reason.SUSPENDED or ran >= QUICK_SECONDS:
            break
        quick += 1
    if since is None or quick == 0:
        return None
    return since + timedelta(seconds=min(FIRST_DELAY_SECONDS * 2 ** (quick - 1), LONGEST_DELAY_SECONDS))


def started_over(status: JobStatus, restart: Restart, began: datetime | None, now: datetime) -> JobStatus:
    """`status` as the next attempt's, before it has a pod. `began` is when staging of the one that is over began."""
    attempt = status.attempt or 1
    record = AttemptRecord(
        attempt=attempt,
        start_time=began,
        end_time=restart.at,
        reason=restart.reason.value,
        message=restart.message[: names.FAILURE_REASON_CHARS],
    )
    ran = int((restart.at - began).total_seconds()) if began is not None else 0
    counted = {Reason.RETRYING: "retry_attempts", Reason.INTERRUPTED: "interruptions"}.get(restart.reason)
    counter = {counted: (getattr(status, counted) or 0) + 1} if counted else {}
    return status.model_copy(
        update={
            "attempt": attempt + 1,
            "attempt_start_time": now,
            "hosts": [],
            "earlier_attempts": [*status.earlier_attempts, record][-REMEMBERED:],
            "earlier_running_time_in_seconds": (status.earlier_running_time_in_seconds or 0) + max(ran, 0),
        }
        | counter
    )
