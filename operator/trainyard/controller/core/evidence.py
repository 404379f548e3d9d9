"""What the pods prove: how far each host is, and when it got there. Times are the kubelet's, never when we looked.

pods made      sidecar runs      all training runs     all training over     all sidecars over
Starting ----> Downloading ----> Training -----------> Uploading ----------> (verdict)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from trainyard.api import names
from trainyard.api.report import Phase, StopOrder, StopReason, TrainingEnd
from trainyard.controller.core.observed import Container, Pod, final_report
from trainyard.controller.core.snapshot import Snapshot, once

# The kubelet's words for a container that cannot start. PERMANENT ones never heal by waiting.
PERMANENT_WAITS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
PULL_WAITS = PERMANENT_WAITS | {
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
CRASH_LOOP = "CrashLoopBackOff"
CREATE_WAITS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_IN_ORDER = (
    names.CONTAINER_SIDECAR,
    names.CONTAINER_PREFETCH,
    names.CONTAINER_STAGE,
    names.CONTAINER_TRAINING,
    names.CONTAINER_HOLD,
)
# The agent answers 503 this long before the limit, so that the kill falls on it; plus what its clock and ours may differ.
LIMIT_MARGIN_SECONDS = names.LIVENESS_PERIOD_SECONDS * names.LIVENESS_THRESHOLD + 15


# After the grace, which a pod's deletionTimestamp includes: its kubelet should have ended it, and does not answer.
OVERDUE_SECONDS = 60
# For so long the cluster waits for a node that is silent before it says so (nodeMonitorGracePeriod).
SILENT_SECONDS = 50
# A sidecar or prefetch that ended so often never gets going, and a `stage` that was killed so often never ends.
CRASHES = 3


@dataclass(frozen=True)
class Blocked:
    """A container that cannot start. `of_agent`: its image is the operator's choice, not the user's."""

    pod: Pod
    container: str
    reason: str
    message: str

    @property
    def permanent(self) -> bool:
        return self.reason in PERMANENT_WAITS

    @property
    def key(self) -> tuple[str, str]:
        return self.pod.uid, self.container

    @property
    def crashing(self) -> bool:
        return self.reason == CRASH_LOOP

    @property
    def pulling(self) -> bool:
        return self.reason in PULL_WAITS

    @property
    def of_agent(self) -> bool:
        return self.container not in (names.CONTAINER_PREFETCH, names.CONTAINER_TRAINING)


def blocked(pod: Pod) -> Blocked | None:
    """The first container of a live pod that the kubelet says it cannot start."""
    if not pod.alive:
        return None
    for name in _IN_ORDER:
        state = pod.container(name)
        if name == names.CONTAINER_PREFETCH and image_proven(pod):
            continue
        if name == names.CONTAINER_HOLD and pod.container(names.CONTAINER_TRAINING).running:
            continue  # nobody waits for it yet
        if crashing(pod, name):
            # What the kubelet says while it waits has a growing number in it.
            ended = name == names.CONTAINER_PREFETCH and state.terminated
            said = state.last_words or (state.message if ended else "")
            if name == names.CONTAINER_STAGE:
                said = f"it was killed ({killed_by(state)}) and is started again, to go on where it was"
            return Blocked(pod, name, CRASH_LOOP, said or "it ends as soon as it has started")
        if state.state == "waiting" and (state.reason in PULL_WAITS or state.reason in CREATE_WAITS):
            return Blocked(pod, name, state.reason, state.message)
    return None


def begun_nothing_since(pod: Pod) -> datetime | None:
    """When a live pod got its node, if none of its containers has started there and the kubelet has no word for it in their states:
    it says ContainerCreating of a volume that cannot be mounted and of a network that cannot be made, however long that lasts."""
    if not pod.alive or not pod.scheduled or pod.deleting is not None or blocked(pod) is not None:
        return None
    if any(state.has_run or state.terminated or state.restarts for state in pod.containers.values()):
        return None
    return pod.scheduled_at or pod.created


def crashing(pod: Pod, name: str) -> bool:
    """A container that the kubelet starts again and again, before training was due.

    The sidecar counts as crashing also while it happens to run, until staging has succeeded: its next end is near. So does
    prefetch, and from its first failure on: what is seen between two tries must not begin the wait anew.
    """
    state = pod.container(name)
    if name == names.CONTAINER_PREFETCH:
        return state.reason == CRASH_LOOP if state.state == "waiting" else state.failed or state.restarts >= CRASHES
    if name == names.CONTAINER_STAGE:
        return state.reason == CRASH_LOOP or stages_again(pod)  # kubelets say one or the other while they wait
    if name != names.CONTAINER_SIDECAR or pod.container(names.CONTAINER_HOLD).has_run:
        return False
    if state.state == "waiting" and state.reason == CRASH_LOOP:
        return True
    return state.restarts >= CRASHES and not (state.running and staged(pod))


def image_proven(pod: Pod) -> bool:
    """The user's image was pulled and ran: `stage` comes after it. What becomes of `prefetch` later means nothing."""
    stage = pod.container(names.CONTAINER_STAGE)
    return stage.has_run or stage.terminated or bool(stage.restarts)


