"""What was last seen of every kind, and whose key a change of it concerns."""

from __future__ import annotations

from typing import Any, Final, Literal

from trainyard.api import names
from trainyard.api.platform import ExecutionRoleSpec, InstanceTypeSpec
from trainyard.controller.adapters.cache import Key, Store
from trainyard.controller.adapters.cluster import PODS, Resource
from trainyard.controller.core import read
from trainyard.controller.core.job import Job, parse_job
from trainyard.controller.core.observed import Pod, as_gone, parse_pod
from trainyard.controller.core.snapshot import (
    ExecutionRole,
    InstanceType,
    Named,
    parse_execution_role,
    parse_instance_type,
)

Kind = Literal["jobs", "pods", "types", "roles"]
JOBS: Final = Resource(names.GROUP, names.VERSION, "trainingjobs")
TYPES: Final = Resource(names.GROUP, names.VERSION, "instancetypes")
ROLES: Final = Resource(names.GROUP, names.VERSION, "executionroles")
OURS: Final = f"{names.LABEL_MANAGED_BY}={names.FIELD_MANAGER}"
# (kind, resource, label selector, namespaced)
KINDS: Final[tuple[tuple[Kind, Resource, str, bool], ...]] = (
    ("types", TYPES, "", False),
    ("roles", ROLES, "", True),
    ("pods", PODS, OURS, True),
    ("jobs", JOBS, "", True),
)


def _nothing(value: Named[InstanceTypeSpec] | Named[ExecutionRoleSpec]) -> str:
    return value.namespace


class State:
    """Parsed objects; total for any JSON. Keys are (namespace, name)."""

    def __init__(self) -> None:
        self.jobs: Store[Job] = Store(lambda job: (job.namespace, job.training_job_name))
        self.pods: Store[Pod] = Store(lambda pod: pod.job_uid)
        self.types: Store[InstanceType] = Store(_nothing)
        self.roles: Store[ExecutionRole] = Store(_nothing)
        # Job key -> the uids that pods named for it: jobs may follow each other under one name.
        self._uids: dict[Key, set[str]] = {}

    def seen(self, kind: Kind, raw: Any, deleted: bool = False) -> set[Key]:
        """Take note of one object; the keys of the jobs that this concerns, none if it was known already."""
        metadata = read.mapping(raw, "metadata")
        key = (read.text(metadata, "namespace"), read.text(metadata, "name"))
        uid, version = read.text(metadata, "uid"), read.text(metadata, "resourceVersion")
        if kind == "jobs":
            return self._job(key, uid, version, raw, deleted)
        if kind == "pods":
            return self._pod(key, uid, version, raw, deleted)
        if kind == "types":
            changed = self.types.drop(key) if deleted else self.types.put(key, uid, version, parse_instance_type(raw))
            return self._waiting(self.jobs) if changed else set()
        changed = self.roles.drop(key) if deleted else self.roles.put(key, uid, version, parse_execution_role(raw))
        return self._waiting(self.jobs, key[0]) if changed else set()

    def _job(self, key: Key, uid: str, version: str, raw: Any, deleted: bool) -> set[Key]:
        known = self.jobs.get(key)
        if deleted:
            if known is None or known.uid != uid:
                return set()
            self.jobs.drop(key)
            self._forget_pods(uid)
            # Whoever waited for its name may go on.
            return {key} | {
                (job.namespace, job.name) for job in self.jobs.group((known.namespace, known.training_job_name))
            }
        if known is not None and known.uid != uid:
            self._forget_pods(known.uid)
        return {key} if self.jobs.put(key, uid, version, parse_job(raw)) else set()

    def _pod(self, key: Key, uid: str, version: str, raw: Any, deleted: bool) -> set[Key]:
        pod = parse_pod(raw)
        owner = (pod.namespace, pod.job_name)
        if deleted:
            job = self.jobs.get(owner)
            if job is None or job.uid != pod.job_uid:
                return owner_key(owner) if self.pods.drop(key) else set()
            # What its containers said last still counts while the job is there.
            pod = as_gone(pod)
        self._uids.setdefault(owner, set()).add(pod.job_uid)
        return owner_key(owner) if self.pods.put(key, uid, version, pod) else set()

    def job_keys(self) -> set[Key]:
        """Of all jobs, and of those that only their pods still speak of."""
        return {key for key, _ in self.jobs} | set(self._uids)

    def left_behind(self, key: Key) -> list[list[Pod]]:
        """The pods of jobs that had this key and are deleted, or being deleted, by job."""
        job = self.jobs.get(key)
        living = {job.uid} if job is not None and not job.deleting else set()
        groups = {uid: self.pods.group(uid) for uid in self._uids.get(key, set()) - living}
        gone = {uid for uid, pods in groups.items() if not pods}
        self._uids[key] = self._uids.get(key, set()) - gone
        if not self._uids[key]:
            del self._uids[key]
        return [pods for pods in groups.values() if pods]

    def pod_is_gone(self, pod: Pod) -> None:
        """The apiserver says so, though no event did."""
        key = (pod.namespace, pod.name)
        entry = self.pods.entry(key)
        if entry is not None and entry.uid == pod.uid:
            self.pods.drop(key)
            self.pods.put(key, entry.uid, entry.version, as_gone(entry.value))

    def _forget_pods(self, job_uid: str) -> None:
        for pod in self.pods.group(job_uid):
            if pod.gone:
                self.pods.drop((pod.namespace, pod.name))

    @staticmethod
    def _waiting(jobs: Store[Job], namespace: str = "") -> set[Key]:
        """Jobs that may be waiting for an InstanceType or ExecutionRole."""
        return {
            key
            for key, entry in jobs
            if not entry.value.terminal and (not namespace or key[0] == namespace) and not _has_all_hosts(entry.value)
        }

    def name_holder(self, job: Job) -> str | None:
        """The older job of the namespace with the same trainingJobName; on a tie the lower uid."""
        others = [other for other in self.jobs.group((job.namespace, job.training_job_name)) if other.uid != job.uid]
        older = [
            other for other in others if (other.created, other.uid) < (job.created, job.uid) and not other.deleting
        ]
        return min(older, key=lambda other: (other.created, other.uid)).name if older else None


def owner_key(owner: Key) -> set[Key]:
    return {owner} if owner[1] else set()


def _has_all_hosts(job: Job) -> bool:
    return job.spec is not None and len(job.status.hosts) >= job.spec.resource_config.instance_count
