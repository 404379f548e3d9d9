"""What was last seen of every kind, and whose key a change of it concerns."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal

from trainyard.api import names
from trainyard.controller.adapters.cache import Key, Store, newer
from trainyard.controller.adapters.cluster import PODS, Resource
from trainyard.controller.app.asked import Asked
from trainyard.controller.core import naming, read
from trainyard.controller.core.job import Job, PackedJob, pack_job
from trainyard.controller.core.observed import Pod, as_gone, identified, parse_pod
from trainyard.controller.core.snapshot import (
    ExecutionRole,
    InstanceType,
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


class State:
    """Parsed objects; total for any JSON. Keys are (namespace, name)."""

    def __init__(self) -> None:
        self.jobs: Store[PackedJob] = Store(lambda job: (job.namespace, job.training_job_name))
        self.pods: Store[Pod] = Store(
            lambda pod: (pod.namespace, pod.job_uid), lambda pod: ("named", pod.namespace, pod.training_job_name)
        )
        self.types: Store[InstanceType] = Store(lambda found: found.namespace)
        self.roles: Store[ExecutionRole] = Store(lambda found: found.namespace)
        self.stores: Final[dict[Kind, Store[Any]]] = {
            "jobs": self.jobs,
            "pods": self.pods,
            "types": self.types,
            "roles": self.roles,
        }
        # Job key -> the uids that pods named for it: jobs may follow each other under one name.
        self._uids: dict[Key, set[str]] = {}
        self._told: dict[str, str] = {}
        self.asked: Final = Asked()

    def job(self, key: Key) -> Job | None:
        packed = self.jobs.get(key)
        return self._as_pods_tell(packed.unpack()) if packed is not None else None

    def _as_pods_tell(self, job: Job) -> Job:
        """At the attempt of its latest pods, if its status is of an earlier one: it was lost, or restored from a backup. By its word
        alone a second gang would train beside the one that is there. Which hosts that gang had is not known, but those that are there."""
        pods = () if job.terminal or job.history_lost else self.pods.group((job.namespace, job.uid))
        latest = max((pod.attempt for pod in pods if pod.host), default=0)
        if latest <= job.attempt:
            return job
        return replace(job, status=job.status.model_copy(update={"attempt": latest, "hosts": []}))

    def seen(self, kind: Kind, raw: Any, deleted: bool = False) -> set[Key]:
        """Take note of one object; the keys of the jobs that this concerns, none if it was known already."""
        metadata = read.mapping(raw, "metadata")
        key = (read.text(metadata, "namespace"), read.text(metadata, "name"))
        uid, version = read.text(metadata, "uid"), read.text(metadata, "resourceVersion")
        if deleted:
            if kind == "pods":
                return self._pod_gone(key, uid, version, self._whose(key, uid, raw))
            return self.gone(kind, key, uid)
        if kind == "jobs":
            return self._job(key, uid, version, raw)
        if kind == "pods":
            return self._pod(key, uid, version, raw)
        parsed = parse_instance_type(raw) if kind == "types" else parse_execution_role(raw)
        return self._waiting(key[0]) if self.stores[kind].put(key, uid, version, parsed) else set()

    def answered(self, kind: Kind, raw: Any) -> set[Key]:
        """As `seen`, for the answer to a write, which may come after the object has gone: then it says nothing."""
        metadata = read.mapping(raw, "metadata")
        known = self.stores[kind].entry((read.text(metadata, "namespace"), read.text(metadata, "name")))
        return self.seen(kind, raw) if known is not None and known.uid == read.text(metadata, "uid") else set()

    def gone(self, kind: Kind, key: Key, uid: str) -> set[Key]:
        """The object of that uid is no more, as an event or the apiserver says."""
        entry = self.stores[kind].entry(key)
        if entry is None or entry.uid != uid:
            return set()
        if kind == "pods":
            return self._pod_gone(key, uid, entry.version, entry.value)
        self.stores[kind].drop(key)
        return self._job_gone(key, entry.value) if kind == "jobs" else self._waiting(key[0])

    def _job(self, key: Key, uid: str, version: str, raw: Any) -> set[Key]:
        if not self.jobs.is_news(key, version):
            return set()
        known = self.jobs.get(key)
        self.jobs.put(key, uid, version, pack_job(raw))
        return {key} | (self._job_gone(key, known) if known is not None and known.uid != uid else set())

    def _job_gone(self, key: Key, job: PackedJob) -> set[Key]:
        for pod in self.pods.group((job.namespace, job.uid)):
            if pod.gone:
                self.pods.drop((pod.namespace, pod.name))
        return {key} | self.waiting_for(job.namespace, job.training_job_name)

    def waiting_for(self, namespace: str, training_job_name: str) -> set[Key]:
        """Whoever waited for this name may go on."""
        return {(job.namespace, job.name) for job in self.jobs.group((namespace, training_job_name))}

    def _whose(self, key: Key, uid: str, raw: Any) -> Pod:
        """Whose a pod is does not change while it is the same pod: labels that somebody changes tear no host out of its job."""
        known = self.pods.entry(key)
        if known is None or known.uid != uid or not known.value.host:
            pod = _parse_pod(raw)
        else:
            was = known.value
            pod = identified(raw, was.job_name, was.job_uid, was.attempt, was.host)
            pod = replace(pod, plan_uid=was.plan_uid or pod.plan_uid)
        word = self._told.get(uid) if pod.training_end is None else None
        return replace(pod, training_end=word) if word is not None else pod

    def _pod(self, key: Key, uid: str, version: str, raw: Any) -> set[Key]:
        known = self.pods.entry(key)
        if (known is not None and known.uid == uid and known.value.gone) or not self.pods.is_news(key, version):
            return set()
        pod = self._whose(key, uid, raw)
        self.pods.put(key, uid, version, pod)
        owner = (pod.namespace, pod.job_name)
        if pod.job_name:
            self._uids.setdefault(owner, set()).add(pod.job_uid)
        return owner_key(owner)

    def told(self, pod: Pod, word: str) -> None:
        """Its agent has taken the word that training has ended, and keeps it: as good as an annotation."""
        key = (pod.namespace, pod.name)
        entry = self.pods.entry(key)
        if entry is not None and entry.uid == pod.uid:
            self._told[pod.uid] = word
            self.pods.amend(key, replace(entry.value, training_end=word))

    def _pod_gone(self, key: Key, uid: str, version: str, pod: Pod) -> set[Key]:
        self._told.pop(uid, None)
        known, owner = self.pods.entry(key), (pod.namespace, pod.job_name)
        if known is not None and (known.uid != uid or known.value.gone):
            return set()
        self.pods.drop(key)
        job = self.jobs.get(owner)
        if job is not None and job.uid == pod.job_uid and pod.attempt >= job.attempt:
            # What its containers said last still counts while the job is there.
            self._uids.setdefault(owner, set()).add(pod.job_uid)
            self.pods.put(key, uid, version, as_gone(pod))
            return owner_key(owner)
        return owner_key(owner) | self.waiting_for(pod.namespace, pod.training_job_name) if known is not None else set()

    def claim(self, job: Job, host: str, raw: Any) -> bool:
        """A pod that the apiserver has under the name that is recorded for this host, though it was not seen, or seen to go: its
        labels were changed. False if it is none of this job's, or the one of that name that has gone."""
        pod = identified(raw, job.name, job.uid, job.attempt, host)
        key, known = (pod.namespace, pod.name), self.pods.entry((pod.namespace, pod.name))
        labelled = read.texts(raw, "metadata", "labels").get(names.LABEL_JOB_UID) == job.uid
        if not labelled and parse_pod(raw).plan != pod.plan:
            return False
        if known is not None and known.value.gone and known.uid != pod.uid:
            return False
        if (
            known is not None
            and known.value.host
            and not known.value.gone
            and newer(known.version, pod.resource_version)
        ):
            return True  # the watch was faster
        self.pods.drop(key)
        self.pods.put(key, pod.uid, pod.resource_version, pod)
        self._uids.setdefault((job.namespace, job.name), set()).add(job.uid)
        return True

    def job_keys(self) -> set[Key]:
        """Of all jobs, and of those that only their pods still speak of."""
        return {key for key, _ in self.jobs} | set(self._uids)

    def unfinished(self) -> set[Key]:
        """Of all jobs that have not ended, and of those deleted whose pods have not."""
        left = {key for key in list(self._uids) if self.left_behind(key)}
        return left | {key for key, entry in self.jobs if not entry.value.terminal}

    def pods_of(self, job: Job) -> dict[str, Pod]:
        """Of the present attempt, by host."""
        pods = self.pods.group((job.namespace, job.uid))
        return {pod.host: pod for pod in pods if pod.attempt == job.attempt and pod.host}

    def earlier_pods(self, job: Job) -> tuple[Pod, ...]:
        """Those of earlier attempts that are still there; what the lost ones said last interests nobody any more."""
        older = [pod for pod in self.pods.group((job.namespace, job.uid)) if pod.attempt < job.attempt]
        for pod in older:
            if pod.gone:
                self.pods.drop((pod.namespace, pod.name))
        return tuple(pod for pod in older if not pod.gone)

    def left_behind(self, key: Key) -> list[list[Pod]]:
        """The pods of jobs that had this key and are deleted, or being deleted, by job."""
        job = self.jobs.get(key)
        present = job.uid if job is not None else ""
        left = self._uids.get(key, set()) - ({present} if job is not None and not job.deleting else set())
        groups = {uid: self.pods.group((key[0], uid)) for uid in left}
        # The last words of pods of a job that is no more interest nobody.
        groups = {uid: [pod for pod in pods if uid == present or not pod.gone] for uid, pods in groups.items()}
        gone = {uid for uid, pods in groups.items() if not pods}
        self._uids[key] = self._uids.get(key, set()) - gone
        if not self._uids[key]:
            del self._uids[key]
        return [pods for pods in groups.values() if pods]

    def undecided(self, job: Job) -> int:
        """How many pods of others, gone by now, with this one's trainingJobName may be there though nothing has told of them."""
        others = self.asked.named(job.namespace, job.training_job_name)
        return sum(other.uid != job.uid and self._is_gone(other.namespace, other.name, other.uid) for other in others)

    def may_begin(self, job: Job) -> bool:
        """Is it still there, and does nobody else write to its place? Between a decision and its pods other jobs have their passes."""
        in_the_way = self.name_holder(job) is not None or self.undecided(job) or self.predecessors(job)
        return not in_the_way and not self._is_gone(job.namespace, job.name, job.uid)

    def predecessors(self, job: Job) -> list[Pod]:
        """What deleted jobs have left behind: pods that have the names of this one's, or that may still write to its place in S3."""
        own = [pod for pods in self.left_behind((job.namespace, job.name)) for pod in pods]
        named = self.pods.group(("named", job.namespace, job.training_job_name))
        return own + [
            pod
            for pod in named
            if pod.job_name != job.name and not pod.over and self._is_gone(pod.namespace, pod.job_name, pod.job_uid)
        ]

    def _is_gone(self, namespace: str, name: str, uid: str) -> bool:
        job = self.jobs.get((namespace, name))
        return job is None or job.deleting or job.uid != uid

    def is_new(self, key: Key) -> bool:
        """Does this job have no pods yet?"""
        job = self.jobs.get(key)
        return job is not None and not job.terminal and not self._has_begun(job)

    def _has_begun(self, job: PackedJob) -> bool:
        return job.hosts > 0 or job.attempt > 1 or bool(self.pods.group((job.namespace, job.uid)))

    def _waiting(self, namespace: str) -> set[Key]:
        """Jobs that may be waiting for an InstanceType or ExecutionRole."""
        return {
            key
            for key, entry in self.jobs
            if not entry.value.terminal and (not namespace or key[0] == namespace) and not _has_all_hosts(entry.value)
        }

    def name_holder(self, job: Job) -> Job | None:
        """Another job of the namespace that has this one's trainingJobName: one that has begun, else the older one.

        Creation times are whole seconds; of two jobs of one second the lower uid counts, unless the other has begun already.
        """

        asking = {other.uid for other in self.asked.named(job.namespace, job.training_job_name)}

        def seniority(of: PackedJob) -> tuple[bool, datetime, str]:
            return of.uid not in asking and not self._has_begun(of), of.created, of.uid

        others = self.jobs.group((job.namespace, job.training_job_name))
        own = next((other for other in others if other.uid == job.uid), None)
        if own is None:
            return None
        senior = [other for other in others if not other.deleting and seniority(other) < seniority(own)]
        found = min(senior, key=seniority, default=None)
        return found.unpack() if found is not None else None


def _parse_pod(raw: Any) -> Pod:
    """Labels are easily copied: only a pod with the name and the owner that a host's has is taken for that host's."""
    pod = parse_pod(raw)
    job, attempt = pod.job_name, pod.attempt
    if (pod.name, pod.plan) == (naming.pod_name(job, attempt, pod.host), naming.config_map_name(job, attempt)):
        return pod
    return replace(pod, job_uid="", job_name="", training_job_name="", host="")


def owner_key(owner: Key) -> set[Key]:
    return {owner} if owner[1] else set()


def _has_all_hosts(job: PackedJob) -> bool:
    spec = job.unpack().spec if job.hosts > 0 else None
    return spec is not None and job.hosts >= spec.resource_config.instance_count
