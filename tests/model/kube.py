"""What a pod goes through, and what the apiserver shows of it at each stage."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.support import objects as o
from trainyard.api.report import Phase, Result, StopReason

NEW, UNSCHEDULABLE, BOUND, UNPULLABLE = "new", "unschedulable", "bound", "unpullable"
STAGING, TRAINING, UPLOADING = "staging", "training", "uploading"
OVER, STAGE_ENDED, EVICTED = "over", "stage ended", "evicted"
ENDED = frozenset({OVER, STAGE_ENDED, EVICTED})
ON_NO_NODE = frozenset({NEW, UNSCHEDULABLE})
KILLED, OUT_OF_MEMORY = 143, 137
# Between two attempts of a job, and from one epoch (in which all timeouts run out) to the next.
ATTEMPT_SECONDS, EPOCH_SECONDS, NOW_SECONDS = 500, 1000, 500
GRACE_SECONDS = 420


class Life(NamedTuple):
    """`code`: of training, -1 while it has none. `told`: the agent's result; `why`: the stop reason that it reports."""

    stage: str = NEW
    code: int = -1
    told: str = ""
    why: str = ""


def now(epoch: int) -> float:
    """Seconds after START."""
    return NOW_SECONDS + epoch * EPOCH_SECONDS


def _early(stage: str, base: float) -> dict[str, Any]:
    """Of a pod that has not come as far as staging, or was thrown out."""
    if stage == BOUND:
        return {name: o.waiting() for name in o.INIT}
    if stage == UNPULLABLE:
        return {"sidecar": o.running(base + 2), "prefetch": o.waiting("ErrImagePull", "no such image")}
    return {name: o.ended(base + 2, base + 50, 137) for name in ("sidecar", "training", "hold")}


def _staging(life: Life, host: str, base: float) -> dict[str, Any]:
    begun = {"sidecar": o.running(base + 2), "prefetch": o.ended(base + 3, base + 3)}
    if life.stage == STAGING:
        return begun | {"stage": o.running(base + 4), "training": o.waiting(), "hold": o.waiting()}
    why = StopReason(life.why) if life.why else None
    failed = {} if life.told == Result.ALREADY_COMMITTED else {"reason": "AccessDenied", "message": "ClientError: no"}
    told = o.report(host, Result(life.told), stop_reason=why, **failed)
    return begun | {
        "sidecar": o.ended(base + 2, base + 6, message=o.report(host, Result.ABANDONED)),
        "stage": o.ended(base + 4, base + 5, 1, message=told),
        "training": o.waiting(),
        "hold": o.waiting(),
    }


def _trained(life: Life, host: str, base: float) -> dict[str, Any]:
    staged = {
        "sidecar": o.running(base + 2),
        "prefetch": o.ended(base + 3, base + 3),
        "stage": o.ended(base + 4, base + 5, message=o.report(host, Result.STAGED, phase=Phase.STAGED)),
        "hold": o.running(base + 6),
    }
    if life.stage == TRAINING:
        return staged | {"training": o.running(base + 6)}
    word = {0: "Completed", OUT_OF_MEMORY: "OOMKilled"}.get(life.code, "Error")
    ended = staged | {"training": o.ended(base + 6, base + 60, life.code, word)}
    if life.stage == UPLOADING:
        return ended
    why = StopReason(life.why) if life.why else None
    text = "InternalServerError: not uploaded" if life.told == Result.FAILED else None
    last = o.report(host, Result(life.told), stop_reason=why, message=text)
    return ended | {"hold": o.ended(base + 6, base + 70), "sidecar": o.ended(base + 2, base + 70, message=last)}


def _states(life: Life, host: str, base: float) -> dict[str, Any]:
    if life.stage in (BOUND, UNPULLABLE, EVICTED):
        return _early(life.stage, base)
    return _staging(life, host, base) if life.stage in (STAGING, STAGE_ENDED) else _trained(life, host, base)


def node_of(host: str) -> str:
    """Each host has one of its own."""
    return f"node-of-{host}"


def show(life: Life, host: str, attempt: int, mute: bool = False) -> dict[str, Any]:
    """`spec` and `status` as far as the kubelet and the scheduler fill them in."""
    base = (attempt - 1) * ATTEMPT_SECONDS
    if life.stage == NEW:
        return {"spec": {}, "status": {"phase": "Pending"}}
    scheduled: dict[str, Any] = {"type": "PodScheduled", "status": "True", "lastTransitionTime": o.stamp(base + 1)}
    if life.stage == UNSCHEDULABLE:
        scheduled |= {"status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
        return {"spec": {}, "status": {"phase": "Pending", "conditions": [scheduled]}}
    states = _states(life, host, base)
    phase = "Running" if life.stage in (TRAINING, UPLOADING) else "Pending"
    if life.stage in ENDED:
        phase = "Succeeded" if life.stage == OVER and life.code == 0 else "Failed"
    status: dict[str, Any] = {
        "phase": phase,
        "podIP": "10.0.0.9",
        "conditions": [scheduled],
        "initContainerStatuses": [{"name": name} | states[name] for name in o.INIT if name in states],
        "containerStatuses": [{"name": name} | state for name, state in states.items() if name not in o.INIT],
    }
    if life.stage == EVICTED:
        status |= {"reason": "Evicted", "message": "The node was low on resource: memory."}
    if mute:
        taken = {"type": "DisruptionTarget", "status": "True", "message": "the node controller evicts it"}
        status["conditions"] = [scheduled, taken]
    return {"spec": {"nodeName": node_of(host)}, "status": status}
