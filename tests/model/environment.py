"""What happens without the operator: scheduler, kubelets, agents, the garbage collector, users, and bad luck."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from tests.model import kube
from tests.model.kube import Life
from tests.model.scope import Scope
from tests.model.situation import job_of
from tests.model.world import JOBS, PODS, JobBody, Key, Object, World, fact_key, host_of
from trainyard.api import names

# What is committed by an attempt that ends for one of these is not the end of the job.
PASSING = ("Deleted", "Interrupted", "Suspended")


class Step(NamedTuple):
    """`label` is for people; `change` works on a thawed world, on what belongs to `job`."""

    label: str
    change: Callable[[World], None]
    job: str


def _ordered(pod: Object) -> str:
    """The reason of the stop order on it, empty without one."""
    text = dict(pod.body.orders).get(names.ANNOTATION_STOP)
    return str(orjson.loads(text)["reason"]) if text else ""


def _becomes(key: Key, life: Life, **fact: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        found = world.objects[key]
        world.fact(found, **fact)
        world.put(key, found.body._replace(life=life))

    return change


def kubelet_steps(scope: Scope, world: World) -> Iterator[Step]:
    for key, found in world.of(PODS):
        name, life = key[1], found.body.life
        if found.body.mute:
            if "zombie" in scope.troubles and _may_commit_unseen(scope, world, found):
                yield Step(f"{name} commits, unseen", _commits_unseen(key), job_of(name))
            continue
        if found.body.deleting and life.stage not in (kube.TRAINING, kube.UPLOADING):
            yield Step(f"{name} goes", lambda world, key=key: world.remove(key), job_of(name))
            continue
        for label, after, fact in _next(scope, world, found):
            yield Step(f"{name} {label}", _becomes(key, after, **fact), job_of(name))


def _may_commit_unseen(scope: Scope, world: World, found: Object) -> bool:
    done = world.facts[fact_key(world.manifest(found.body))].final
    return found.body.life.stage == kube.TRAINING and not done and not (scope.fence and world.superseded(found))


def _commits_unseen(key: Key) -> Callable[[World], None]:
    """On a node that does not answer: its end reaches S3, and nobody else."""

    def change(world: World) -> None:
        world.fact(world.objects[key], succeeded=True, committed=True, final=True)

    return change


def _next(scope: Scope, world: World, found: Object) -> Iterator[tuple[str, Life, dict[str, Any]]]:
    stage, order = found.body.life.stage, _ordered(found)
    if stage == kube.TRAINING:
        yield from _training_ends(scope, world, found, order)
    elif stage == kube.UPLOADING:
        yield from _uploads(scope, world, found)
    elif stage not in kube.ENDED:
        yield from _begins(scope, world, found)
    if stage == kube.STAGING or (stage == kube.NEW and kube.STAGING not in scope.path):
        if order:
            yield "stops staging", Life(kube.STAGE_ENDED, -1, "Stopped", order), {}
        if "stage" in scope.troubles:
            yield "cannot stage", Life(kube.STAGE_ENDED, -1, "Failed"), {"trouble": True}


def _begins(scope: Scope, world: World, found: Object) -> Iterator[tuple[str, Life, dict[str, Any]]]:
    """On to the next stage, or not."""
    stage = found.body.life.stage
    if stage == kube.NEW and "unschedulable" in scope.troubles:
        yield "fits no node", Life(kube.UNSCHEDULABLE), {}
    if stage == kube.BOUND and "unpullable" in scope.troubles:
        yield "cannot pull its image", Life(kube.UNPULLABLE), {"trouble": True}
    if stage == kube.UNPULLABLE or (stage == kube.UNSCHEDULABLE and "for ever" in scope.troubles):
        return
    if scope.fence and world.superseded(found):
        # Its staging finds the result; how the earlier attempt had ended is in it.
        why = world.published_why(fact_key(world.manifest(found.body))[0])
        yield "finds the result of an earlier attempt", Life(kube.STAGE_ENDED, -1, "AlreadyCommitted", why), {}
        return
    after = scope.path[scope.path.index(stage if stage in scope.path else kube.NEW) + 1]
    if after != kube.TRAINING:
        yield after, Life(after), {}
    elif _barrier(scope, world, found):
        yield after, Life(after), {"trained": True}


def _training_ends(scope: Scope, world: World, found: Object, order: str) -> Iterator[tuple[str, Life, dict[str, Any]]]:
    ends: list[tuple[int, str, dict[str, Any]]] = [
        (code, "", {"succeeded": True} if code == 0 else {"trouble": True}) for code in scope.codes
    ]
    if order:
        ends.append((kube.KILLED, order, {"trouble": True}))
    elif found.body.deleting:
        ends.append((kube.KILLED, "Deleted", {"trouble": True}))
    elif "limit" in scope.troubles:
        ends.append((kube.KILLED, "MaxRuntimeExceeded", {"limit": True}))
    for code, why, fact in ends:
        told = (kube.UPLOADING,) if kube.UPLOADING in scope.path else _results(scope, world, found)
        yield from _ends(code, why, fact, told)


def _results(scope: Scope, world: World, found: Object) -> tuple[str, ...]:
    """An attempt that finds a later one's marker, or the job's result, commits nothing."""
    return ("Failed",) if scope.fence and world.superseded(found) else scope.results


def _ends(
    code: int, why: str, fact: dict[str, Any], results: tuple[str, ...]
) -> Iterator[tuple[str, Life, dict[str, Any]]]:
    label = f"training ends with {code}" + (f" ({why})" if why else "")
    for told in results:
        if told == kube.UPLOADING:
            yield label, Life(kube.UPLOADING, code, "", why), fact
        else:
            yield f"{label}, {told}", Life(kube.OVER, code, told, why), fact | _outcome(told, code, why)


def _barrier(scope: Scope, world: World, found: Object) -> bool:
    """Training starts when every host has come as far as this one; once it was open it stays so."""
    mine = fact_key(world.manifest(found.body))[:2]
    if any(fact.trained for key, fact in world.facts.items() if key[:2] == mine):
        return True
    there = world.siblings(found)
    hosts = scope.jobs[0].hosts if len(scope.jobs) == 1 else 1
    order = [*scope.path, kube.UPLOADING]
    least = order.index(kube.TRAINING) - 1
    return len(there) == hosts and all(
        pod.body.life.stage in order and order.index(pod.body.life.stage) >= least for pod in there
    )


def _uploads(scope: Scope, world: World, found: Object) -> Iterator[tuple[str, Life, dict[str, Any]]]:
    """algo-1 waits until the others' training is over, they wait until it is through; who does not answer is given up."""
    life: Life = found.body.life
    others = [pod for pod in world.siblings(found) if pod.uid != found.uid]
    answering = [pod for pod in others if not pod.body.mute]
    first = host_of(world.manifest(found.body)) == "algo-1"
    if first:
        waits = any(pod.body.life.stage not in kube.ENDED | {kube.UPLOADING} for pod in answering)
    else:
        waits = any(
            host_of(world.manifest(pod.body)) == "algo-1" and pod.body.life.stage not in kube.ENDED for pod in answering
        )
    if waits and not found.body.deleting:
        return
    mine = fact_key(world.manifest(found.body))[:2]
    made = sum(key[:2] == mine and fact.made > 0 for key, fact in world.facts.items())
    # The files of a host that has gone are missing, and the result is none that a later attempt would take for the job's.
    whole = len(others) == made - 1 and all(pod.body.life.stage in (kube.UPLOADING, kube.OVER) for pod in others)
    for told in _results(scope, world, found) if whole or not first else ("Failed",):
        yield f"upload: {told}", life._replace(stage=kube.OVER, told=told), _outcome(told, life.code, life.why)


