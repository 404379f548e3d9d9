"""A job's life as SageMaker tells it: contiguous stretches whose times never run backwards.

Milestones are everything the pods prove at this moment; what the recorded list does not have yet is appended. So the list is
the same whether the operator watched each step or came back when all was over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trainyard.api.reasons import Reason
from trainyard.api.report import StopReason
from trainyard.api.status import SecondaryStatus, TrainingJobStatus, Transition
from trainyard.controller.core import evidence
from trainyard.controller.core.activity import Activity
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.policies import is_stopping
from trainyard.controller.core.snapshot import Snapshot

# Pending and Starting may follow each other in any order; after them there is no way back but by another attempt.
RANKS = {
    SecondaryStatus.PENDING: 0,
    SecondaryStatus.STARTING: 0,
    SecondaryStatus.DOWNLOADING: 1,
    SecondaryStatus.TRAINING: 2,
    SecondaryStatus.UPLOADING: 3,
    SecondaryStatus.INTERRUPTED: -1,
    SecondaryStatus.STOPPING: 4,
    SecondaryStatus.STOPPED: 5,
    SecondaryStatus.MAX_RUNTIME_EXCEEDED: 5,
    SecondaryStatus.MAX_WAIT_TIME_EXCEEDED: 5,
    SecondaryStatus.COMPLETED: 5,
    SecondaryStatus.FAILED: 5,
}
TERMINAL_RANK = 5
_BEFORE = frozenset(status for status, rank in RANKS.items() if rank <= 0)
# The oldest are forgotten: a job may be interrupted without end.
KEPT = 100
MESSAGES = {
    SecondaryStatus.STARTING: "Starting the training job.",
    SecondaryStatus.DOWNLOADING: "Downloading input data",
    SecondaryStatus.TRAINING: "Training image download completed. Training in progress.",
    SecondaryStatus.UPLOADING: "Uploading generated training model",
    SecondaryStatus.STOPPING: "Stopping the training job",
    SecondaryStatus.STOPPED: "Training job stopped",
    SecondaryStatus.COMPLETED: "Training job completed",
    SecondaryStatus.FAILED: "Training job failed",
}


@dataclass(frozen=True)
class Milestone:
    """Something that the pods, or a decision, prove to have begun at `at`."""

    status: SecondaryStatus
    at: datetime
    message: str
    anew: bool = False
    """Another attempt begins: it may follow anything."""


def milestones(snapshot: Snapshot, decision: Decision, doing: Activity) -> list[Milestone]:
    """In the order of life."""
    found = [_beginning(snapshot, doing), *_work(snapshot)]
    if is_stopping(snapshot, decision):
        found = _without_upload(found)
        found.append(_milestone(SecondaryStatus.STOPPING, _stopping_since(snapshot)))
    if _goes_on(decision):
        found = _without_upload(found)
    if (again := decision.restart) is not None:
        internal = again.reason is Reason.RETRYING
        status = SecondaryStatus.STARTING if internal else SecondaryStatus.INTERRUPTED
        found.append(Milestone(status, again.at, again.message, anew=True))
    if (ending := decision.verdict) is not None:
        if ending.status is TrainingJobStatus.STOPPED:
            found = _without_upload(found)
            found.append(_milestone(SecondaryStatus.STOPPING, min(_stopping_since(snapshot), ending.at)))
        # A stop says why; a failure does so in failureReason.
        stopped = ending.status is TrainingJobStatus.STOPPED
        message = ending.message if stopped else MESSAGES.get(ending.secondary, ending.message)
        found.append(Milestone(ending.secondary, ending.at, message))
    return found


def _milestone(status: SecondaryStatus, at: datetime) -> Milestone:
    return Milestone(status, at, MESSAGES[status])


def _goes_on(decision: Decision) -> bool:
    """What is uploaded now is not the job's result."""
    interrupted = decision.order is not None and decision.order.reason is StopReason.INTERRUPTED
    return interrupted or decision.act in (Act.SUSPEND, Act.RESTART)


def _without_upload(found: list[Milestone]) -> list[Milestone]:
    """A stopped job uploads during Stopping, one that goes on later while it is Training."""
    return [milestone for milestone in found if milestone.status is not SecondaryStatus.UPLOADING]


