"""Training's life as the sidecar can know it: from probes, the operator's words and the kubelet's signals to decisions.

    first probe ──────────────► running ──┬─ operator's word, or SIGTERM to the sidecar ───────► CERTAIN
                                          ├─ silence: no probe for a while ────────────────────► HINT (upload, no commit)
      stop order, or time limit ─► 503 ───┤    after a 503 silence begins when the kill does: it
                                          │    counts only when lead and grace are over
                                          └─ pod deleted (preStop), training ignores SIGTERM ──► SNAPSHOT at the grace's end

All times are seconds of a clock that runs on through restarts and suspends (CLOCK_BOOTTIME).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from trainyard.agent.timing import Timing
from trainyard.api.report import UNFINISHED, StopOrder, StopReason, TrainingEnd

NEVER_STARTED = frozenset({"StartError", "ContainerCannotRun", "CreateContainerError", "CreateContainerConfigError"})


# The manifest's word for a job that was stopped, where it is not just Stopped.
STOPPED_AS = {
    StopReason.MAX_RUNTIME_EXCEEDED: "MaxRuntimeExceeded",
    StopReason.MAX_WAIT_TIME_EXCEEDED: "MaxWaitTimeExceeded",
}


class Over(StrEnum):
    """How sure it is that training has ended."""

    NO = "no"
    HINT = "hint"
    CERTAIN = "certain"
    SNAPSHOT = "snapshot"  # it still runs, but its time is up: what is there now is what is kept

    @property
    def final(self) -> bool:
        """May a commit follow?"""
        return self in {Over.CERTAIN, Over.SNAPSHOT}


@dataclass(frozen=True)
class Facts:
    """All that was observed. Kept in the state directory, so that a restarted sidecar carries on."""

    began: float
    """When the sidecar first ran: the instance is there, and the time limit counts from then on."""
    listening_since: float
    """Since when probes could arrive: silence before that says nothing."""
    staged_at: float | None = None
    first_probe: float | None = None
    last_probe: float | None = None
    refused_at: float | None = None
    """The first probe that was answered with 503."""
    stop: StopOrder | None = None
    ended: TrainingEnd | None = None
    deleted_at: float | None = None
    """preStop was called while `hold` was held: only a deletion can do that."""
    terminated_at: float | None = None
    """SIGTERM to the sidecar: every regular container is gone, or the pod's grace is over."""

    upload_began: float | None = None
    """Since when an upload is wanted that follows a certain end. One that follows a hint has all the time there is."""
    blocked_since: float | None = None
    """The first refusal of the upload that no progress has followed."""
    committed_without: Sequence[str] = ()
    """Hosts whose files algo-1 did without: they must know it also from a successor of this process."""

    def probed(self, now: float, live: bool) -> Facts:
        """After one liveness request, answered with `live`."""
        return replace(
            self,
            first_probe=now if self.first_probe is None else self.first_probe,
            last_probe=now,
            refused_at=self.refused_at if live or self.refused_at is not None else now,
        )


@dataclass(frozen=True)
class Decision:
    """What follows from the facts at one moment."""

    live: bool
    over: Over
    stop: StopReason | None = None
    abandoned: bool = False
    """The pod ends and training never ran."""
    may_release: bool = False
    """Is it sure enough that `hold` is no longer needed? It cannot be called back."""


def _stop(facts: Facts, now: float, timing: Timing, max_runtime: float) -> StopReason | None:
    """Why training shall end now, if it shall. The time limit's 503 starts early: the kubelet acts on it late."""
    if facts.stop is not None:
        return facts.stop.reason
    if now >= facts.began + max_runtime - timing.kill_lead:
        return StopReason.MAX_RUNTIME_EXCEEDED
    return None


def _silent_since(facts: Facts, timing: Timing) -> float | None:
    """From when on the absence of probes counts; None while it says nothing."""
    if deleting(facts, timing):
        return None
    if facts.first_probe is None or facts.last_probe is None:
        return None if facts.staged_at is None else facts.staged_at + timing.never_probed - timing.silence
    since = max(facts.last_probe, facts.listening_since)
    if facts.refused_at is not None:
        since = max(since, facts.refused_at + timing.kill_lead + timing.grace)
    return since


def deleting(facts: Facts, timing: Timing) -> bool:
    """Is the pod being deleted? Probes that still arrive later show that preStop was called by somebody else."""
    if facts.deleted_at is None:
        return False
    return facts.last_probe is None or facts.last_probe <= facts.deleted_at + 2 * timing.probe_period


def _silence(facts: Facts, now: float, timing: Timing) -> float:
    """For how long the absence of probes has counted."""
    since = _silent_since(facts, timing)
    return 0.0 if since is None else now - max(since, facts.listening_since)


