"""What is to be done about a job: ordered pure checks over one snapshot, the first that speaks decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from trainyard.api.reasons import Reason
from trainyard.api.report import StopOrder, StopReason
from trainyard.api.status import SecondaryStatus, TrainingJobStatus
from trainyard.controller.core import evidence
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.expiry import expiry
from trainyard.controller.core.failures import Failure, failures
from trainyard.controller.core.limits import next_deadline, stop_cause
from trainyard.controller.core.references import Resolved, Unresolved
from trainyard.controller.core.restart import INTERNAL, Restart, due, followed_up, suspending
from trainyard.controller.core.snapshot import Missed, Snapshot
from trainyard.controller.core.verdict import Verdict, failed, stopped, verdict

Policy = Callable[[Snapshot], Decision | None]


def _finish(ending: Verdict) -> Decision:
    return Decision(Act.FINISH, ending.reason, ending.message, verdict=ending)


def _conclude(snapshot: Snapshot) -> Decision:
    """All is over: another attempt, or the end."""
    ending = verdict(snapshot)
    if ending.status is TrainingJobStatus.FAILED:
        again = followed_up(snapshot, ending.reason, ending.failure_reason or "")
        if suspending(snapshot) and (ending.failure_reason or "").startswith(INTERNAL):
            # Nothing but the suspension ended it, or what the cluster did meanwhile.
            text = "Suspended by spec.suspend; it goes on as a new attempt when that is false"
            return _start_again(Restart(Reason.SUSPENDED, text, ending.at))
        if again is not None:
            return _start_again(Restart(again, ending.failure_reason or "", ending.at))
    return _finish(ending)


def _start_again(restart: Restart) -> Decision:
    return Decision(Act.RESTART, restart.reason, restart.message, restart=restart)


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
    return Decision(Act.NOTHING, Reason.STATUS_UNREADABLE, snapshot.job.problem) if snapshot.job.history_lost else None


def terminal(snapshot: Snapshot) -> Decision | None:
    if not snapshot.job.terminal:
        return None
    end = expiry(snapshot.job)
    waits = end is not None and end > snapshot.now
    return Decision(Act.CLEAN, requeue_after=_later(snapshot, end, 0) if end is not None and waits else None)


def unreadable(snapshot: Snapshot) -> Decision | None:
    """Only before it has pods: those that an operator with other rules made go on, and no new ones can follow them."""
    if snapshot.job.spec is not None or snapshot.pods:
        return None
    return _finish(failed(_refused(Unresolved(Reason.INVALID_SPEC, snapshot.job.problem)), snapshot.now))


def stopped_before_pods(snapshot: Snapshot) -> Decision | None:
    cause = stop_cause(snapshot)
    if cause is None or snapshot.pods:
        return None
    return _finish(stopped(cause, snapshot.now))


def stopped_hosts_over(snapshot: Snapshot) -> Decision | None:
    """A stop is over when all pods are; also those that were deleted because no order reaches them."""
    if stop_cause(snapshot) is None or not _all_settled(snapshot):
        return None
    return _finish(verdict(snapshot))


def stop_requested(snapshot: Snapshot) -> Decision | None:
    cause = stop_cause(snapshot)
    if cause is None:
        return None
    told = "spec.stop was set" if snapshot.job.stop else cause.message
    order = StopOrder(reason=cause.order, message=told)
    return Decision(Act.STOP, Reason.STOPPING, "Stopping the training job", order=order)


def hosts_over(snapshot: Snapshot) -> Decision | None:
    if not snapshot.complete or not _all_settled(snapshot):
        return None
    return _conclude(snapshot)


def suspended(snapshot: Snapshot) -> Decision | None:
    """Before failures: what ends because it was told to is none. With a host missing, too."""
    if not suspending(snapshot):
        return None
    if not snapshot.pods:
        text = "Suspended by spec.suspend; set it to false to go on"
        return Decision(Act.WAIT, Reason.SUSPENDED, text) if snapshot.job.suspend else None
    if _all_settled(snapshot):
        return _conclude(snapshot)
    order = StopOrder(reason=StopReason.SUSPENDED, message="spec.suspend was set")
    return Decision(Act.SUSPEND, Reason.SUSPENDING, "Suspending the training job", order=order)


def failing_hosts_settled(snapshot: Snapshot) -> Decision | None:
    """The other hosts have ended, or are where no order reaches them: they go once the verdict is written."""
    found = failures(snapshot)
    if not found or not all(evidence.settled(pod, snapshot.now) or evidence.never_ending(pod) for pod in snapshot.pods):
        return None
    return _conclude(snapshot)


def host_failed(snapshot: Snapshot) -> Decision | None:
    found = failures(snapshot)
    if not found:
        return None
    again = followed_up(snapshot, found[0].reason, found[0].text) is not None
    order = StopOrder(reason=StopReason.INTERRUPTED if again else StopReason.HOST_FAILED, message=found[0].text)
    return Decision(Act.ABORT, found[0].reason, found[0].text, order=order)


def host_leaving(snapshot: Snapshot) -> Decision | None:
    """A pod that is being deleted hears nothing any more and will end: the others are told at once, and not when it has."""
    going = [pod for pod in snapshot.pods if pod.alive and pod.deleting is not None and not evidence.training_over(pod)]
    if not going or len(snapshot.pods) == len(going):
        return None
    pod = going[0]
    where = f" on node {pod.node}" if pod.node else ""
    text = f"host {pod.host}{where} is being ended: {(pod.disruption or 'its pod was deleted').rstrip('.')}"
    again = followed_up(snapshot, Reason.POD_LOST, INTERNAL) is not None
    order = StopOrder(reason=StopReason.INTERRUPTED if again else StopReason.HOST_FAILED, message=text)
    return Decision(Act.ABORT, Reason.POD_LOST, text, order=order)


def limit_hosts_over(snapshot: Snapshot) -> Decision | None:
    """Also of a job whose other hosts never started: none is made any more."""
    if not evidence.limit_reached(snapshot) or not _all_settled(snapshot):
        return None
    return _finish(verdict(snapshot))


def limit_reached(snapshot: Snapshot) -> Decision | None:
    """One host's clock has run out. Those that run have one of their own, those that never started have none."""
    if not evidence.limit_reached(snapshot):
        return None
    text = "maxRuntimeInSeconds is over"
    order = StopOrder(reason=StopReason.MAX_RUNTIME_EXCEEDED, message=text)
    return Decision(Act.STOP, Reason.MAX_RUNTIME_EXCEEDED, text, order=order)