def _outcome(told: str, code: int, why: str) -> dict[str, Any]:
    """A failed attempt may be followed by another one, whatever it has committed; so may an interrupted one."""
    final = why not in PASSING if why else code == 0
    return {"committed": True, "final": final} if told == "Committed" else {"trouble": True}


def collector_steps(world: World) -> Iterator[Step]:
    for key in world.orphans():
        yield Step(f"garbage collector: {key[0]} {key[1]}", lambda world, key=key: world.collect(key), job_of(key[1]))


def losses(scope: Scope, world: World) -> Iterator[Step]:
    """What becomes of a pod by somebody else's hand."""
    for key, found in world.of(PODS):
        stage, job = found.body.life.stage, job_of(key[1])
        if found.body.mute:
            continue
        runs = stage not in kube.ON_NO_NODE and stage not in kube.ENDED and not found.body.deleting
        if "vanish" in scope.loss_kinds:
            yield Step(f"{key[1]} vanishes", _lost(key, "vanish"), job)
        if "evict" in scope.loss_kinds and runs:
            yield Step(f"{key[1]} is evicted", _lost(key, "evict"), job)
        if "delete" in scope.loss_kinds and not found.body.deleting:
            yield Step(f"{key[1]} is deleted by somebody", _lost(key, "delete"), job)
        if "dead" in scope.loss_kinds and runs:
            yield Step(f"the node of {key[1]} dies", _lost(key, "dead"), job)


def _lost(key: Key, how: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        found = world.objects[key]
        world.fact(found, trouble=True)
        if how == "vanish":
            world.remove(key)
        elif how == "evict":
            world.put(key, found.body._replace(life=Life(kube.EVICTED, kube.OUT_OF_MEMORY)))
        elif how == "delete":
            world.delete_pod(key)
        else:
            world.put(key, found.body._replace(mute=True, deleting=1 + world.epoch))

    return change


def user_step(command: str, world: World) -> Step | None:
    """None while it cannot be done."""
    verb, name = command.split()
    key, found = (JOBS, name), world.objects.get((JOBS, name))
    if (verb == "create") is (found is not None):
        return None

    def act(world: World) -> None:
        if verb == "create":
            world.put_new(key, JobBody())
        elif verb == "delete":
            world.remove(key)
        else:
            body = world.objects[key].body
            change = {"stop": verb == "stop" or body.stop, "suspend": verb == "suspend"}
            world.put(key, body._replace(**change, generation=body.generation + 1))

    return Step(f"user: {command}", act, name)