def _kept_limit(facts: Facts, timing: Timing, max_runtime: float) -> bool:
    """Did training end by itself before its time limit, although the probe was refused already?"""
    if facts.last_probe is None or (facts.ended is not None and facts.ended.exit_code != 0):
        return False
    # It was there at the last probe, and gone before the next. The kill comes at the limit, and not before.
    return facts.last_probe + timing.probe_period < facts.began + max_runtime - timing.limit_margin


def _over(facts: Facts, now: float, timing: Timing) -> Over:
    if facts.ended is not None or facts.terminated_at is not None:
        return Over.CERTAIN
    if deleting(facts, timing) and facts.deleted_at is not None:
        return Over.SNAPSHOT if now >= facts.deleted_at + timing.grace else Over.NO
    return Over.HINT if _silence(facts, now, timing) >= timing.silence else Over.NO


def decide(facts: Facts, now: float, timing: Timing, max_runtime: float, *, has_files: bool = False) -> Decision:
    """The decision at `now`. `has_files`: there is something in the model or output directory."""
    over = _over(facts, now, timing)
    asked = _stop(facts, now, timing, max_runtime) if over is Over.NO or facts.stop or facts.refused_at else None
    stop = asked
    if over is not Over.NO and facts.stop is None and asked and _kept_limit(facts, timing, max_runtime):
        stop = None
    found_deleted = deleting(facts, timing) and facts.ended is None and over is not Over.NO
    never = facts.first_probe is None and not has_files
    unheard = facts.ended is None and facts.terminated_at is not None and not _may_have_run(facts)
    unstarted = facts.ended is not None and facts.ended.reason in NEVER_STARTED
    return Decision(
        live=asked is None,
        over=over,
        stop=stop or (StopReason.DELETED if found_deleted else None),
        abandoned=never and (unheard or unstarted),
        may_release=over.final
        or (facts.first_probe is not None and _silence(facts, now, timing) >= timing.long_silence),
    )


def _may_have_run(facts: Facts) -> bool:
    """All was staged, and the pod not yet deleted: training can have begun and ended between two probes."""
    return facts.staged_at is not None and (facts.deleted_at is None or facts.deleted_at > facts.staged_at)


def upload_deadline(facts: Facts, timing: Timing, hold: float, failed: bool, deletion_budget: float) -> float | None:
    """When trying to upload ends; None: never. Only a block ends it, however long it takes, or the end of its pod."""
    limits = []
    if facts.blocked_since is not None:
        began = max(facts.blocked_since, facts.upload_began or facts.blocked_since)
        limits.append(began + (min(hold, timing.failed_upload) if failed else hold))
    if facts.stop is not None and facts.stop.reason is StopReason.DELETED and facts.upload_began is not None:
        # The job is gone, and its pods are to follow. One that goes on later waits: what was written is uploaded whole.
        limits.append(facts.upload_began + deletion_budget)
    # Time for the upload process to take back what it began, and for another one to do it in its place.
    budget = max(0.0, timing.grace + deletion_budget - 2 * timing.worker_stuck)
    if facts.terminated_at is not None:
        limits.append(facts.terminated_at + budget)
    if deleting(facts, timing) and facts.deleted_at is not None:
        limits.append(facts.deleted_at + budget)
    return min(limits, default=None)


def unwanted(facts: Facts, deletion_budget: float) -> bool:
    """Is nothing to be uploaded? The job is gone, and its administrator gives the upload of such a one no time."""
    return facts.stop is not None and facts.stop.reason is StopReason.DELETED and deletion_budget == 0


def checkpoint_deadline(
    facts: Facts, timing: Timing, blocked_since: float | None, hold: float, *, failed: bool, budget: float
) -> float | None:
    """When the last pass over checkpoints ends, `blocked_since` being its own; None: never. Of the time of a pod that ends it has
    half, as the artifacts come after it."""
    half = timing.worker_stuck + budget / 2
    return upload_deadline(replace(facts, blocked_since=blocked_since), timing, hold, failed, half)


def outcome(facts: Facts, decision: Decision, failed_elsewhere: bool) -> str:
    """The manifest's word for the job. `Unknown`: nobody said how training ended, and a retry must not rely on it."""
    if decision.stop in UNFINISHED:
        return "Interrupted"
    if decision.stop in {StopReason.HOST_FAILED, StopReason.INPUT_FAILED} or failed_elsewhere:
        return "Failed"
    if decision.stop is not None:
        return STOPPED_AS.get(decision.stop, "Stopped")
    if facts.ended is None:
        return "Unknown"
    return "Completed" if facts.ended.exit_code == 0 else "Failed"
