"""N1, N2, N3: what must hold of every write, and of every state in which nothing more happens. None: it holds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.model import kube
from tests.model.situation import job_of
from tests.model.world import JOBS, NODES, PODS, Key, Object, Views, World, attempt_of, fact_key, label, training_name
from trainyard.api import names
from trainyard.api.reasons import Reason
from trainyard.api.status import TERMINAL
from trainyard.controller.app.state import State
from trainyard.controller.core.announce import ACTIONABLE

# What may keep a job waiting although nothing else is wrong.
BLOCKERS = frozenset(str(reason) for reason in ACTIONABLE | {Reason.PENDING, Reason.SUSPENDED})


def knows(state: State, namespace: str, name: str) -> str:
    """Why an operator that knows this must not make pods for that job; empty if it may."""
    job = state.job((namespace, name))
    if job is None:
        return "is not there"
    if job.terminal:
        return "has ended"
    if job.deleting:
        return "is being deleted"
    if job.stop and not state.pods_of(job) and not job.status.hosts:
        return "was stopped before it had pods"
    return ""


# An operator found its plan there: unless it is the only one, somebody else may be further than it knows, and it must ask.
WARNED = "may be somebody else's work already"


def truth(world: World, name: str, uid: str, attempt: int = 0) -> str:
    """As `knows`, from the cluster itself; a host that is recorded has had its pod of that attempt, 0 for the present one."""
    found = world.objects.get((JOBS, name))
    if found is None or found.uid != uid:
        return "is not there"
    if world.terminal(name):
        return "has ended"
    now = world.status(name).get("attempt") or 1
    if attempt and attempt < now:
        return f"is at attempt {now}"
    hosts = [entry["name"] for entry in world.status(name).get("hosts", [])]
    return f"has recorded {' '.join(hosts)}" if hosts and attempt in (0, now) else ""


def _forbids(why: str, host: str) -> bool:
    return bool(why) and (not why.startswith("has recorded") or host in why.split())


def creating(world: World, manifest: dict[str, Any], knew: str, alone: bool) -> str | None:
    """N3, before a pod is created that is not there.

    `knew` is what its operator had been told when its pass began, or since. That is all that can be asked of one of two
    operators that both lead: no request of Kubernetes creates a pod only if some other object is still as it was. An operator
    that is `alone` must do better: nobody but itself writes statuses, so it is measured by the truth. (A user's stop or
    deletion may cross with a create in any case; the pod then goes, see `at_rest`.)
    """
    name = manifest["metadata"]["name"]
    uid, attempt, host = fact_key(manifest)
    why = truth(world, label(manifest, names.LABEL_JOB_NAME), uid, attempt)
    if knew == WARNED:
        if _forbids(why, host):
            return f"N3: pod {name} is made for a job that {why}, and its operator had cause to ask"
    elif _forbids(knew, host):
        return f"N3: pod {name} is made for a job that, as its operator had been told, {knew}"
    if alone and why != "is not there" and _forbids(why, host):
        return f"N3: pod {name} is made for a job that {why}"
    for (_, other), found in world.of(PODS) if alone else ():
        made = world.manifest(found.body)
        if found.body.life.stage in kube.ENDED or found.body.mute:
            continue
        if label(made, names.LABEL_JOB_UID) == uid and attempt_of(made) < attempt:
            return f"N3: pod {name} is made while {other} of an earlier attempt may still run"
        if label(made, names.LABEL_JOB_UID) != uid and training_name(made) == training_name(manifest):
            return f"N3: pod {name} is made while {other} of a job with its trainingJobName may still upload"
    return None


def independent(views: Views, job: str, request: tuple[Any, ...]) -> str | None:
    """A pass over one job asks for nothing that belongs to another, and for nothing that all share."""
    verb, plural, what, *_ = request
    name = views.manifest(what)["metadata"]["name"] if verb == "create" else what
    mine = f"trainingjobs/{job}#" in what if verb == "list" else plural != NODES and job_of(name) == job
    return None if mine else f"independence: a pass over {job} asks to {verb} {plural} {name}"


def deleting(world: World, key: Key, found: Object) -> str | None:
    """Nothing is taken from a job that lives, has no trouble and was let alone by its user; a plan that no pod was made from
    is nobody's loss."""
    manifest = world.manifest(found.body)
    uid = label(manifest, names.LABEL_JOB_UID)
    name = world.job_by_uid(uid)
    if name is None or world.terminal(name) or world.objects[JOBS, name].body.stop:
        return None
    if (
        attempt_of(manifest) != (world.status(name).get("attempt") or 1)
        or world.objects[JOBS, name].body.generation > 1
    ):
        return None
    kind = world.views.scope.kind(name)
    if _over(world, kind.max_wait) or _over(world, kind.max_pending):
        return None
    if any(fact.trouble for (owner, _, _), fact in world.facts.items() if owner == uid):
        return None
    if key[0] != PODS and not any(
        label(world.manifest(pod.body), names.LABEL_JOB_UID) == uid for _, pod in world.of(PODS)
    ):
        return None
    return f"harm: {key[0]} {key[1]} is deleted although its job lives and nothing is wrong with it"


