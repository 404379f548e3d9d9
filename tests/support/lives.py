"""TrainingJobs as an apiserver would show them, in every state: each status was made by the operator's own code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.support import objects as o
from trainyard.api import names
from trainyard.api.crd import UNSEEN
from trainyard.api.report import Phase, StopReason
from trainyard.controller.core.announce import Announcement, announcements
from trainyard.controller.core.job import parse_job
from trainyard.controller.core.observed import Pod, as_gone, parse_report
from trainyard.controller.core.policies import decide, missed
from trainyard.controller.core.snapshot import Missed, Refusal
from trainyard.controller.core.status import reduce

Raw = dict[str, Any]
SPOT = {
    "enableManagedSpotTraining": True,
    "stoppingCondition": {"maxRuntimeInSeconds": 3600, "maxWaitTimeInSeconds": 7200},
}


class Life:
    """One job. `spec` are fields over those of objects.raw_job; every step changes `raw` and gives the job back."""

    def __init__(self, **spec: Any) -> None:
        self.raw: Raw = {"apiVersion": names.API_VERSION, "kind": "TrainingJob"} | o.raw_job(**spec)
        self.raw["status"] = dict(UNSEEN)
        self.first_spec: Raw = self.raw["spec"]
        self.said: list[Announcement] = []
        self.missed: Missed | None = None

    def seen(self, *pods: Pod, now: float = 1000, **more: Any) -> Life:
        """The operator looks at it, with `more` in its snapshot, and writes the status."""
        job = parse_job(self.raw)
        snapshot = o.snapshot(job, list(pods), now=now, missed=self.missed, **more)
        decision = decide(snapshot)
        self.missed, status = missed(snapshot, decision), reduce(snapshot, decision)
        self.said += announcements(job, status)
        self.raw = self.raw | {"status": status.to_dict()}
        return self

    def changed(self, **spec: Any) -> Life:
        metadata = self.raw["metadata"] | {"generation": self.raw["metadata"]["generation"] + 1}
        self.raw = self.raw | {"metadata": metadata, "spec": self.raw["spec"] | spec}
        return self

    def deleted(self) -> Life:
        self.raw = self.raw | {"metadata": self.raw["metadata"] | {"deletionTimestamp": o.stamp(2000)}}
        return self

    def condition(self, kind: str) -> Raw:
        conditions: list[Raw] = self.raw["status"].get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == kind), {})


@dataclass(frozen=True)
class Stage:
    """A job in the state of that row of the table in docs/reference/states.md; `reason` is that of its Ready."""

    row: str
    reason: str
    life: Life

    def __str__(self) -> str:
        return f"{self.row} {self.reason}".strip()


def _trained(**spec: Any) -> Life:
    return Life(**spec).seen(o.starting(), now=1).seen(o.training(), now=10)


def _suspended() -> Life:
    return _trained().changed(suspend=True).seen(o.training(), now=50).seen(o.stopped(why=StopReason.SUSPENDED), now=80)


def _blocked() -> Life:
    told = parse_report(o.report(phase=Phase.UPLOADING, result=None, reason="UploadBlocked", message="AccessDenied"))
    return _trained().seen(o.uploading(), reports={"pod-algo-1": told})


def _unscheduled(**limits: int) -> Life:
    return Life(stoppingCondition={"maxRuntimeInSeconds": 3600} | limits).seen(o.unscheduled(), now=5)


def _tainted() -> Pod:
    taint = {"type": "DisruptionTarget", "status": "True", "message": "Taint manager: deleting due to NoExecute taint"}
    return o.training(status={"conditions": [taint]})


def _broken() -> Life:
    life = Life()
    life.raw["spec"] = {key: value for key, value in life.raw["spec"].items() if key != "outputDataConfig"}
    return life.seen()


def stages() -> Iterator[Stage]:
    holder = replace(o.job(), name="first", uid="other")
    yield Stage("not seen by the operator yet", "", Life())
    yield Stage("`Pending`", "Unschedulable", _unscheduled())
    yield Stage("`Pending`", "ExecutionRoleNotFound", Life().seen(roles=()))
    yield Stage("`Pending`", "ResourceInUse", Life().seen(name_holder=holder))
    yield Stage("`Pending`", "Pending", Life().seen(predecessors=1))
    yield Stage("`Pending`", "PodsRefused", Life().seen(now=5, refusal=Refusal("exceeded quota: pods=0", o.at(0))))
    yield Stage("`Starting`", "Starting", Life().seen(o.starting(), now=10))
    yield Stage("`Starting`", "PodNotStarting", Life().seen(o.starting(), now=700))
    yield Stage("`Downloading`", "PullingImage", Life().seen(o.pulling()))
    yield Stage("`Downloading`", "ImagePullFailing", Life().seen(o.pulling("algo-1", "ErrImagePull", "no such host")))
    yield Stage("`Downloading`", "Staging", Life().seen(o.staging()))
    yield Stage("`Training`", "Training", _trained())
    yield Stage("`Training`", "Suspending", _trained().changed(suspend=True).seen(o.training()))
    yield Stage("`Training`", "PodLost", _trained().seen(_tainted()))
    yield Stage("`Interrupted`", "Interrupted", _trained(**SPOT).seen(as_gone(o.training()), now=60))
    yield Stage("`Interrupted`", "Suspended", _suspended())
    yield Stage("suspended, whatever the state", "Suspended", Life(suspend=True).seen())
    yield Stage("suspended, whatever the state", "Suspended", _suspended().seen(now=90))
    yield Stage("`Uploading`", "Uploading", _trained().seen(o.uploading()))
    yield Stage("`Uploading`", "UploadBlocked", _blocked())
    yield Stage("`Stopping`", "Stopping", _trained().changed(stop=True).seen(o.training()))
    yield Stage("`Completed`", "Completed", _trained().seen(o.over()))
    yield Stage("`Completed`", "Completed", _trained().seen(o.over()).changed(stop=True).seen())
    yield Stage("`Stopped`", "Stopped", Life().changed(stop=True).seen())
    yield Stage("`Stopped`", "Stopped", _trained().changed(stop=True).seen(o.training()).seen(o.stopped()))
    late = _unscheduled(maxPendingTimeInSeconds=1800).seen(o.unscheduled(), now=2000)
    yield Stage("`Stopped`", "MaxPendingTimeExceeded", late.seen(as_gone(o.unscheduled()), now=2010))
    limit = o.stopped(why=StopReason.MAX_RUNTIME_EXCEEDED)
    yield Stage("`MaxRuntimeExceeded`", "MaxRuntimeExceeded", _trained().seen(limit))
    waited = Life(**SPOT).seen(o.unscheduled(), now=5).seen(o.unscheduled(), now=7300)
    yield Stage("`MaxWaitTimeExceeded`", "MaxWaitTimeExceeded", waited.seen(as_gone(o.unscheduled()), now=7310))
    yield Stage("`Failed`", "AlgorithmError", _trained().seen(o.over(code=1)))
    yield Stage("`Failed`", "PodLost", _trained().seen(as_gone(o.training())))
    yield Stage("`Failed`", "InvalidSpec", _broken())
    unknown = Life().seen(roles=(), now=10).seen(roles=(), now=100)
    yield Stage("`Failed`", "ExecutionRoleNotFound", unknown)
    yield Stage("changed, and not looked at since", "Training", _trained().changed(stop=True))
    yield Stage("changed, and not looked at since", "Suspended", Life(suspend=True).seen().changed(suspend=False))
    yield Stage("changed, and not looked at since", "Completed", _trained().seen(o.over()).changed(stop=True))
    yield Stage("being deleted", "", Life().deleted())
    yield Stage("being deleted", "Training", _trained().deleted())
    yield Stage("being deleted", "AlgorithmError", _trained().seen(o.over(code=1)).deleted())


@dataclass(frozen=True)
class Row:
    """One line of the table: what is True, and what each reader says."""

    true: frozenset[str]
    readers: dict[str, str]


def table(page: str) -> dict[str, Row]:
    """The table of docs/reference/states.md, by its first column."""
    lines = page[page.index("| State | True |") :].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    readers = cells[0][2:]
    return {
        state: Row(frozenset(true.replace("`", "").split(", ")) - {"-"}, dict(zip(readers, said, strict=True)))
        for state, true, *said in cells[2:]
    }