def killed_by(state: Container) -> str:
    """How a container ended, or its previous run if it goes on, or has ended otherwise since."""
    own = state.terminated and (state.exit_code in names.KILLED_EXIT_CODES or state.last_exit_code is None)
    reason, code = (state.reason, state.exit_code) if own else (state.last_reason, state.last_exit_code)
    return f"exit code {code}" + (f", {reason}" if reason else "")


def times_killed(pod: Pod) -> int:
    """How often `stage` was killed, where its node starts it again after that."""
    stage = pod.container(names.CONTAINER_STAGE)
    killed = stage.exit_code in names.KILLED_EXIT_CODES if stage.terminated else stage.reason == CRASH_LOOP
    return stage.restarts + killed


def stages_again(pod: Pod) -> bool:
    """`stage` was killed, and its node will start it again: that end is not its last."""
    ended = pod.container(names.CONTAINER_STAGE).exit_code
    goes_on = pod.restarts_stage and pod.alive and pod.deleting is None and ended in names.KILLED_EXIT_CODES
    return goes_on and times_killed(pod) < CRASHES


def never_ending(pod: Pod) -> bool:
    """A live pod that no order reaches: its agent does not run, or the kubelet waits for the user's image.

    Once training runs it has an end: an agent that is away is started again, and training is ended if it stays away.
    """
    if not pod.alive or pod.container(names.CONTAINER_TRAINING).running:
        return False
    found = blocked(pod)
    if training_over(pod):
        return found is not None and found.container == names.CONTAINER_HOLD  # which would end the pod
    sidecar, prefetch = pod.container(names.CONTAINER_SIDECAR), pod.container(names.CONTAINER_PREFETCH)
    return not sidecar.has_run or not (prefetch.has_run or image_proven(pod)) or found is not None


def deaf(pod: Pod) -> bool:
    """No order reaches it and it would never end: it can only be deleted, and has not been."""
    return never_ending(pod) and pod.deleting is None and bool(pod.uid)


def due(pod: Pod) -> datetime | None:
    """When a live pod that is being deleted is given up."""
    if pod.deleting is None or pod.over:
        return None
    return pod.deleting + timedelta(seconds=OVERDUE_SECONDS)


def overdue(pod: Pod, now: datetime) -> bool:
    """Deleted, and still there long after its grace, or on a node that is known to be dead."""
    if pod.deleting is not None and pod.node_dead and not pod.over:
        return True
    end = due(pod)
    return end is not None and now >= end


def settled(pod: Pod, now: datetime) -> bool:
    """Nothing more will be learned from it."""
    return pod.over or overdue(pod, now)


def training_over(pod: Pod) -> bool:
    return pod.container(names.CONTAINER_TRAINING).terminated


def staged(pod: Pod) -> bool:
    stage = pod.container(names.CONTAINER_STAGE)
    return stage.terminated and stage.exit_code == 0


