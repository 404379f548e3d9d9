"""Why a host failed, in the contract's words: what happened, where, what to do. An ordered list of pure checks; the first speaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from trainyard.api import names
from trainyard.api.reasons import Reason
from trainyard.api.report import UNFINISHED, Report, Result, StopReason
from trainyard.controller.core import evidence, loss
from trainyard.controller.core.limits import stop_cause
from trainyard.controller.core.observed import Pod, final_report
from trainyard.controller.core.quantity import human_bytes, to_bytes
from trainyard.controller.core.snapshot import Snapshot, once

OOM_TEXT = "Please use an instance type with more memory, or reduce the size of job data processed on an instance."
_EXEC = re.compile(r'exec: "(?P<program>[^"]*)": (?P<why>.*?)(?:: unknown)?$', re.DOTALL)
_VOLUME_FULL = re.compile(
    r'EmptyDir volume "(?P<volume>[^"]*)" exceeds|[Ee]phemeral.* storage usage exceeds|exceeded its local ephemeral'
)


@dataclass(frozen=True)
class Failure:
    """`at`: when it happened on the host, None if nothing tells."""

    host: str
    rank: int
    reason: Reason
    text: str
    at: datetime | None = None


def _failure(pod: Pod, reason: Reason, text: str, at: datetime | None = None) -> Failure:
    return Failure(pod.host, pod.rank, reason, cut(text), at)


def cut(text: str, keep: str = "") -> str:
    """At most FAILURE_REASON_CHARS characters, `keep` being an end that must survive."""
    room = names.FAILURE_REASON_CHARS - len(keep)
    return (text if len(text) <= room else text[: room - 1] + "…") + keep


def _reported(pod: Pod, report: Report, fallback: Reason, at: datetime | None) -> Failure:
    """The agent's own words: it knows the object, the file and the remedy."""
    known = {reason.value for reason in Reason}
    reason = Reason(report.reason) if report.reason in known else fallback
    text = report.message or f"InternalServerError: {report.host} failed without saying why; please report this."
    return _failure(pod, reason, text, at)


def evicted_for_disk(snapshot: Snapshot, pod: Pod) -> Failure | None:
    match = _VOLUME_FULL.search(pod.message) if pod.reason == "Evicted" else None
    if match is None:
        return None
    at = evidence.last_sign([pod], snapshot.now)
    if match.group("volume") == "shm":
        text = f"ClientError: {OOM_TEXT} Host {pod.host} was evicted because /dev/shm, which counts as memory, is full: {pod.message}"
        return _failure(pod, Reason.OUT_OF_MEMORY, text, at)
    size = f": {snapshot.job.spec.resource_config.volume_size_in_gb}" if snapshot.job.spec else ""
    return _failure(
        pod,
        Reason.DISK_FULL,
        f"ClientError: the storage volume of host {pod.host} is full (resourceConfig.volumeSizeInGB{size}), so its pod was"
        f" evicted: {pod.message} Raise volumeSizeInGB, or write less under /opt/ml and /tmp.",
        at,
    )


def lost(snapshot: Snapshot, pod: Pod) -> Failure | None:
    """Evicted, drained, preempted, deleted by somebody, refused by its node, or its node is gone, shut down or started again."""
    if not loss.is_lost(snapshot, pod):
        return None
    how = "it is no longer there" if pod.deleting is None else "it was deleted"
    if loss.unaccounted(pod):
        how = "its node does not know how its containers ended, as after a restart of the node or of its container runtime"
    elif evidence.overdue(pod, snapshot.now):
        how = "it was deleted and its node does not say that it has ended"
    why = f": {pod.disruption or pod.words or how}"
    advice = "What it had not uploaded is gone. If the node was drained, removed or restarted, create the job again."
    if loss.rejected(pod):
        advice = "Its node did not take it, and nothing of it ran: create the job again."
    if pod.preempted:
        why = f" was preempted{why}"
        advice = (
            "What it had not uploaded is gone. A pod of higher priority took its place: create the job again once there is"
            " room, with retryStrategy or enableManagedSpotTraining if it is to start again by itself."
        )
    where = f" on node {pod.node}" if pod.node else ""
    text = f"InternalServerError: host {pod.host} was lost: pod {pod.name}{where}{why.rstrip('.')}. {advice}"
    return _failure(pod, Reason.POD_LOST, text, loss.lost_at(pod, snapshot.now))


