"""What is to be done about a job: ordered pure checks over one snapshot, the first that speaks decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from trainyard.api.reasons import Reason
from trainyard.api.status import SecondaryStatus
from trainyard.controller.core import evidence
from trainyard.controller.core.failures import Failure, failures
from trainyard.controller.core.references import Resolved, Unresolved
from trainyard.controller.core.snapshot import Snapshot
from trainyard.controller.core.verdict import Verdict, failed, stopped, verdict


class Act(StrEnum):
    """What a decision asks for; `actions` turns it into writes."""

    NOTHING = "nothing"  # the job is being deleted
    CLEAN = "clean"  # terminal: whatever still runs goes
    REFUSE = "refuse"  # cannot be run as it is written
    MAKE = "make"  # children are missing
    WAIT = "wait"  # children are missing, and the apiserver has just refused them
    WATCH = "watch"  # everything is there; pods do their work
    STOP = "stop"  # a stop was asked for or the time limit is reached: orders to all hosts
    ABORT = "abort"  # a host failed: orders to the others
    FINISH = "finish"  # `verdict` is to be written


@dataclass(frozen=True)
class Decision:
    """`requeue_after`: seconds after which to look again though nothing has changed."""

    act: Act
    reason: Reason | None = None
    message: str = ""
    requeue_after: float | None = None
    verdict: Verdict | None = None
    resolved: Resolved | None = None


Policy = Callable[[Snapshot], Decision | None]


def _finish(ending: Verdict) -> Decision:
    return Decision(Act.FINISH, ending.reason, ending.message, verdict=ending)


def _later(snapshot: Snapshot, since: datetime, seconds: int) -> float:
    """Seconds until `since` + `seconds`, and never a busy loop."""
    return max((since + timedelta(seconds=seconds) - snapshot.now).total_seconds(), 1.0)


def _all_settled(snapshot: Snapshot) -> bool:
    return all(evidence.settled(pod, snapshot.now) for pod in snapshot.pods)


def being_deleted(snapshot: Snapshot) -> Decision | None:
    """Its pods are run down as those of a job that is gone (`rundown`); the job itself does nothing any more."""
    return Decision(Act.NOTHING) if snapshot.job.deleting else None


def history_lost(snapshot: Snapshot) -> Decision | None:
    """Somebody wrote a status that cannot be read. Hands off: a fresh one would make the pods a second time."""
    return Decision(Act.NOTHING, Reason.INVALID_SPEC, snapshot.job.problem) if snapshot.job.history_lost else None


def terminal(snapshot: Snapshot) -> Decision | None:
    return Decision(Act.CLEAN) if snapshot.job.terminal else None


def unreadable(snapshot: Snapshot) -> Decision | None:
    if snapshot.job.spec is not None:
        return None
    return _finish(failed(_refused(Unresolved(Reason.INVALID_SPEC, snapshot.job.problem)), snapshot.now))


def stopped_before_pods(snapshot: Snapshot) -> Decision | None:
    if not snapshot.job.stop or snapshot.pods:
        return None
    return _finish(stopped("Training job stopped before it had any pod", snapshot.now))


def stopped_hosts_over(snapshot: Snapshot) -> Decision | None:
    """A stop is over when all pods are; also those that were deleted because no order reaches them."""
    if not snapshot.job.stop or not _all_settled(snapshot):
        return None
    return _finish(verdict(snapshot))


def stop_requested(snapshot: Snapshot) -> Decision | None:
    if not snapshot.job.stop:
        return None
    return Decision(Act.STOP, Reason.STOPPING, "Stopping the training job")


def hosts_over(snapshot: Snapshot) -> Decision | None:
    if not snapshot.complete or not _all_settled(snapshot):
        return None
    return _finish(verdict(snapshot))


def failing_hosts_settled(snapshot: Snapshot) -> Decision | None:
    """The other hosts have ended, or are where no order reaches them: they go once the verdict is written."""
    found = failures(snapshot)
    if not found or not all(evidence.settled(pod, snapshot.now) or evidence.never_ending(pod) for pod in snapshot.pods):
        return None
    return _finish(verdict(snapshot))


def host_failed(snapshot: Snapshot) -> Decision | None:
    found = failures(snapshot)
    return Decision(Act.ABORT, found[0].reason, found[0].text) if found else None


def limit_hosts_over(snapshot: Snapshot) -> Decision | None:
    """Also of a job whose other hosts never started: none is made any more."""
    if not evidence.limit_reached(snapshot) or not _all_settled(snapshot):
        return None
    return _finish(verdict(snapshot))


def limit_reached(snapshot: Snapshot) -> Decision | None:
    """One host's clock has run out. Those that run have one of their own, those that never started have none."""
    if not evidence.limit_reached(snapshot):
        return None
    return Decision(Act.STOP, Reason.MAX_RUNTIME_EXCEEDED, "maxRuntimeInSeconds is over")


