"""What operator and agent tell each other while a pod lives: orders on annotations one way, reports the other.

The last report of `stage` and of `sidecar` is their termination message; `GET /report` gives the sidecar's at any time,
for what people want to see earlier. Correctness rests on the termination messages alone.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from trainyard.api.message import Message, Size
from trainyard.api.names import FAILURE_REASON_CHARS, TERMINATION_MESSAGE_BYTES, cut_utf8


class StopReason(StrEnum):
    """Why a host's training is ended from outside."""

    USER_REQUESTED = "UserRequested"
    MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"
    MAX_WAIT_TIME_EXCEEDED = "MaxWaitTimeExceeded"
    MAX_PENDING_TIME_EXCEEDED = "MaxPendingTimeExceeded"
    HOST_FAILED = "HostFailed"
    INPUT_FAILED = "InputFailed"  # the agent's own: a stream broke off, and training must not take it for whole
    INTERRUPTED = "Interrupted"  # another host was lost, and the job starts again
    SUSPENDED = "Suspended"  # the job goes on later
    DELETED = "Deleted"


# After these nothing is concluded from what was uploaded: the job goes on, or is gone.
UNFINISHED = frozenset({StopReason.INTERRUPTED, StopReason.SUSPENDED, StopReason.DELETED})


class StopOrder(Message, frozen=True, kw_only=True):
    """Operator to agent, in an annotation: end training on this host, then upload what is there."""

    reason: StopReason
    message: str = ""


class TrainingEnd(Message, frozen=True, kw_only=True):
    """Operator to agent: the training container is gone. `reason` is the kubelet's word for how."""

    exit_code: int
    reason: str = ""


class Phase(StrEnum):
    """How far a host has come, in the order in which it happens."""

    STARTING = "Starting"
    STAGING = "Staging"
    WAITING = "WaitingForHosts"
    STAGED = "Staged"
    TRAINING = "Training"
    UPLOADING = "Uploading"
    DONE = "Done"


class Result(StrEnum):
    """How an agent container ended. Unset while it works."""

    STAGED = "Staged"  # stage: data and configuration are in place on all hosts
    COMMITTED = "Committed"  # sidecar: everything is in S3, the manifest was read back
    ALREADY_COMMITTED = "AlreadyCommitted"  # stage: this job's manifest exists; nothing to train
    STOPPED = "Stopped"  # stage: a stop order came before training
    FAILED = "Failed"  # `message` says why, with the prefix of FailureReason
    ABANDONED = "Abandoned"  # sidecar: the pod ended before training began; nothing to upload


class Artifact(Message, frozen=True, kw_only=True):
    """What the job has written: an object with the SHA-256 of its bytes, or a folder (its URI ends with a slash) that has none."""

    uri: str
    size: Size
    sha256: str | None = None
    files: Size = 0


class CheckpointReport(Message, frozen=True, kw_only=True):
    """One host's mirror of the checkpoint directory. Counts are of this attempt; `files` are those that are in S3 now."""

    files: Size = 0
    uploaded: Size = 0
    uploaded_bytes: Size = 0
    deleted: Size = 0
    left_out: Size = 0  # links out of the directory, names that S3 does not take, special files
    open_files: Size = 0  # changed, but still being written when they were looked at last
    last_pass_at: datetime | None = None  # when the last look began after which S3 was in step
    trouble: str | None = None  # why it is not, if anything is in the way


class Report(Message, frozen=True, kw_only=True):
    """One host's state. `message` is ready to be shown: what happened, where, what to do."""

    host: str
    phase: Phase
    result: Result | None = None
    reason: str | None = None  # CamelCase, from trainyard.api.reasons
    message: str | None = None
    failure: str | None = None  # text of /opt/ml/output/failure, at most 1,024 characters
    stop_reason: StopReason | None = None
    stop_message: str | None = None  # with InputFailed: what happened, with the prefix of FailureReason
    training_started_at: datetime | None = None
    training_ended_at: datetime | None = None
    objects: Size | None = None  # of this host's share of the input
    bytes: Size | None = None
    artifacts: list[Artifact] = msgspec.field(default_factory=list)
    checkpoints: CheckpointReport | None = None

    def to_termination_message(self) -> str:
        """As JSON of at most 2 KiB of UTF-8: the result survives, long texts are cut, then artifacts left out."""
        report = self
        if report.failure:
            report = report.but(failure=report.failure[:FAILURE_REASON_CHARS])
        for limit in (1200, 600, 300, 100):
            text = report.to_json()
            if len(text.encode()) <= TERMINATION_MESSAGE_BYTES:
                return text
            kept = report.checkpoints
            if kept and kept.trouble:
                kept = kept.but(trouble=cut_utf8(kept.trouble, limit))
            report = report.but(
                checkpoints=kept,
                failure=cut_utf8(report.failure, limit) if report.failure else None,
                message=cut_utf8(report.message, limit) if report.message else None,
                stop_message=cut_utf8(report.stop_message, limit) if report.stop_message else None,
                artifacts=report.artifacts if limit == 1200 else [],
            )
        return report.to_json()