def downloading_since(pod: Pod) -> datetime | None:
    """When its agent began; the earliest evidence, as a restarted sidecar has a later start."""
    agent = (names.CONTAINER_SIDECAR, names.CONTAINER_PREFETCH, names.CONTAINER_STAGE)
    return min((at for name in agent if (at := pod.container(name).started) is not None), default=None)


def training_since(pod: Pod) -> datetime | None:
    return pod.container(names.CONTAINER_TRAINING).started


def training_until(pod: Pod) -> datetime | None:
    return pod.container(names.CONTAINER_TRAINING).finished


def latest(times: Iterable[datetime | None]) -> datetime | None:
    """The latest, or None if one is unknown or there are none."""
    known = list(times)
    return None if not known or any(at is None for at in known) else max(at for at in known if at is not None)


def unseen_end(pod: Pod, now: datetime) -> datetime | None:
    """When a host ended that was at work when its kubelet last spoke; None for any other.

    The cluster marks the pods of a silent node as not ready, later takes them off it, later deletes them. To a kubelet a pod whose
    containers run is ready, so one that is not has that mark.
    """
    training = pod.container(names.CONTAINER_TRAINING)
    staging = any(pod.container(name).running for name in (names.CONTAINER_SIDECAR, names.CONTAINER_STAGE))
    if not settled(pod, now) or not (training.running or (staging and not training.terminated)):
        return None
    silent = pod.unready_at - timedelta(seconds=SILENT_SECONDS) if training.running and pod.unready_at else None
    end = min(at for at in (silent, pod.disrupted_at, pod.deleting, now) if at is not None)
    return max(end, training.started) if training.started is not None else end


def last_sign(pods: Iterable[Pod], now: datetime) -> datetime | None:
    """The latest end of any container that has ended, or of a host whose end nobody saw."""
    ends = [at for pod in pods for at in (*(state.finished for state in pod.containers.values()), unseen_end(pod, now))]
    return max((at for at in ends if at is not None), default=None)


def stop_reason(snapshot: Snapshot, pod: Pod) -> StopReason | None:
    """Why this host's training was ended from outside, as its agent tells it; stage tells it if it ended before training."""
    for report in (snapshot.report(pod), final_report(pod, names.CONTAINER_STAGE)):
        if report is not None and report.stop_reason is not None:
            return report.stop_reason
    return None


def ordered(pod: Pod) -> StopReason | None:
    """Why this pod was told to end, by the operator's annotation."""
    if pod.stop_order is None:
        return None
    try:
        return StopOrder.from_json(pod.stop_order).reason
    except ValueError:
        return None


def told_of_end(pod: Pod) -> bool:
    """Its agent was told that training is gone, in words that it can read."""
    if pod.training_end is None:
        return False
    try:
        TrainingEnd.from_json(pod.training_end)
    except ValueError:
        return False
    return True


def may_be_limit(snapshot: Snapshot, pod: Pod) -> bool:
    """Its training ended about when the runtime limit would end it, and its agent has not told yet: wait for its word."""
    ended, began = training_until(pod), downloading_since(pod)
    if ended is None or began is None or snapshot.job.spec is None or pod.over:
        return False
    report = snapshot.report(pod)
    if report is not None and report.phase in (Phase.UPLOADING, Phase.DONE):
        return False  # it knows of the end; what it said while it staged or trained says nothing of it
    limit = snapshot.job.spec.stopping_condition.max_runtime_in_seconds
    limit -= snapshot.job.status.earlier_running_time_in_seconds or 0
    return ended - began >= timedelta(seconds=limit - LIMIT_MARGIN_SECONDS)


@once
def limit_reached(snapshot: Snapshot) -> bool:
    """Has it ended a host? An agent whose training goes on says so early, and takes it back if the program ends in time."""
    return any(
        stop_reason(snapshot, pod) is StopReason.MAX_RUNTIME_EXCEEDED
        and (pod.over or (report := snapshot.report(pod)) is None or report.phase is not Phase.TRAINING)
        for pod in snapshot.pods
    )
