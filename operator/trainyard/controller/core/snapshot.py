"""Everything a decision may look at, gathered beforehand and frozen. The only clock is `Snapshot.now`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, wraps
from typing import Any, Generic, Literal, TypeVar

from pydantic import ValidationError

from trainyard.api import names
from trainyard.api.base import Model
from trainyard.api.platform import ExecutionRoleSpec, InstanceTypeSpec
from trainyard.api.report import Report
from trainyard.controller.core import naming, observed, read
from trainyard.controller.core.job import Job, explain
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.reading import Reading
from trainyard.controller.core.references import Resolved, Unresolved, resolve
from trainyard.controller.core.volumes import Claims

SecurityMode = Literal["baseline", "restricted"]
Spec = TypeVar("Spec", bound=Model)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Options:
    """The operator's settings that decisions and manifests depend on. Times in seconds."""

    agent_image: str
    image_pull_timeout: int = 600
    reference_timeout: int = 15
    refusal_retry: int = 60
    training_image_pull_policy: str = ""
    agent_image_pull_policy: str = "IfNotPresent"
    default_security_mode: SecurityMode = "baseline"
    restricted_uid: int = 1000
    cluster_domain: str = "cluster.local"
    deletion_budget: int = names.DELETION_BUDGET_SECONDS
    metrics_from_logs: bool = True
    restarts_stage: bool = False
    """Does this cluster start a container of a pod again whose own policy is Never? Older ones refuse the pod that asks for it."""
    denied_addresses: tuple[str, ...] = ()
    allowed_addresses: tuple[str, ...] = ()
    """Networks in which S3 endpoints may not be, and may be nevertheless."""
    instance_metadata: bool = False
    """May ExecutionRoles use the nodes' own credentials?"""


@dataclass(frozen=True)
class Named(Generic[Spec]):
    """An InstanceType or ExecutionRole; `spec` is None if it cannot be read, `problem` then says why."""

    name: str
    namespace: str
    spec: Spec | None
    problem: str = ""


InstanceType = Named[InstanceTypeSpec]
ExecutionRole = Named[ExecutionRoleSpec]


def _named(raw: Any, model: type[Spec]) -> Named[Spec]:
    metadata = read.mapping(raw, "metadata")
    name, namespace = read.text(metadata, "name"), read.text(metadata, "namespace")
    try:
        return Named(name, namespace, model.model_validate(read.mapping(raw, "spec")))
    except ValidationError as error:
        return Named(name, namespace, None, explain(error))


def parse_instance_type(raw: Any) -> InstanceType:
    return _named(raw, InstanceTypeSpec)


def parse_execution_role(raw: Any) -> ExecutionRole:
    return _named(raw, ExecutionRoleSpec)


@dataclass(frozen=True)
class Refusal:
    """The apiserver's answer to a create that will not be repeated before `at` + Options.refusal_retry, or until what the job names
    is other than it was (`of`)."""

    message: str
    at: datetime
    of: Resolved | Unresolved | None = None


@dataclass(frozen=True)
class Missed:
    """What keeps a job from starting and is waited for a little, and since when it has been just that."""

    of: Unresolved
    since: datetime


@dataclass(frozen=True)
class Snapshot:
    """`pods` are those of the job's uid and attempt, by rank, the lost ones (`gone`) included; `earlier` are those of
    its earlier attempts that are still there.

    `reports` are live ones by pod uid, never needed for correctness; `blocked_since` says by pod uid and container when
    it was first seen unable to start, `missed` what it named in vain at the last look (both in memory only: after a restart of
    the operator the wait begins anew). `predecessors`
    counts the pods of deleted jobs of the same name, of which `unanswering` are long overdue; `shadowed` are the hosts whose
    short names a Service of the namespace has taken; `reading` is what the logs gave, of a job with metric definitions; `claims`
    are those that channels need, of a job whose pods are not all made; `unadopted`: the plan of a job that has ended is still to be
    given to it.
    """

    job: Job
    now: datetime
    options: Options
    pods: tuple[Pod, ...] = ()
    earlier: tuple[Pod, ...] = ()
    instance_type: InstanceType | None = None
    instance_types: tuple[str, ...] = ()
    roles: tuple[ExecutionRole, ...] = ()
    name_holder: Job | None = None
    predecessors: int = 0
    unanswering: tuple[Pod, ...] = ()
    reports: Mapping[str, Report] = field(default_factory=dict)
    blocked_since: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    refusal: Refusal | None = None
    missed: Missed | None = None
    unadopted: bool = False
    shadowed: tuple[str, ...] = ()
    reading: Reading | None = None
    claims: Claims = field(default_factory=Claims)
    answers: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)  # see `once`

    @cached_property
    def resolution(self) -> Resolved | Unresolved:
        """What the job names, found or explained."""
        return resolve(self)

    @property
    def instance_count(self) -> int:
        return self.job.instance_count

    @property
    def host_names(self) -> tuple[str, ...]:
        return tuple(naming.host_name(rank) for rank in range(self.instance_count))

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Hosts that never had a pod. One that had and lost it is in `pods`."""
        seen = {pod.host for pod in self.pods}
        return tuple(host for host in self.host_names if host not in seen)

    @property
    def complete(self) -> bool:
        return bool(self.pods) and not self.missing

    def report(self, pod: Pod) -> Report | None:
        """The best that is known from this host's sidecar: its last word, else what it said while it worked."""
        return observed.final_report(pod, names.CONTAINER_SIDECAR) or self.reports.get(pod.uid)


def once(question: Callable[[Snapshot], Answer]) -> Callable[[Snapshot], Answer]:
    """Many checks of one host ask it of all hosts: answered once for each snapshot, a pass grows with the hosts, not their square."""

    @wraps(question)
    def answer(snapshot: Snapshot) -> Answer:
        if question not in snapshot.answers:
            snapshot.answers[question] = question(snapshot)
        found: Answer = snapshot.answers[question]
        return found

    return answer


def gang(job: Job, seen: Mapping[str, Pod]) -> tuple[Pod, ...]:
    """The job's pods by rank: those `seen` (by host), and for each recorded host without one a placeholder that is gone."""
    found = dict(seen)
    for host in job.status.hosts:
        if host.name not in found:
            found[host.name] = Pod(
                host.pod, job.namespace, uid="", host=host.name, attempt=job.attempt, node=host.node, gone=True
            )
    return tuple(sorted(found.values(), key=lambda pod: pod.rank))