def status_written(world: World, name: str, uid: str, before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """N2."""
    fields = ("trainingJobStatus", "secondaryStatus", "secondaryStatusTransitions", "failureReason", "hosts")
    if before.get("trainingJobStatus") in TERMINAL:
        changed = [field for field in fields if before.get(field) != after.get(field)]
        return f"N2: {changed} of {name} changed after its end" if changed else None
    wrong = _life(before.get("secondaryStatusTransitions", []), after.get("secondaryStatusTransitions", []))
    if wrong:
        return f"N2: {name}: {wrong}"
    if (after.get("attempt") or 1) < (before.get("attempt") or 1):
        return f"N2: the attempt of {name} went back"
    if after.get("trainingJobStatus") in TERMINAL:
        return _evidence(world, name, uid, after)
    return None


def _life(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> str | None:
    if len(after) < len(before):
        return "a transition was taken back"
    for index, (old, new) in enumerate(zip(before, after, strict=False)):
        last = index == len(before) - 1
        if (old["status"], old["startTime"]) != (new["status"], new["startTime"]):
            return f"transition {index + 1} changed from {old['status']} to {new['status']}"
        if not last and old != new:
            return f"transition {index + 1} changed after it was over"
    return next(filter(None, (_follow(one, other) for one, other in pairwise(after))), None)


def _follow(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    if one.get("endTime") != other["startTime"]:
        return f"{one['status']} and {other['status']} are not contiguous"
    if other["startTime"] < one["startTime"]:
        return f"time runs backwards from {one['status']} to {other['status']}"
    return f"{one['status']} follows itself" if one["status"] == other["status"] else None


def _evidence(world: World, name: str, uid: str, after: dict[str, Any]) -> str | None:
    """The verdict against what really happened in the last attempt."""
    attempt = max(world.published(uid), default=after.get("attempt") or 1)
    facts = {key[2]: fact for key, fact in world.facts.items() if key[:2] == (uid, attempt)}
    secondary, found = after["secondaryStatus"], world.objects.get((JOBS, name))
    hosts = world.views.scope.kind(name).hosts
    if after["trainingJobStatus"] == "Completed":
        succeeded = [host for host, fact in facts.items() if fact.succeeded]
        if len(succeeded) != hosts or not facts["algo-1"].committed:
            return f"N2: {name} is Completed, and the truth is {facts}"
    kind = world.views.scope.kind(name)
    asked = found is not None and found.body.stop
    if secondary == "Stopped" and not asked and not _over(world, kind.max_pending):
        return f"N2: {name} is Stopped and nobody asked for it"
    if secondary == "MaxWaitTimeExceeded" and not _over(world, kind.max_wait):
        return f"N2: {name} is MaxWaitTimeExceeded before its time"
    if secondary == "MaxRuntimeExceeded" and not any(fact.limit for fact in facts.values()):
        return f"N2: {name} is MaxRuntimeExceeded and no host says so"
    return _failed(world, name, uid, after) if after["trainingJobStatus"] == "Failed" else None


def _over(world: World, limit: int | None) -> bool:
    """Jobs are made when time begins, or a few seconds later."""
    return limit is not None and kube.now(world.epoch) >= limit


def _failed(world: World, name: str, uid: str, after: dict[str, Any]) -> str | None:
    if not after.get("failureReason"):
        return f"N2: {name} is Failed and does not say why"
    all_facts = [fact for key, fact in world.facts.items() if key[0] == uid]
    if all_facts and not any(fact.trouble for fact in all_facts):
        return f"N2: {name} is Failed although nothing went wrong: {after['failureReason']}"
    return None


def at_rest(world: World) -> str | None:
    """N1, N3 of what was published, and nothing left over, where nothing more happens by itself."""
    return _published_twice(world) or _stuck(world) or _left_over(world)


def _published_twice(world: World) -> str | None:
    for uid in {key[0] for key in world.facts}:
        if len(world.published(uid)) > 1:
            return f"N3: attempts {sorted(world.published(uid))} of {uid} have both committed"
    return None


def _stuck(world: World) -> str | None:
    for (_, name), _found in world.of(JOBS):
        status = world.status(name)
        ready = next((entry for entry in status.get("conditions", []) if entry["type"] == "Ready"), None)
        if not world.terminal(name) and (ready is None or ready["reason"] not in BLOCKERS):
            told = f"Ready says {ready['reason']}: {ready['message']}" if ready else "it has no condition"
            return f"N1: {name} is stuck in {status.get('secondaryStatus')} and nothing names the blocker: {told}"
    return None


def _left_over(world: World) -> str | None:
    for key, found in world.objects.items():
        if key[0] == JOBS or (key[0] == PODS and found.body.mute):
            continue
        manifest = world.manifest(found.body)
        name = world.job_by_uid(label(manifest, names.LABEL_JOB_UID))
        mute = any(other.body.mute for _, other in world.of(PODS))
        if name is None and not mute:
            return f"{key[0]} {key[1]} is left of a job that was deleted"
        if name is None or key[0] != PODS or found.body.life.stage in kube.ENDED:
            continue
        if world.terminal(name):
            return f"pod {key[1]} runs although its job has ended"
        if attempt_of(manifest) < (world.status(name).get("attempt") or 1):
            return f"pod {key[1]} runs although its attempt has ended"
    return None
