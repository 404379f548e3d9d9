"""How a job ended, once every host has said its last word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trainyard.api import names
from trainyard.api.reasons import Reason
from trainyard.api.report import Report, Result, StopReason
from trainyard.api.status import SecondaryStatus, TrainingJobStatus
from trainyard.controller.core import evidence, limits
from trainyard.controller.core.failures import Failure, failures, not_uploaded
from trainyard.controller.core.limits import Cause
from trainyard.controller.core.observed import Pod, final_report
from trainyard.controller.core.snapshot import Snapshot

# How a program that is killed at the runtime limit may look.
_ENDED_BY_LIMIT = frozenset({Reason.ALGORITHM_ERROR, Reason.OUT_OF_MEMORY})


@dataclass(frozen=True)
class Verdict:
    """A terminal state. `at` is the pods' time; `committed` says whether the artifacts are proven to be in S3."""

    status: TrainingJobStatus
    secondary: SecondaryStatus
    reason: Reason
    message: str
    at: datetime
    failure_reason: str | None = None
    committed: bool = False


def failed(failure: Failure, at: datetime, committed: bool = False) -> Verdict:
    return Verdict(
        TrainingJobStatus.FAILED,
        SecondaryStatus.FAILED,
        failure.reason,
        failure.text,
        at,
        failure.text,
        committed=committed,
    )


def stopped(cause: Cause, at: datetime, committed: bool = False) -> Verdict:
    return Verdict(TrainingJobStatus.STOPPED, cause.secondary, cause.reason, cause.message, at, committed=committed)


def runtime_exceeded(snapshot: Snapshot, at: datetime, committed: bool) -> Verdict:
    limit = f" of {snapshot.job.spec.stopping_condition.max_runtime_in_seconds} s" if snapshot.job.spec else ""
    text = f"Training job stopped at its limit{limit} (stoppingCondition.maxRuntimeInSeconds)"
    secondary = SecondaryStatus.MAX_RUNTIME_EXCEEDED
    return Verdict(TrainingJobStatus.STOPPED, secondary, Reason.MAX_RUNTIME_EXCEEDED, text, at, committed=committed)


def committed_report(snapshot: Snapshot) -> Report | None:
    """Proof that the artifacts are in S3: algo-1's last word, or a manifest that an earlier run of this job left."""
    for pod in snapshot.pods:
        stage = final_report(pod, names.CONTAINER_STAGE)
        if stage is not None and stage.result is Result.ALREADY_COMMITTED:
            return stage
    first = next((pod for pod in snapshot.pods if pod.rank == 0), None)
    report = final_report(first, names.CONTAINER_SIDECAR) if first is not None else None
    return report if report is not None and report.result in (Result.COMMITTED, Result.ALREADY_COMMITTED) else None


def _already(snapshot: Snapshot) -> Report | None:
    """`stage` found this job's result in S3: an earlier attempt had ended, and how is in `stop_reason`."""
    reports = (final_report(pod, names.CONTAINER_STAGE) for pod in snapshot.pods)
    return next((report for report in reports if report and report.result is Result.ALREADY_COMMITTED), None)


def _exit_code(snapshot: Snapshot, pod: Pod) -> int | None:
    """Of the pod, or what was recorded of it before it went."""
    if (code := pod.container(names.CONTAINER_TRAINING).exit_code) is not None:
        return code
    return next((host.exit_code for host in snapshot.job.status.hosts if host.name == pod.host), None)


def _unproven(snapshot: Snapshot) -> Failure:
    silent = next(
        (pod for pod in snapshot.pods if final_report(pod, names.CONTAINER_SIDECAR) is None), snapshot.pods[0]
    )
    state = silent.container(names.CONTAINER_SIDECAR)
    how = (
        f"exit code {state.exit_code}{', ' + state.reason if state.reason else ''}"
        if state.terminated
        else "its end was not seen"
    )
    if silent.words:
        how += f"; {silent.words.rstrip('.')}"
    text = (
        f"InternalServerError: the sidecar of host {silent.host} ended without a report ({how}), so nobody knows whether the"
        f" artifacts are complete. Look for trainyard-manifest.json under the output path; without it, create the job again."
    )
    return Failure(silent.host, silent.rank, Reason.INTERNAL_ERROR, text)


def _stopped_before(snapshot: Snapshot, why: StopReason, at: datetime, committed: bool) -> Verdict:
    """The result that was found is that of a job that had been stopped."""
    if why is StopReason.MAX_RUNTIME_EXCEEDED:
        return runtime_exceeded(snapshot, at, committed)
    return stopped(limits.stop_cause(snapshot) or limits.USER_STOP, at, committed)


def verdict(snapshot: Snapshot) -> Verdict:
    """For a snapshot whose pods are all settled. Proof first, then stops, then failures; no proof is a failure."""
    committed = committed_report(snapshot) is not None
    at = evidence.last_sign(snapshot.pods, snapshot.now) or snapshot.now
    found = failures(snapshot)
    codes = [_exit_code(snapshot, pod) for pod in snapshot.pods]
    # A stop counts from when it is asked for: whether Stopping was written before the last pod had ended is chance.
    stopping = snapshot.job.stop or snapshot.job.status.secondary_status is SecondaryStatus.STOPPING
    ordered = any(evidence.stop_reason(snapshot, pod) is not None for pod in snapshot.pods)
    already = _already(snapshot)
    if already is not None and already.stop_reason is not None:
        return _stopped_before(snapshot, already.stop_reason, at, committed)
    refused = next((failure for pod in snapshot.pods if (failure := not_uploaded(snapshot, pod)) is not None), None)
    done = committed and refused is None and all(code == 0 for code in codes)
    if already is not None or (done and not stopping and not ordered):
        return Verdict(
            TrainingJobStatus.COMPLETED,
            SecondaryStatus.COMPLETED,
            Reason.COMPLETED,
            "Training job completed",
            at,
            committed=True,
        )
    cause = limits.stop_cause(snapshot)
    if cause is not None and not _failed_before(found, cause):
        # Exit codes and what was not begun yet are excused; artifacts that S3 did not take are not.
        if refused is not None:
            return failed(refused, at, committed)
        return stopped(cause, at, committed)
    if evidence.limit_reached(snapshot) and all(failure.reason in _ENDED_BY_LIMIT for failure in found):
        return runtime_exceeded(snapshot, at, committed)
    return failed(found[0] if found else _unproven(snapshot), at, committed)


def _failed_before(found: list[Failure], cause: Cause) -> bool:
    """The job had failed when the limit was reached, and nobody looked."""
    return cause.since is not None and bool(found) and found[0].at is not None and found[0].at < cause.since