def unresolved(snapshot: Snapshot) -> Decision | None:
    """Waits a little for what is not there: tools that apply a directory do not order its objects."""
    if not snapshot.missing:
        return None
    found = snapshot.resolution
    if isinstance(found, Resolved):
        return None
    if found.lasting:
        # Until the other job of its name is deleted, or a claim is there, however long that is.
        return Decision(Act.WAIT, found.reason, found.message, requeue_after=found.again)
    # Not the age of Accepted=False: that may be about a suspension, a claim, or what was mended since.
    before = snapshot.missed
    since = before.since if before is not None and before.of == found else snapshot.now
    timeout = snapshot.options.reference_timeout
    if snapshot.now - since >= timedelta(seconds=timeout):
        return _finish(failed(_refused(found), snapshot.now))
    return Decision(Act.REFUSE, found.reason, found.message, requeue_after=_later(snapshot, since, timeout))


def missed(snapshot: Snapshot, decision: Decision) -> Missed | None:
    """What the next look is to know of this one's wait for a reference. An end may have to be written again."""
    found, before = snapshot.resolution, snapshot.missed
    if decision.act is Act.FINISH:
        return before
    if decision.act is not Act.REFUSE or isinstance(found, Resolved):
        return None
    return before if before is not None and before.of == found else Missed(found, snapshot.now)


def _refused(found: Unresolved) -> Failure:
    return Failure("", -1, found.reason, f"ClientError: {found.message}")


def refused_before(snapshot: Snapshot) -> Decision | None:
    """The apiserver's no is asked for again once a minute, not in a storm; at once when role or instance type were mended."""
    if not snapshot.missing or snapshot.refusal is None:
        return None
    if snapshot.refusal.of is not None and snapshot.refusal.of != snapshot.resolution:
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


def backing_off(snapshot: Snapshot) -> Decision | None:
    """Attempts that end as soon as they have begun do not follow each other in a storm."""
    end = due(snapshot.job)
    if not snapshot.missing or snapshot.pods or end is None or snapshot.now >= end:
        return None
    last = snapshot.job.status.earlier_attempts[-1]
    text = f"Starting again at {end:%H:%M:%S} UTC: {last.message}"
    return Decision(Act.WAIT, Reason(last.reason), text, _later(snapshot, end, 0))


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
    suspended,
    failing_hosts_settled,
    host_failed,
    limit_hosts_over,
    limit_reached,
    host_leaving,
    unresolved,
    predecessor_ending,
    backing_off,
    refused_before,
    children_missing,
    watch,
)


def decide(snapshot: Snapshot) -> Decision:
    """Total: `watch` always speaks."""
    decision = next(decision for policy in POLICIES if (decision := policy(snapshot)) is not None)
    if decision.act in (Act.NOTHING, Act.CLEAN, Act.RESTART, Act.FINISH):
        return decision
    ends = [end for pod in snapshot.pods if (end := evidence.due(pod)) is not None and end > snapshot.now]
    if (end := next_deadline(snapshot)) is not None:
        ends.append(end)
    patience = timedelta(seconds=snapshot.options.image_pull_timeout)
    begun = [since + patience for pod in snapshot.pods if (since := evidence.begun_nothing_since(pod)) is not None]
    ends += [end for end in begun if end > snapshot.now]
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