def unresolved(snapshot: Snapshot) -> Decision | None:
    """Waits a little for what is not there: tools that apply a directory do not order its objects."""
    if not snapshot.missing:
        return None
    found = snapshot.resolution
    if isinstance(found, Resolved):
        return None
    accepted = snapshot.job.condition("Accepted")
    since = accepted.last_transition_time if accepted is not None and accepted.status == "False" else snapshot.now
    timeout = snapshot.options.reference_timeout
    if snapshot.now - since >= timedelta(seconds=timeout):
        return _finish(failed(_refused(found), snapshot.now))
    return Decision(Act.REFUSE, found.reason, found.message, requeue_after=_later(snapshot, since, timeout))


def _refused(found: Unresolved) -> Failure:
    return Failure("", -1, found.reason, f"ClientError: {found.message}")


def refused_before(snapshot: Snapshot) -> Decision | None:
    """The apiserver's no is asked for again once a minute, not in a storm."""
    if not snapshot.missing or snapshot.refusal is None:
        return None
    wait = snapshot.options.refusal_retry
    if snapshot.now - snapshot.refusal.at >= timedelta(seconds=wait):
        return None
    return Decision(
        Act.WAIT, Reason.PODS_REFUSED, snapshot.refusal.message, _later(snapshot, snapshot.refusal.at, wait)
    )


def predecessor_ending(snapshot: Snapshot) -> Decision | None:
    """Pods of a deleted job of this name still work; theirs are the names that this one's pods will have."""
    if not snapshot.missing or not snapshot.predecessors:
        return None
    message = f"waiting for {snapshot.predecessors} pod(s) of a deleted job of the same name to upload and end"
    if snapshot.unanswering:
        dead = snapshot.unanswering[0]
        message += (
            f"; node {dead.node} does not say that pod {dead.name} has ended: if the node is gone for good, delete the node,"
            " or the pod with --force"
        )
    return Decision(Act.WAIT, Reason.PENDING, message)


def children_missing(snapshot: Snapshot) -> Decision | None:
    if not snapshot.missing:
        return None
    found = snapshot.resolution
    return Decision(Act.MAKE, Reason.STARTING, resolved=found) if isinstance(found, Resolved) else None


def watch(snapshot: Snapshot) -> Decision | None:
    """Wakes by itself only where time alone changes something: an image that stays away."""
    timeout = snapshot.options.image_pull_timeout
    waits = [
        _later(snapshot, snapshot.blocked_since.get(blocked.key, snapshot.now), timeout)
        for pod in snapshot.pods
        if (blocked := evidence.blocked(pod)) is not None
    ]
    return Decision(Act.WATCH, requeue_after=min(waits, default=None))


POLICIES: tuple[Policy, ...] = (
    being_deleted,
    history_lost,
    terminal,  # never changes again
    unreadable,
    stopped_before_pods,
    stopped_hosts_over,
    stop_requested,  # before failures: exit codes are ignored once a stop was asked for
    hosts_over,
    failing_hosts_settled,
    host_failed,
    limit_hosts_over,
    limit_reached,
    unresolved,
    predecessor_ending,
    refused_before,
    children_missing,
    watch,
)


def decide(snapshot: Snapshot) -> Decision:
    """Total: `watch` always speaks."""
    decision = next(decision for policy in POLICIES if (decision := policy(snapshot)) is not None)
    if decision.act in (Act.NOTHING, Act.CLEAN, Act.FINISH):
        return decision
    ends = [end for pod in snapshot.pods if (end := evidence.due(pod)) is not None and end > snapshot.now]
    waits = [_later(snapshot, end, 0) for end in ends]
    if decision.requeue_after is not None:
        waits.append(decision.requeue_after)
    return replace(decision, requeue_after=min(waits, default=None))


def is_stopping(snapshot: Snapshot, decision: Decision) -> bool:
    """A stop was asked for or the runtime limit reached, and the job has not ended."""
    if decision.act is Act.STOP:
        return True
    return decision.act in (Act.WATCH, Act.ABORT) and (
        evidence.limit_reached(snapshot) or snapshot.job.status.secondary_status is SecondaryStatus.STOPPING
    )
