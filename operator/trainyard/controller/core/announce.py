"""Which Events a change of status deserves: the start, the end, and whatever a person can do something about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainyard.api.reasons import Reason
from trainyard.api.status import TERMINAL, JobStatus, TrainingJobStatus
from trainyard.controller.core.conditions import FIELDS_IGNORED
from trainyard.controller.core.job import Job
from trainyard.controller.core.logmetrics import METRICS_READ

# Reasons of Ready that a person can act upon.
ACTIONABLE = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.INSTANCE_TYPE_NOT_FOUND,
        Reason.INSTANCE_TYPE_INVALID,
        Reason.EXECUTION_ROLE_NOT_FOUND,
        Reason.EXECUTION_ROLE_AMBIGUOUS,
        Reason.NAME_IN_USE,
        Reason.PODS_REFUSED,
        Reason.UNSCHEDULABLE,
        Reason.IMAGE_PULL_FAILING,
        Reason.DOWNLOAD_BLOCKED,
        Reason.UPLOAD_BLOCKED,
        Reason.NAME_SHADOWED,
        Reason.POD_LOST,
    }
)


@dataclass(frozen=True)
class Announcement:
    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


def _ignored(before: JobStatus, status: JobStatus) -> list[Announcement]:
    """Once: the fields are the spec's, and so are there from the first status on."""
    if any(condition.type == FIELDS_IGNORED for condition in before.conditions):
        return []
    found = [condition for condition in status.conditions if condition.type == FIELDS_IGNORED]
    return [Announcement("Warning", condition.type, condition.message) for condition in found]


def announcements(job: Job, status: JobStatus) -> list[Announcement]:
    """What to say once `status` has replaced that of `job`."""
    before = job.status
    said = _ignored(before, status)
    if before.training_job_status in TERMINAL:
        if job.stop and before.observed_generation != status.observed_generation:
            said.append(
                Announcement("Normal", Reason.STOP_IGNORED, f"the job had already ended: {before.secondary_status}")
            )
        return said
    doing = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    if status.training_job_status in TERMINAL:
        failed = status.training_job_status is TrainingJobStatus.FAILED
        reason = doing.reason if doing is not None else str(status.secondary_status)
        message = status.failure_reason or status.secondary_status_transitions[-1].status_message
        said.append(Announcement("Warning" if failed else "Normal", reason, message))
        return said
    if (status.attempt or 1) > (before.attempt or 1):
        last = status.earlier_attempts[-1]
        said.append(Announcement("Normal", last.reason, f"attempt {last.attempt} is over: {last.message}"))
        return said
    if status.hosts and not before.hosts:
        said.append(
            Announcement("Normal", Reason.STARTING, f"made {len(status.hosts)} pod(s): {status.hosts[0].pod} ...")
        )
    said += _metrics(before, status)
    was = next((condition for condition in before.conditions if condition.type == "Ready"), None)
    suspended = doing is not None and doing.reason == Reason.SUSPENDED
    if doing is not None and suspended != (was is not None and was.reason == Reason.SUSPENDED):
        what = "suspended" if suspended else "resumed"
        said.append(Announcement("Normal", "Suspended" if suspended else "Resumed", f"the job is {what}"))
    if doing is not None and doing.reason in ACTIONABLE and (was is None or was.reason != doing.reason):
        said.append(Announcement("Warning", doing.reason, doing.message))
    return said


def _metrics(before: JobStatus, status: JobStatus) -> list[Announcement]:
    """Metric definitions that give nothing are worth a word while the job still runs."""
    told = {condition.reason for condition in before.conditions if condition.type == METRICS_READ}
    return [
        Announcement("Warning", condition.reason, condition.message)
        for condition in status.conditions
        if condition.type == METRICS_READ and condition.status == "False" and condition.reason not in told
    ]
