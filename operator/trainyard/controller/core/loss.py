"""Whether the cluster took a host away, and when: what its containers say then is not the program's doing."""

from __future__ import annotations

from datetime import datetime, timedelta

from trainyard.api import names
from trainyard.api.report import StopReason
from trainyard.controller.core import evidence
from trainyard.controller.core.observed import UNACCOUNTED, UNTOLD, Pod, final_report
from trainyard.controller.core.restart import suspending
from trainyard.controller.core.snapshot import Snapshot

# A pod's containers are signalled at the same time, give or take this.
SIGNALS_SECONDS = 5


def is_lost(snapshot: Snapshot, pod: Pod) -> bool:
    """Was it taken away, and with it work that has not been told of as done?"""
    stop = evidence.stop_reason(snapshot, pod)
    # One that had been told to end before, and says so, was ended by that.
    told = stop is not None and final_report(pod, names.CONTAINER_SIDECAR) is not None
    vanished = pod.gone and not pod.sidecar_final and not pod.finished
    taken = vanished or (cut_short(pod) and not told) or evidence.overdue(pod, snapshot.now) or rejected(pod)
    taken = taken and not failed_by_itself(pod)
    ending = evidence.limit_reached(snapshot) or suspending(snapshot)
    if taken and ending and not pod.container(names.CONTAINER_TRAINING).has_run:
        # It had not started when the time limit was reached, or the job was suspended, and was deleted for that.
        return False
    forgotten = unaccounted(pod) and not told
    return taken or forgotten or pod.reason == "Evicted" or stop is StopReason.DELETED


def lost_at(pod: Pod, now: datetime) -> datetime | None:
    """When a host was lost: what the others do after that may be because of it. None where nothing of it ever ran."""
    if not any(state.has_run for state in pod.containers.values()):
        return None
    if (unseen := evidence.unseen_end(pod, now) or _silent_since(pod)) is not None:
        return unseen
    training, hold = pod.container(names.CONTAINER_TRAINING), pod.container(names.CONTAINER_HOLD)
    signalled = (hold.finished, training.finished if training.exit_code != 0 else None)
    for times in (signalled, (pod.disrupted_at, pod.deleting)):
        if known := [at for at in times if at is not None]:
            return min(known)
    return evidence.last_sign([pod], now)


def _silent_since(pod: Pod) -> datetime | None:
    """When the node of a host that trained fell silent, if it was away for so long that the cluster marked the pod. What the node says when
    it is back is that the containers have ended now."""
    training, marked = pod.container(names.CONTAINER_TRAINING), pod.unready_at
    began, ended = training.started, training.finished
    if training.reason not in UNACCOUNTED or began is None or ended is None or marked is None:
        return None
    # While training runs a pod is ready: a mark from before is of its beginning, one from after of its end.
    return max(marked - timedelta(seconds=evidence.SILENT_SECONDS), began) if began <= marked < ended else None


def cut_short(pod: Pod) -> bool:
    """Its pod was ended from outside, and work of this host with it that has not been told of as done.

    A node that shuts down, or that is gone, leaves the pod Failed with the cluster's word for it, and no deletion need follow.
    """
    taken = bool(pod.disruption) and pod.phase == "Failed"
    training = pod.container(names.CONTAINER_TRAINING)
    if not training.terminated:
        return taken
    if training.exit_code == 0:
        return taken and final_report(pod, names.CONTAINER_SIDECAR) is None
    return taken or pod.deleting is not None


def unaccounted(pod: Pod) -> bool:
    """Nobody knows how its work ended: the node was restarted under it, or the container runtime has lost it. The exit code is made up."""
    training, sidecar = pod.container(names.CONTAINER_TRAINING), pod.container(names.CONTAINER_SIDECAR)
    work = [pod.container(names.CONTAINER_STAGE), training]
    if pod.finished and not training.exit_code and final_report(pod, names.CONTAINER_SIDECAR) is None:
        work.append(sidecar)
    return any(state.terminated and state.reason in UNACCOUNTED for state in work)


def failed_by_itself(pod: Pod) -> bool:
    """The program failed, and only then its pod was ended: `hold`, which leaves at the first signal, was there for longer.

    It is asked because it is of the same kubelet's clock: the cluster's word for the end of a pod may be dated after it.
    """
    training, hold = pod.container(names.CONTAINER_TRAINING), pod.container(names.CONTAINER_HOLD)
    if not training.terminated or training.exit_code in UNTOLD or training.finished is None:
        return False
    outlived = hold.finished is not None and hold.finished - training.finished > timedelta(seconds=SIGNALS_SECONDS)
    return hold.running or outlived


def rejected(pod: Pod) -> bool:
    """Its node did not take it: no device, no room, labels that have changed since it was scheduled."""
    refused = pod.phase == "Failed" and bool(pod.reason) and pod.reason != "DeadlineExceeded"
    return refused and not any(state.has_run for state in pod.containers.values())