def cannot_start(snapshot: Snapshot, pod: Pod) -> Failure | None:
    """An image that cannot be had, or a container that cannot be made, for longer than is waited for."""
    found = evidence.blocked(pod)
    if found is None or (found.crashing and found.container == names.CONTAINER_STAGE):
        return None  # `not_staged` counts
    since = snapshot.blocked_since.get(found.key, snapshot.now)
    if not found.permanent and snapshot.now - since < timedelta(seconds=snapshot.options.image_pull_timeout):
        return None
    told = f"{found.reason}: {found.message}" if found.message else found.reason
    if found.crashing and not found.of_agent:
        return _image_runs_nothing(pod, told, snapshot.now)
    events = f"kubectl describe pod {pod.name} -n {pod.namespace}"
    if found.of_agent:
        if found.crashing:
            advice = f"Its logs: kubectl logs {pod.name} -c {found.container} --previous"
        elif found.pulling:
            advice = (
                f"The administrator must make the agent image {snapshot.options.agent_image} available to the nodes."
            )
        else:
            advice = f"The administrator must mend what that names on node {pod.node or '?'}; its events: {events}"
        what = f"the operator's own container {found.container} cannot start on host {pod.host}: {told.rstrip('.')}"
        return _failure(pod, Reason.INTERNAL_ERROR, f"InternalServerError: {what}. {advice}", snapshot.now)
    if found.pulling:
        return _failure(
            pod,
            Reason.IMAGE_NOT_PULLED,
            f"ClientError: the training image {pod.image} cannot be pulled on host {pod.host}: {told}. Check"
            " algorithmSpecification.trainingImage, and that the pods' service account has a pull secret for its registry.",
            snapshot.now,
        )
    return _failure(
        pod,
        Reason.NOT_EXECUTABLE,
        f"ClientError: the container {found.container} of image {pod.image} cannot be created on host {pod.host}:"
        f" {told.rstrip('.')}. Correct what that names: in the image (its user, its working directory, a file where a directory of"
        f" /opt/ml must be), or on node {pod.node or '?'} (a device, its container runtime). Its events: {events}",
        snapshot.now,
    )


def _image_runs_nothing(pod: Pod, told: str, at: datetime | None) -> Failure:
    where = f"host {pod.host} (node {pod.node})" if pod.node else f"host {pod.host}"
    text = (
        f"InternalServerError: not even trainyard's own program can be run in the training image {pod.image} on {where}:"
        f" {told.rstrip('.')}. Use an image that is whole and for the node's architecture; if no other image runs there either, the"
        " node's container runtime must be mended, or please report this."
    )
    return _failure(pod, Reason.NOT_EXECUTABLE, text, at)


def nothing_runs(snapshot: Snapshot, pod: Pod) -> Failure | None:
    """`prefetch` failed, and the pod is over before it was started again. What was told to end, or lost, has not failed by that."""
    prefetch = pod.container(names.CONTAINER_PREFETCH)
    if pod.alive or not prefetch.failed or evidence.image_proven(pod):
        return None
    if evidence.ordered(pod) is not None or evidence.stop_reason(snapshot, pod) is not None:
        return None
    told = f"{prefetch.reason or 'it ended'}, exit code {prefetch.exit_code}"
    told += f": {prefetch.message.strip()}" if prefetch.message.strip() else ""
    return _image_runs_nothing(pod, told, prefetch.finished or evidence.last_sign([pod], snapshot.now))


def not_staged(snapshot: Snapshot, pod: Pod) -> Failure | None:
    """`stage` failed, or was killed too often. One that was stopped, or found the job committed, has not."""
    stage, report = pod.container(names.CONTAINER_STAGE), final_report(pod, names.CONTAINER_STAGE)
    given_up = evidence.times_killed(pod) >= evidence.CRASHES
    if evidence.staged(pod) or evidence.stages_again(pod) or not (stage.terminated or given_up):
        return None
    killed = evidence.killed_by(stage)
    if report is None and "OOMKilled" not in killed and (found := lost(snapshot, pod)) is not None:
        return found  # it had no time for a report
    if report is not None and report.result is Result.FAILED:
        return _reported(pod, report, Reason.DATA_DOWNLOAD_FAILED, stage.finished)
    if report is not None and not given_up:
        return None
    often = f" {evidence.CRASHES} times" if given_up else ""
    if "OOMKilled" in killed:
        last = snapshot.report(pod)
        so_far = f" {last.message}" if last is not None and last.result is Result.ABANDONED and last.message else ""
        text = (
            f"InternalServerError: the agent's container {names.CONTAINER_STAGE} ran out of memory{often} on host {pod.host}.{so_far} Give"
            " the channels fewer objects: more hosts with ShardedByS3Key, or small files packed into archives; and please report this."
        )
        return _failure(pod, Reason.INTERNAL_ERROR, text, stage.finished or snapshot.now)
    text = (
        f"InternalServerError: staging on host {pod.host} ended{often} without a report ({killed});"
        f" see the logs of container stage of pod {pod.name}."
    )
    return _failure(pod, Reason.INTERNAL_ERROR, text, stage.finished or snapshot.now)


