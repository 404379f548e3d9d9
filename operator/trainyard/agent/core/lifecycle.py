"""Training's life as the sidecar can know it: from probes, the operator's words and the kubelet's signals to decisions.

    first probe ──────────────► running ──┬─ operator's word, or SIGTERM to the sidecar ───────► CERTAIN
                                          ├─ silence: no probe for a while ────────────────────► HINT (upload, no commit)
      stop order, or time limit ─► 503 ───┤    after a 503 silence begins when the kill does: it
                                          │    counts only when lead and grace are over
                                          └─ pod deleted (preStop), training ignores SIGTERM ──► SNAPSHOT at the grace's end

All times are seconds of a clock that runs on through restarts and suspends (CLOCK_BOOTTIME).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from trainyard.agent.timing import Timing
from trainyard.api.report import StopOrder, StopReason, TrainingEnd

NEVER_STARTED = frozenset({"StartError", "ContainerCannotRun", "CreateContainerError", "CreateContainerConfigError"})


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

    listening_since: float
    """Since when probes could arrive: silence before that says nothing."""
    staging_started: float | None = None
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


def runtime_deadline(facts: Facts, max_runtime: float) -> float | None:
    """When training must be gone or killed at the latest; None before staging began."""
    return None if facts.staging_started is None else facts.staging_started + max_runtime


def _stop(facts: Facts, now: float, timing: Timing, max_runtime: float) -> StopReason | None:
    """Why training shall end now, if it shall. The time limit's 503 starts early: the kubelet acts on it late."""
    if facts.stop is not None:
        return facts.stop.reason
    limit = runtime_deadline(facts, max_runtime)
    if limit is not None and now >= limit - timing.kill_lead:
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


def _over(facts: Facts, now: float, timing: Timing) -> Over:
    if facts.ended is not None or facts.terminated_at is not None:
        return Over.CERTAIN
    if deleting(facts, timing) and facts.deleted_at is not None:
        return Over.SNAPSHOT if now >= facts.deleted_at + timing.grace else Over.NO
    since = _silent_since(facts, timing)
    return Over.HINT if since is not None and now - max(since, facts.listening_since) >= timing.silence else Over.NO


def decide(facts: Facts, now: float, timing: Timing, max_runtime: float, *, has_files: bool = False) -> Decision:
    """The decision at `now`. `has_files`: there is something in the model or output directory."""
    over = _over(facts, now, timing)
    asked = _stop(facts, now, timing, max_runtime) if over is Over.NO or facts.stop or facts.refused_at else None
    found_deleted = deleting(facts, timing) and facts.ended is None and over is not Over.NO
    never = facts.first_probe is None and not has_files
    unheard = facts.ended is None and facts.terminated_at is not None
    unstarted = facts.ended is not None and facts.ended.reason in NEVER_STARTED
    return Decision(
        live=asked is None,
        over=over,
        stop=asked or (StopReason.DELETED if found_deleted else None),
        abandoned=never and (unheard or unstarted),
    )


def upload_deadline(facts: Facts, timing: Timing, hold: float, failed: bool) -> float | None:
    """When trying to upload ends; None before it began. A pod that is being ended leaves less time."""
    if facts.upload_began is None:
        return None
    limits = [facts.upload_began + (min(hold, timing.failed_upload) if failed else hold)]
    budget = timing.grace + timing.deletion_budget
    if facts.terminated_at is not None:
        limits.append(facts.terminated_at + budget)
    if deleting(facts, timing) and facts.deleted_at is not None:
        limits.append(facts.deleted_at + budget)
    return min(limits)


def outcome(facts: Facts, decision: Decision, failed_elsewhere: bool) -> str:
    """The manifest's word for the job. `Unknown`: nobody said how training ended, and a retry must not rely on it."""
    if decision.stop is StopReason.HOST_FAILED or failed_elsewhere:
        return "Failed"
    if decision.stop is not None:
        return "Stopped"
    if facts.ended is None:
        return "Unknown"
    return "Completed" if facts.ended.exit_code == 0 else "Failed"
