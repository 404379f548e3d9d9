"""Which Events a change of status deserves: the end, another attempt, and whatever a person can do something about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainyard.api.reasons import Reason
from trainyard.api.status import TERMINAL, JobStatus
from trainyard.controller.core.conditions import FIELDS_IGNORED
from trainyard.controller.core.job import Job
from trainyard.controller.core.keeping import TYPE as CHECKPOINTS_KEPT
from trainyard.controller.core.logmetrics import METRICS_READ

# Reasons of Ready that a person can act upon.
ACTIONABLE = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.INSTANCE_TYPE_NOT_FOUND,
        Reason.INSTANCE_TYPE_INVALID,
        Reason.EXECUTION_ROLE_NOT_FOUND,
        Reason.EXECUTION_ROLE_AMBIGUOUS,
        Reason.INSTANCE_METADATA_FORBIDDEN,
        Reason.NAME_IN_USE,
        Reason.CLAIM_NOT_FOUND,
        Reason.CLAIM_AMBIGUOUS,
        Reason.CLAIM_NOT_READY,
        Reason.CLAIM_UNFIT,
        Reason.PODS_REFUSED,
        Reason.ORDER_REFUSED,
        Reason.UNSCHEDULABLE,
        Reason.IMAGE_PULL_FAILING,
        Reason.POD_NOT_STARTING,
        Reason.DOWNLOAD_BLOCKED,
        Reason.UPLOAD_BLOCKED,
        Reason.DISK_FULL,
        Reason.NAME_SHADOWED,
        Reason.POD_ALTERED,
        Reason.POD_LOST,
    }
)
# Whatever a person can do something about is a Warning, and nothing else: also why a job failed, and what is wrong with its
# metrics or in its spec. docs/reference/failure-reasons.md says what to do.
WARNINGS = ACTIONABLE | {
    Reason.ALGORITHM_ERROR,
    Reason.OUT_OF_MEMORY,
    Reason.IMAGE_NOT_PULLED,
    Reason.NOT_EXECUTABLE,
    Reason.DATA_DOWNLOAD_FAILED,
    Reason.NO_DATA,
    Reason.NO_CREDENTIALS,
    Reason.ACCESS_DENIED,
    Reason.NO_SUCH_BUCKET,
    Reason.ARTIFACT_UPLOAD_FAILED,
    Reason.INTERNAL_ERROR,
    Reason.METRICS_SWITCHED_OFF,
    Reason.METRIC_REGEX_INVALID,
    Reason.METRIC_NOT_A_NUMBER,
    Reason.LOGS_NOT_READ,
    Reason.FIELDS_IGNORED,
    Reason.CHECKPOINTS_NOT_KEPT,
    Reason.STATUS_UNREADABLE,
    Reason.SERVICE_MADE_AGAIN,
}


@dataclass(frozen=True)
class Announcement:
    reason: Reason
    message: str

    @property
    def kind(self) -> Literal["Normal", "Warning"]:
        return "Warning" if self.reason in WARNINGS else "Normal"


def _ignored(before: JobStatus, status: JobStatus) -> list[Announcement]:
    """Once: the fields are the spec's, and so are there from the first status on."""
    if any(condition.type == FIELDS_IGNORED for condition in before.conditions):
        return []
    found = [condition for condition in status.conditions if condition.type == FIELDS_IGNORED]
    return [Announcement(Reason.FIELDS_IGNORED, condition.message) for condition in found]


def announcements(job: Job, status: JobStatus) -> list[Announcement]:
    """What to say once `status` has replaced that of `job`."""
    before = job.status
    said = _ignored(before, status)
    if before.training_job_status in TERMINAL:
        if job.stop and before.observed_generation != status.observed_generation:
            said.append(Announcement(Reason.STOP_IGNORED, f"the job had already ended: {before.secondary_status}"))
        return said
    doing = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    if doing is None:  # a status that cannot be read is left as it is
        return said
    if status.training_job_status in TERMINAL:
        message = status.failure_reason or status.secondary_status_transitions[-1].status_message
        said.append(Announcement(Reason(doing.reason), message))
        return said
    if (status.attempt or 1) > (before.attempt or 1):
        last = status.earlier_attempts[-1]
        said.append(Announcement(Reason(last.reason), f"attempt {last.attempt} is over: {last.message}"))
        return said
    said += _troubles(before, status)
    was = next((condition for condition in before.conditions if condition.type == "Ready"), None)
    suspended = doing.reason == Reason.SUSPENDED
    if suspended != (was is not None and was.reason == Reason.SUSPENDED):
        what = Reason.SUSPENDED if suspended else Reason.RESUMED
        said.append(Announcement(what, f"the job is {what.value.lower()}"))
    if doing.reason in ACTIONABLE and (was is None or was.reason != doing.reason):
        said.append(Announcement(Reason(doing.reason), doing.message))
    return said


def _troubles(before: JobStatus, status: JobStatus) -> list[Announcement]:
    """Metric definitions that give nothing, and checkpoints that are not kept, are worth a word while the job still runs."""
    told = {(condition.type, condition.reason) for condition in before.conditions}
    return [
        Announcement(Reason(condition.reason), condition.message)
        for condition in status.conditions
        if condition.type in {METRICS_READ, CHECKPOINTS_KEPT}
        and condition.status == "False"
        and (condition.type, condition.reason) not in told
    ]