def nothing_to_execute(snapshot: Snapshot, pod: Pod) -> Failure | None:
    training = pod.container(names.CONTAINER_TRAINING)
    if not training.terminated or training.reason not in ("StartError", "ContainerCannotRun"):
        return None
    match = _EXEC.search(training.message.strip())
    if match is not None:
        what = f"{match.group('program')!r} cannot be executed: {match.group('why')}"
    else:
        what = training.message.strip() or training.reason
    text = (
        f"ClientError: the training image {pod.image} could not be started on host {pod.host}: {what}. Name the program in"
        " algorithmSpecification.containerEntrypoint, or put an executable `train` on the image's PATH."
    )
    # The kubelet writes 1970 for a container that never ran; staging was its last sign of life.
    at = training.finished or evidence.last_sign([pod], snapshot.now)
    return _failure(pod, Reason.NOT_EXECUTABLE, text, at)


def out_of_memory(snapshot: Snapshot, pod: Pod) -> Failure | None:
    """Any exit code but 0 counts: a shell lives on after its child was killed and exits with a code of its own."""
    training = pod.container(names.CONTAINER_TRAINING)
    if not training.terminated or training.reason != "OOMKilled" or training.exit_code == 0:
        return None
    limit = f" of {human_bytes(to_bytes(pod.memory_limit))}" if pod.memory_limit else ""
    kind = f" ({snapshot.job.spec.resource_config.instance_type})" if snapshot.job.spec else ""
    text = f"ClientError: {OOM_TEXT} Training on host {pod.host} was killed at its memory limit{limit}{kind}."
    return _failure(pod, Reason.OUT_OF_MEMORY, text, training.finished)


def algorithm_failed(snapshot: Snapshot, pod: Pod) -> Failure | None:
    training = pod.container(names.CONTAINER_TRAINING)
    if not training.terminated or training.exit_code == 0:
        return None
    if evidence.stop_reason(snapshot, pod) is not None or evidence.may_be_limit(snapshot, pod):
        return None
    report = snapshot.report(pod)
    if report is None and evidence.ordered(pod) in UNFINISHED:
        return None  # told to end, and nobody says that it ended otherwise: the job goes on
    told = (report.failure or "").strip() if report is not None else ""
    text = cut(f"AlgorithmError: {told}", keep=f", exit code: {training.exit_code}")
    return _failure(pod, Reason.ALGORITHM_ERROR, text, training.finished)


def input_failed(snapshot: Snapshot, pod: Pod) -> Failure | None:
    """The stream of a Pipe channel broke off. Whatever its exit code says, training did not have all of its data."""
    report = snapshot.report(pod)
    if report is None or report.stop_reason is not StopReason.INPUT_FAILED:
        return None
    text = report.stop_message or f"InternalServerError: Data download failed:a stream on host {pod.host} broke off."
    at = pod.container(names.CONTAINER_TRAINING).finished or snapshot.now
    return _failure(pod, Reason.DATA_DOWNLOAD_FAILED, text, at)


def not_uploaded(snapshot: Snapshot, pod: Pod) -> Failure | None:
    """Excused where another attempt follows, which a suspended job does not have if it is stopped."""
    sidecar, report = pod.container(names.CONTAINER_SIDECAR), final_report(pod, names.CONTAINER_SIDECAR)
    if report is None or report.result is not Result.FAILED:
        return None
    suspended = report.stop_reason is StopReason.SUSPENDED
    if report.stop_reason in UNFINISHED and not (suspended and stop_cause(snapshot) is not None):
        return None
    return _reported(pod, report, Reason.ARTIFACT_UPLOAD_FAILED, sidecar.finished)


CHECKS: tuple[Callable[[Snapshot, Pod], Failure | None], ...] = (
    evicted_for_disk,  # the pod's own reason outranks what its killed containers say
    not_staged,
    nothing_to_execute,
    input_failed,
    out_of_memory,
    lost,
    nothing_runs,
    algorithm_failed,
    cannot_start,
    not_uploaded,
)


def host_failure(snapshot: Snapshot, pod: Pod) -> Failure | None:
    """Why this host failed; None while it has not, or if it was stopped."""
    return next((failure for check in CHECKS if (failure := check(snapshot, pod)) is not None), None)


@once
def failures(snapshot: Snapshot) -> list[Failure]:
    """Of all hosts, the first to happen first; the lowest host on a tie; those without a time last."""
    found = [failure for pod in snapshot.pods if (failure := host_failure(snapshot, pod)) is not None]
    return sorted(found, key=lambda failure: (failure.at is None, failure.at or snapshot.now, failure.rank))
