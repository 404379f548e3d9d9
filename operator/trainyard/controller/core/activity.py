"""What a job is doing right now, in one reason and one sentence: what its conditions and the current transition show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from trainyard.api import names
from trainyard.api.reasons import Reason
from trainyard.api.report import Phase, StopReason
from trainyard.controller.core import evidence
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.policies import is_stopping
from trainyard.controller.core.snapshot import Snapshot


@dataclass(frozen=True)
class Activity:
    """Free of clocks and counters: the same state reads the same, so that nothing is written twice."""

    reason: Reason
    message: str


def _hosts(pods: list[Pod]) -> str:
    shown = ", ".join(pod.host for pod in pods[:4])
    return f"{shown} and {len(pods) - 4} more" if len(pods) > 4 else shown


def decided(_snapshot: Snapshot, decision: Decision) -> Activity | None:
    """What keeps the job from starting or going on, or how it ended."""
    if decision.act in (Act.REFUSE, Act.WAIT, Act.SUSPEND, Act.RESTART, Act.FINISH) and decision.reason is not None:
        return Activity(decision.reason, decision.message)
    return None


def stopping(snapshot: Snapshot, decision: Decision) -> Activity | None:
    if is_stopping(snapshot, decision):
        return Activity(Reason.STOPPING, "Stopping the training job")
    return None


def aborting(snapshot: Snapshot, decision: Decision) -> Activity | None:
    if decision.act is not Act.ABORT or all(evidence.training_over(pod) or pod.over for pod in snapshot.pods):
        return None
    if decision.order is not None and decision.order.reason is StopReason.INTERRUPTED:
        return Activity(
            Reason.INTERRUPTED, f"The job is started again once all its hosts have ended: {decision.message}"
        )
    return Activity(Reason.STOPPING, f"A host failed, the others are stopped: {decision.message}")


def being_lost(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    """Its node was tainted, drained or preempted: said before the pod has ended, which may take its whole grace."""
    found = [pod for pod in snapshot.pods if pod.disruption and not pod.over]
    if not found:
        return None
    where = f" (node {found[0].node})" if found[0].node else ""
    return Activity(Reason.POD_LOST, f"{_hosts(found)}{where} is being ended by the cluster: {found[0].disruption}")


def altered(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    """A pod stays whose it was, but others know it by its labels: the Service of its hosts, the watch, the garbage collector."""
    found = [pod for pod in snapshot.pods if pod.altered and not pod.over]
    if not found:
        return None
    more = f"; so were {len(found) - 1} more" if len(found) > 1 else ""
    return Activity(Reason.POD_ALTERED, f"pod {found[0].name} ({found[0].host}) was changed: {found[0].altered}{more}")


def shadowed(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    if not snapshot.shadowed or all(pod.container(names.CONTAINER_TRAINING).has_run for pod in snapshot.pods):
        return None
    taken = ", ".join(snapshot.shadowed)
    return Activity(
        Reason.NAME_SHADOWED,
        f"Service {taken} of namespace {snapshot.job.namespace} takes the short name of a host: programs that connect to"
        " it reach the Service. Delete or rename it, or use the full names of resourceconfig.json",
    )


def not_made(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    return Activity(Reason.STARTING, "Launching requested ML instances") if snapshot.missing else None


def unschedulable(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    """With the scheduler's words and the request: a pod that fits no node says so with numbers."""
    found = [pod for pod in snapshot.pods if pod.alive and not pod.scheduled and pod.unschedulable]
    if not found:
        return None
    kind = snapshot.job.spec.resource_config.instance_type if snapshot.job.spec else ""
    asked = f" ({kind}, training asks for {found[0].memory_limit} of memory)" if found[0].memory_limit else ""
    return Activity(Reason.UNSCHEDULABLE, f"{_hosts(found)}{asked}: {found[0].unschedulable}")


