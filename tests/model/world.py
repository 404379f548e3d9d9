"""The abstract cluster: objects with an apiserver's rules, one atomic step for each request.

Kept of the real one: uids that are never used twice, versions that grow with each change of an object and with its deletion,
409 for a create under a name that is taken and for a precondition that does not hold, status as a part of its own, no-op
writes that change nothing, pods that end before they go, a garbage collector that comes later.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from tests.model import kube
from tests.model.kube import Life
from tests.model.scope import Scope
from tests.support import objects as o
from trainyard.api import names
from trainyard.api.status import TERMINAL

Key = tuple[str, str]  # plural and name
JOBS, PODS, PLANS, SERVICES, NODES = "trainingjobs", "pods", "configmaps", "services", "nodes"
WATCHED = (JOBS, PODS)
STATIC = {
    "instancetypes": [{"metadata": {"name": o.INSTANCE}, "spec": {"capacity": {"cpu": "4", "memory": "16Gi"}}}],
    "executionroles": [
        {"metadata": {"name": "training", "namespace": o.NAMESPACE}, "spec": {"roleARN": o.ARN, "s3": {"region": "eu"}}}
    ],
}


class JobBody(NamedTuple):
    """`status` is JSON text."""

    generation: int = 1
    stop: bool = False
    suspend: bool = False
    status: bytes = b"{}"


class PodBody(NamedTuple):
    """`manifest` is JSON text; `deleting` is 0, or 1 + the epoch; `mute`: its node does not answer any more."""

    manifest: bytes
    life: Life = Life()
    orders: tuple[tuple[str, str], ...] = ()
    deleting: int = 0
    mute: bool = False


class NodeBody(NamedTuple):
    ready: str


class ChildBody(NamedTuple):
    manifest: bytes
    owners: bytes


class Object(NamedTuple):
    uid: str
    version: int
    body: Any


class Fact(NamedTuple):
    """The truth about one (job uid, attempt, host), which outlives its pod. `final`: what it committed is the job's outcome, and
    not what an interrupted attempt leaves for the next."""

    made: int = 0
    trained: bool = False
    succeeded: bool = False
    committed: bool = False
    trouble: bool = False
    limit: bool = False
    final: bool = False


class Failure(Exception):  # noqa: N818 - an answer of the apiserver
    """`kind` is the name of one of the operator's errors."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Views:
    """Objects as the raw JSON that clients get. Each is made once, so nobody may change one."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._raws: dict[tuple[Key, Object], dict[str, Any]] = {}
        self._manifests: dict[bytes, dict[str, Any]] = {}

    def manifest(self, text: bytes) -> dict[str, Any]:
        known = self._manifests.get(text)
        if known is None:
            known = self._manifests[text] = orjson.loads(text)
        return known

    def raw(self, key: Key, found: Object) -> dict[str, Any]:
        known = self._raws.get((key, found))
        if known is None:
            known = self._raws[key, found] = self._make(key, found)
        return known

    def _make(self, key: Key, found: Object) -> dict[str, Any]:
        identity = {"uid": found.uid, "resourceVersion": str(found.version)}
        body = found.body
        if isinstance(body, JobBody):
            return self._job(key[1], found, body)
        if isinstance(body, NodeBody):
            return {"metadata": {"name": key[1]}, "status": {"conditions": [{"type": "Ready", "status": body.ready}]}}
        made = self.manifest(body.manifest)
        if isinstance(body, ChildBody):
            metadata = made["metadata"] | identity | {"ownerReferences": orjson.loads(body.owners)}
            return made | {"metadata": metadata}
        host, attempt = host_of(made), attempt_of(made)
        shown = kube.show(body.life, host, attempt, body.mute)
        annotations = made["metadata"].get("annotations", {}) | dict(body.orders)
        created = o.stamp((attempt - 1) * kube.ATTEMPT_SECONDS)
        metadata = made["metadata"] | identity | {"creationTimestamp": created, "annotations": annotations}
        if body.deleting:
            metadata["deletionTimestamp"] = o.stamp(kube.now(body.deleting - 1) + kube.GRACE_SECONDS)
        return made | {"metadata": metadata, "spec": made["spec"] | shown["spec"], "status": shown["status"]}

    def _job(self, name: str, found: Object, body: JobBody) -> dict[str, Any]:
        kind = self.scope.kind(name)
        limits = {
            "maxRuntimeInSeconds": kind.max_runtime,
            "maxWaitTimeInSeconds": kind.max_wait,
            "maxPendingTimeInSeconds": kind.max_pending,
        }
        spec: dict[str, Any] = {
            "stoppingCondition": {limit: seconds for limit, seconds in limits.items() if seconds is not None}
        }
        if kind.spot:
            spec["enableManagedSpotTraining"] = True
        if kind.training_name:
            spec["trainingJobName"] = kind.training_name
        spec |= {name: True for name in ("stop", "suspend") if getattr(body, name)}
        if kind.retries:
            spec["retryStrategy"] = {"maximumRetryAttempts": kind.retries}
        if kind.ttl is not None:
            spec["ttlSecondsAfterFinished"] = kind.ttl
        raw = o.raw_job(hosts=kind.hosts, status=self.manifest(body.status), **spec)
        raw["metadata"] |= {
            "name": name,
            "uid": found.uid,
            "resourceVersion": str(found.version),
            "generation": body.generation,
            "creationTimestamp": o.stamp(self.scope.jobs.index(kind)),
        }
        return raw


def label(manifest: dict[str, Any], name: str) -> str:
    return str(manifest["metadata"].get("labels", {}).get(name, ""))


def host_of(manifest: dict[str, Any]) -> str:
    return label(manifest, names.LABEL_HOST)


def attempt_of(manifest: dict[str, Any]) -> int:
    return int(label(manifest, names.LABEL_ATTEMPT) or 1)


def training_name(manifest: dict[str, Any]) -> str:
    """As the program sees it."""
    environment = manifest["spec"]["containers"][0].get("env", [])
    return next((str(entry["value"]) for entry in environment if entry["name"] == "TRAINING_JOB_NAME"), "")


def fact_key(manifest: dict[str, Any]) -> tuple[str, int, str]:
    return label(manifest, names.LABEL_JOB_UID), attempt_of(manifest), host_of(manifest)


def merged(before: Any, patch: Any) -> Any:
    """JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def pack(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class World:
    """Thawed for one step: change it, then `freeze`. `changes` are what watchers will hear, in order."""

    def __init__(self, views: Views, frozen: tuple[Any, ...]) -> None:
        objects, registry, facts, self.epoch = frozen
        self.views = views
        self.objects: dict[Key, Object] = dict(objects)
        self._registry: dict[Key, tuple[int, int]] = dict(registry)
        self.facts: dict[tuple[str, int, str], Fact] = dict(facts)
        self.changes: list[tuple[Key, Object, bool]] = []

    EMPTY: tuple[Any, ...] = ((), (), (), 0)

    def freeze(self) -> tuple[Any, ...]:
        return (
            tuple(sorted(self.objects.items())),
            tuple(sorted(self._registry.items())),
            tuple(sorted(self.facts.items())),
            self.epoch,
        )

    # -- reading

    def manifest(self, body: Any) -> dict[str, Any]:
        return self.views.manifest(body.manifest)

    def of(self, plural: str) -> list[tuple[Key, Object]]:
        return [(key, found) for key, found in self.objects.items() if key[0] == plural]

    def status(self, name: str) -> dict[str, Any]:
        return self.views.manifest(self.objects[JOBS, name].body.status)

    def terminal(self, name: str) -> bool:
        return self.status(name).get("trainingJobStatus") in TERMINAL

    def job_by_uid(self, uid: str) -> str | None:
        return next((key[1] for key, found in self.of(JOBS) if found.uid == uid), None)

    def siblings(self, pod: Object) -> list[Object]:
        """The pods of the same job and attempt, this one included."""
        mine = fact_key(self.manifest(pod.body))[:2]
        return [found for _, found in self.of(PODS) if fact_key(self.manifest(found.body))[:2] == mine]

    def published(self, uid: str) -> set[int]:
        """The attempts of that job that have committed a result: algo-1 does, for all hosts."""
        return {key[1] for key, fact in self.facts.items() if key[0] == uid and key[2] == "algo-1" and fact.final}

    def published_why(self, uid: str) -> str:
        """Why the job whose result is there had been stopped, as its manifest has it; empty if it was not."""
        facts = [fact for key, fact in self.facts.items() if key[0] == uid and key[2] == "algo-1" and fact.final]
        if not facts or facts[0].succeeded:
            return ""
        return "MaxRuntimeExceeded" if facts[0].limit else "UserRequested"

    def superseded(self, pod: Object) -> bool:
        """The agents' fence: the job has a result, or a later attempt has set its marker, as its staging does."""
        uid, attempt, _ = fact_key(self.manifest(pod.body))
        later = any(key[0] == uid and key[1] > attempt and fact.trained for key, fact in self.facts.items())
        return later or bool(self.published(uid))

    # -- changing

    def _tell(self, key: Key, found: Object, deleted: bool = False) -> None:
        if key[0] in WATCHED:
            self.changes.append((key, found, deleted))

    def put_new(self, key: Key, body: Any) -> Object:
        number, version = self._registry.get(key, (0, 0))
        self._registry[key] = (number + 1, version + 1)
        found = self.objects[key] = Object(f"{key[0]}/{key[1]}#{number + 1}", version + 1, body)
        self._tell(key, found)
        return found

    def put(self, key: Key, body: Any) -> Object:
        """A write that changes nothing is none."""
        before = self.objects[key]
        if before.body == body:
            return before
        number, version = self._registry[key]
        self._registry[key] = (number, version + 1)
        found = self.objects[key] = Object(before.uid, version + 1, body)
        self._tell(key, found)
        return found

    def remove(self, key: Key) -> None:
        found = self.objects.pop(key)
        number, version = self._registry[key]
        self._registry[key] = (number, version + 1)
        self._tell(key, found._replace(version=version + 1), deleted=True)

    def fact(self, pod: Object, *, trouble: bool = False, **more: Any) -> None:
        """Trouble is never forgotten."""
        key = fact_key(self.manifest(pod.body))
        known = self.facts.get(key, Fact())
        self.facts[key] = known._replace(trouble=known.trouble or trouble, **more)

    def delete_pod(self, key: Key) -> None:
        """At once where no kubelet has to end it."""
        found = self.objects[key]
        if found.body.life.stage in kube.ON_NO_NODE or found.body.life.stage in kube.ENDED:
            self.remove(key)
        elif not found.body.deleting:
            self.put(key, found.body._replace(deleting=1 + self.epoch))

    def orphans(self) -> list[Key]:
        """What the garbage collector would take next: children none of whose owners is there."""
        uids = {found.uid for found in self.objects.values()}
        result = []
        for key, found in self.objects.items():
            if isinstance(found.body, JobBody):
                continue
            owners = (
                orjson.loads(found.body.owners)
                if isinstance(found.body, ChildBody)
                else self.manifest(found.body)["metadata"].get("ownerReferences", [])
            )
            gone = owners and not any(owner["uid"] in uids for owner in owners)
            if gone and not (isinstance(found.body, PodBody) and found.body.deleting):
                result.append(key)
        return sorted(result)

    def collect(self, key: Key) -> None:
        if key[0] == PODS:
            self.fact(self.objects[key], trouble=True)
            self.delete_pod(key)
        else:
            self.remove(key)

    # -- the verbs of the operator's Cluster

    def serve(self, request: tuple[Any, ...]) -> Any:
        """The answer as a value: objects as (key, Object). Raises Failure."""
        verb = request[0]
        return getattr(self, f"_{verb}")(*request[1:])

    def _find(self, plural: str, name: str) -> Any:
        if plural == NODES:
            hosts = [host_of(self.manifest(pod.body)) for _, pod in self.of(PODS) if pod.body.mute]
            ready = "Unknown" if name in map(kube.node_of, hosts) else "True"
            return (plural, name), Object(f"{plural}/{name}", 1, NodeBody(ready))
        found = self.objects.get((plural, name))
        return ((plural, name), found) if found is not None else None

    def _list(self, plural: str, selector: str) -> Any:
        wanted = dict(part.split("=") for part in selector.split(",") if part)
        return tuple(
            (key, found)
            for key, found in sorted(self.of(plural))
            if isinstance(found.body, JobBody)
            or all(label(self.manifest(found.body), name) == value for name, value in wanted.items())
        )

    def _create(self, plural: str, text: bytes) -> Any:
        manifest = self.views.manifest(text)
        key = (plural, manifest["metadata"]["name"])
        if key in self.objects:
            raise Failure("Conflict", "there is one of that name")
        if plural == PODS:
            made = self.put_new(key, PodBody(text))
            self.fact(made, made=self.facts.get(fact_key(manifest), Fact()).made + 1)
        else:
            made = self.put_new(key, ChildBody(text, pack(manifest["metadata"].get("ownerReferences", []))))
        return key, made

    def _merge(self, plural: str, name: str, text: bytes, subresource: str) -> Any:
        key, patch = (plural, name), orjson.loads(text)
        found = self.objects.get(key)
        if found is None:
            raise Failure("NotFound", f"{plural} {name} not found")
        metadata = patch.get("metadata", {})
        if metadata.get("resourceVersion", str(found.version)) != str(found.version):
            raise Failure("Conflict", "the object has been modified")
        if metadata.get("uid", found.uid) != found.uid:
            raise Failure("Conflict", "the uid in the precondition is another's")
        body = found.body
        if isinstance(body, JobBody):
            assert subresource == "status", "nobody but the user writes a job's spec"
            body = body._replace(status=pack(merged(orjson.loads(body.status), patch["status"])))
        elif isinstance(body, PodBody):
            body = body._replace(orders=tuple(sorted((dict(body.orders) | metadata["annotations"]).items())))
        else:
            body = body._replace(owners=pack(metadata["ownerReferences"]))
        return key, self.put(key, body)

    def _delete(self, plural: str, name: str, uid: str) -> Any:
        key = (plural, name)
        found = self.objects.get(key)
        if found is None:
            return None
        if uid and found.uid != uid:
            raise Failure("Conflict", "the uid in the precondition is another's")
        if plural == PODS:
            self.delete_pod(key)
        else:
            self.remove(key)
        return None