def _beginning(snapshot: Snapshot, doing: Activity) -> Milestone:
    pods, job = snapshot.pods, snapshot.job
    made = [pod.created for pod in pods if pod.created is not None]
    waiting = [pod for pod in pods if pod.alive and not pod.scheduled and pod.unschedulable]
    last = job.status.secondary_status_transitions[-1:]
    if not pods and last and last[0].status in (SecondaryStatus.STARTING, SecondaryStatus.INTERRUPTED):
        return Milestone(SecondaryStatus(last[0].status), last[0].start_time, doing.message)
    if not pods:
        return Milestone(SecondaryStatus.PENDING, job.created, doing.message)
    if waiting:
        since = evidence.latest(pod.unscheduled_at for pod in waiting)
        return Milestone(SecondaryStatus.PENDING, since or min(made, default=job.created), doing.message)
    begun = min(made, default=job.created)
    if last and last[0].status == SecondaryStatus.PENDING:
        # Back from the queue: when the last host got its node.
        begun = evidence.latest(pod.scheduled_at for pod in pods) or begun
    message = (
        doing.message
        if all(evidence.downloading_since(pod) is None for pod in pods)
        else MESSAGES[SecondaryStatus.STARTING]
    )
    return Milestone(SecondaryStatus.STARTING, begun, message)


def _work(snapshot: Snapshot) -> list[Milestone]:
    """Downloading, Training, Uploading: each once every host is there."""
    pods, found = snapshot.pods, list[Milestone]()
    if not snapshot.complete:
        return found
    downloading = evidence.latest(evidence.downloading_since(pod) for pod in pods)
    if downloading is None:
        return found
    found.append(_milestone(SecondaryStatus.DOWNLOADING, downloading))
    training = evidence.latest(evidence.training_since(pod) for pod in pods)
    if training is None:
        return found
    found.append(_milestone(SecondaryStatus.TRAINING, training))
    ended = evidence.latest(evidence.training_until(pod) for pod in pods)
    if ended is not None and not any(evidence.may_be_limit(snapshot, pod) for pod in pods):
        found.append(_milestone(SecondaryStatus.UPLOADING, ended))
    return found


def _stopping_since(snapshot: Snapshot) -> datetime:
    """A stop's time is nowhere in the pods: when it was seen. A limit's is the end of training, or before it the agent's word."""
    if snapshot.job.stop:
        return snapshot.now
    ended = evidence.latest(evidence.training_until(pod) for pod in snapshot.pods)
    return ended if ended is not None and ended < snapshot.now else snapshot.now


def extend(previous: list[Transition], found: list[Milestone], doing: Activity) -> list[Transition]:
    """`previous` with what is new appended. Total; a terminal list is returned as it is."""
    result = list(previous)
    for milestone in found:
        last = result[-1] if result else None
        if last is not None:
            known = RANKS.get(SecondaryStatus(last.status), 0) if last.status in set(SecondaryStatus) else 0
            rank = RANKS[milestone.status]
            turns = rank == known == 0 and milestone.status != last.status
            if (rank <= known and not turns and not milestone.anew) or (
                milestone.anew and milestone.status == last.status
            ):
                continue
        start = milestone.at if last is None else max(milestone.at, last.start_time)
        if last is not None:
            result[-1] = last.model_copy(update={"end_time": start})
        end = start if RANKS[milestone.status] == TERMINAL_RANK else None
        result.append(
            Transition(status=milestone.status, start_time=start, end_time=end, status_message=milestone.message)
        )
    if result and found and result[-1].end_time is None and result[-1].status == found[-1].status:
        result[-1] = result[-1].model_copy(update={"status_message": _current(found[-1], doing)})
    return result[-KEPT:]


def _current(milestone: Milestone, doing: Activity) -> str:
    """The message of the stretch the job is in follows what it does."""
    return doing.message or milestone.message


def running_since(transitions: list[Transition]) -> datetime | None:
    """When the present attempt's instances were ready: the start of its Downloading. By the order of things, which clocks that
    differ cannot change: after it nothing of rank 0 or below comes but with another attempt."""
    for entry in reversed(transitions):
        if entry.status == SecondaryStatus.DOWNLOADING:
            return entry.start_time
        if entry.status in _BEFORE:
            return None
    return None
