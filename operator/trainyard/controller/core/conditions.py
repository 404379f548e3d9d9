"""The ten conditions, all present from the first write: one table from where a job is to what tools may wait for.

FieldsIgnored, CheckpointsKept and those of metrics are there only where a job has what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainyard.api.reasons import Reason
from trainyard.api.status import Condition, SecondaryStatus
from trainyard.controller.core import evidence, keeping, logmetrics
from trainyard.controller.core.activity import Activity
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.references import Unresolved
from trainyard.controller.core.snapshot import Snapshot
from trainyard.controller.core.warnings import warnings

TYPES = (
    "Accepted",
    "Ready",
    "Reconciling",
    "Stalled",
    "Suspended",
    "DataReady",
    "ArtifactsUploaded",
    "Complete",
    "Failed",
    "Finished",
)
FIELDS_IGNORED = "FieldsIgnored"
MESSAGE_CHARS = 4096

S = SecondaryStatus
# secondary status -> which of Ready, Reconciling, Stalled, Complete, Failed, Finished are True. kstatus reads the first
# three: Reconciling is "in progress", Ready "current", Stalled "failed"; a job that trains for hours is current. What it, Flux
# and Argo CD make of each row is in docs/reference/states.md, which tests/unit/controller/test_readers.py asks them.
TABLE: dict[SecondaryStatus, frozenset[str]] = {
    S.PENDING: frozenset({"Reconciling"}),
    S.STARTING: frozenset({"Reconciling"}),
    S.INTERRUPTED: frozenset({"Reconciling"}),
    S.DOWNLOADING: frozenset({"Reconciling"}),
    S.TRAINING: frozenset({"Ready"}),
    S.UPLOADING: frozenset({"Ready"}),
    S.STOPPING: frozenset({"Reconciling"}),
    S.COMPLETED: frozenset({"Ready", "Complete", "Finished"}),
    S.STOPPED: frozenset({"Ready", "Finished"}),
    S.MAX_RUNTIME_EXCEEDED: frozenset({"Ready", "Finished"}),
    S.MAX_WAIT_TIME_EXCEEDED: frozenset({"Ready", "Finished"}),
    S.FAILED: frozenset({"Stalled", "Failed", "Finished"}),
}


@dataclass(frozen=True)
class _Claim:
    holds: bool
    reason: Reason
    message: str = ""


def conditions(snapshot: Snapshot, decision: Decision, doing: Activity, secondary: SecondaryStatus) -> list[Condition]:
    """In the order of TYPES, then those that only some jobs have. `lastTransitionTime` moves only when a condition's status flips."""
    # A suspended job is as it should be, wherever it was.
    suspended = decision.act is Act.WAIT and decision.reason is Reason.SUSPENDED
    true = frozenset({"Suspended", "Ready"}) if suspended else TABLE[secondary]
    # One message is enough: on what is True, and on Ready, where people look.
    claims = {
        kind: _Claim(kind in true, doing.reason, doing.message if kind in true | {"Ready"} else "") for kind in TYPES
    }
    claims["Accepted"] = _accepted(snapshot, decision, doing)
    claims["DataReady"] = _data_ready(snapshot, decision, doing)
    claims["ArtifactsUploaded"] = _artifacts(decision, doing)
    if (ignored := _ignored(snapshot)) is not None:
        claims[FIELDS_IGNORED] = ignored
    if (kept := keeping.claim(snapshot)) is not None:
        claims[keeping.TYPE] = _Claim(*kept)
    for kind, holds, reason, message in logmetrics.claims(snapshot):
        claims[kind] = _Claim(holds, reason, message)
    return [_condition(snapshot, kind, claim) for kind, claim in claims.items()]


def _ignored(snapshot: Snapshot) -> _Claim | None:
    """Found out once: it is about the spec, which does not change."""
    if snapshot.job.status.conditions:
        before = snapshot.job.condition(FIELDS_IGNORED)
        return _Claim(True, Reason.NO_EFFECT, before.message) if before is not None else None
    found = warnings(snapshot.job.spec) if snapshot.job.spec is not None else []
    if not found:
        return None
    return _Claim(True, Reason.NO_EFFECT, "; ".join(f"{field}: {meaning}" for field, meaning in found))


def _accepted(snapshot: Snapshot, decision: Decision, doing: Activity) -> _Claim:
    if decision.act is Act.REFUSE:
        return _Claim(False, doing.reason, doing.message)
    if not snapshot.pods:
        found = snapshot.resolution
        if isinstance(found, Unresolved):
            return _Claim(False, found.reason, found.message)
    if snapshot.job.problem:
        text = f"It was accepted, and goes on as it is; no other attempt of it can be started: {snapshot.job.problem}"
        return _Claim(True, Reason.ACCEPTED, text)
    return _Claim(True, Reason.ACCEPTED, "Every name that the job uses was found")


def _data_ready(snapshot: Snapshot, decision: Decision, doing: Activity) -> _Claim:
    before = snapshot.job.condition("DataReady")
    if decision.act is Act.RESTART:
        return _Claim(False, doing.reason)
    if (before is not None and before.status == "True") or (
        snapshot.complete and all(map(evidence.staged, snapshot.pods))
    ):
        return _Claim(True, Reason.DATA_STAGED, "Input data and configuration are in place on every host")
    return _Claim(False, doing.reason)


def _artifacts(decision: Decision, doing: Activity) -> _Claim:
    if decision.verdict is not None and decision.verdict.committed:
        return _Claim(
            True, Reason.ARTIFACTS_COMMITTED, "Every artifact is in S3, and the manifest that lists them was read back"
        )
    return _Claim(False, doing.reason, doing.message if decision.verdict is not None else "")


def _condition(snapshot: Snapshot, kind: str, claim: _Claim) -> Condition:
    before = snapshot.job.condition(kind)
    status: Literal["True", "False"] = "True" if claim.holds else "False"
    since = before.last_transition_time if before is not None and before.status == status else snapshot.now
    return Condition(
        type=kind,
        status=status,
        observed_generation=snapshot.job.generation,
        last_transition_time=since,
        reason=claim.reason.value,
        message=claim.message[:MESSAGE_CHARS],
    )


def reobserved(before: list[Condition], generation: int) -> list[Condition]:
    """The same conditions, said to be true of a later generation of the spec."""
    return [condition.model_copy(update={"observed_generation": generation}) for condition in before]