def cannot_start(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    found = [blocked for pod in snapshot.pods if (blocked := evidence.blocked(pod)) is not None]
    if not found:
        return None
    first = found[0]
    image = snapshot.options.agent_image if first.of_agent else first.pod.image
    hosts = _hosts([blocked.pod for blocked in found])
    # The kubelet alternates between ErrImagePull and ImagePullBackOff; the text must not follow it.
    told = (
        first.message
        if first.message and not first.message.startswith("Back-off")
        else "the node cannot pull it so far"
    )
    what = f"image {image} on {hosts}" if first.pulling else f"container {first.container} on {hosts}"
    reason = Reason.STAGING if first.container == names.CONTAINER_STAGE else Reason.IMAGE_PULL_FAILING
    return Activity(reason, f"{what}: {told}")


def not_starting(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    latest = snapshot.now - timedelta(seconds=snapshot.options.image_pull_timeout)
    found = [pod for pod in snapshot.pods if (at := evidence.begun_nothing_since(pod)) is not None and at <= latest]
    if not found:
        return None
    first = found[0]
    return Activity(
        Reason.POD_NOT_STARTING,
        f"{_hosts(found)}: on node {first.node or '?'} since more than {snapshot.options.image_pull_timeout} s, and no container has"
        " started. Most often a volume cannot be mounted, or a Secret or ConfigMap is not there; the events say which:"
        f" kubectl describe pod {first.name} -n {first.namespace}",
    )


def starting(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    late = [pod for pod in snapshot.pods if evidence.downloading_since(pod) is None]
    return Activity(Reason.STARTING, "Preparing the instances for training") if late else None


def pulling(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    late = [
        pod
        for pod in snapshot.pods
        if not pod.over and pod.container(names.CONTAINER_PREFETCH).state in ("waiting", "absent")
    ]
    return Activity(Reason.PULLING_IMAGE, "Downloading the training image") if late else None


def staging(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    late = [pod for pod in snapshot.pods if not evidence.staged(pod)]
    if not late:
        return None
    told = [(pod, report) for pod in late if (report := snapshot.report(pod)) is not None]
    for reason in (Reason.DOWNLOAD_BLOCKED, Reason.DOWNLOAD_SLOW):
        for _, report in told:
            if report.reason == reason and report.message:
                return Activity(reason, report.message)
    if any(report.phase is Phase.WAITING for _, report in told):
        busy = [pod for pod, report in told if report.phase is not Phase.WAITING]
        waited = f" for {_hosts(busy)}" if busy else ""
        return Activity(Reason.WAITING_FOR_HOSTS, f"Downloading input data: some hosts are ready and wait{waited}")
    return Activity(Reason.STAGING, "Downloading input data")


def training(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    if all(evidence.training_over(pod) or pod.over for pod in snapshot.pods):
        return None
    if not all(pod.container(names.CONTAINER_TRAINING).has_run for pod in snapshot.pods):
        return Activity(Reason.STAGING, "Downloading input data")
    for pod in snapshot.pods:
        report = snapshot.reports.get(pod.uid) if not evidence.training_over(pod) else None
        if report is None or report.phase is not Phase.TRAINING or not report.message:
            continue  # what was in the way while it staged is over
        if report.reason == Reason.DOWNLOAD_BLOCKED:
            return Activity(Reason.DOWNLOAD_BLOCKED, f"the stream of {pod.host} waits: {report.message}")
        if report.reason == Reason.DISK_FULL:
            return Activity(Reason.DISK_FULL, report.message)
        if report.reason == Reason.UPLOAD_BLOCKED:
            return Activity(Reason.UPLOAD_BLOCKED, f"S3 does not take what {pod.host} writes: {report.message}")
    return Activity(Reason.TRAINING, "Training image download completed. Training in progress.")


def uploading(snapshot: Snapshot, _decision: Decision) -> Activity | None:
    for reason in (Reason.UPLOAD_BLOCKED, Reason.UPLOAD_SLOW):
        for pod in snapshot.pods:
            report = snapshot.report(pod)
            if report is not None and report.reason == reason:
                return Activity(reason, report.message or f"S3 refuses the artifacts of {pod.host}; it is retried")
    return Activity(Reason.UPLOADING, "Uploading generated training model")


ORDER: tuple[Callable[[Snapshot, Decision], Activity | None], ...] = (
    decided,
    stopping,
    aborting,
    being_lost,
    altered,
    unschedulable,
    not_made,
    cannot_start,
    not_starting,
    shadowed,
    starting,
    pulling,
    staging,
    training,
    uploading,
)


def activity(snapshot: Snapshot, decision: Decision) -> Activity:
    """Total: `uploading` always speaks."""
    return next(found for look in ORDER if (found := look(snapshot, decision)) is not None)
