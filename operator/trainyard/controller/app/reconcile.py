"""One pass over one job: snapshot, decide, apply, reduce, write once, tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import Reason
from trainyard.api.status import TERMINAL, JobStatus, SecondaryStatus
from trainyard.controller.adapters.cache import Key
from trainyard.controller.adapters.cluster import NODES, PODS, SERVICES, Cluster
from trainyard.controller.adapters.errors import ClusterError, Conflict, NotFound, Refused
from trainyard.controller.adapters.events import Events
from trainyard.controller.app import claims
from trainyard.controller.app.apply import Applier, NotOurs
from trainyard.controller.app.deletion import Deletion
from trainyard.controller.app.logscan import STATUS_SECONDS, LogScan
from trainyard.controller.app.memory import Memories, Memory
from trainyard.controller.app.metrics import Metrics
from trainyard.controller.app.reports import Reports
from trainyard.controller.app.state import JOBS, State
from trainyard.controller.core import evidence, naming, read
from trainyard.controller.core.actions import actions
from trainyard.controller.core.announce import ACTIONABLE, Announcement, announcements
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.hindrance import hindered, telling
from trainyard.controller.core.job import Job
from trainyard.controller.core.logmetrics import is_only_metrics
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.policies import decide, missed
from trainyard.controller.core.references import needs
from trainyard.controller.core.snapshot import Options, Refusal, Snapshot, gang
from trainyard.controller.core.status import reduce

_log = logging.getLogger(__name__)
# A custom resource's status is the dearest write there is: a burst of steps becomes one, mere wording waits longer.
STEP_SECONDS, WORDING_SECONDS = 1.0, 10.0
# For so long two records stand back: of pods that were just made, while other jobs wait for theirs, and of an upload, as most
# are over by then.
PATIENCE_SECONDS = 2.0
# Making children changes what is seen: look again, also after a refusal.
_LOOKS = 3
_NAMES_LOOKED_AT = 4


@dataclass
class Reconciler:
    """`options` may become others once it is known what the cluster can do. `clock` gives UTC in whole seconds; it is read once for
    each look. `pressed`: do other jobs wait for their pods?"""

    state: State
    cluster: Cluster
    applier: Applier
    deletion: Deletion
    events: Events
    reports: Reports
    logscan: LogScan
    memories: Memories
    metrics: Metrics
    options: Options
    clock: Callable[[], datetime]
    pressed: Callable[[], bool] = lambda: False

    async def reconcile(self, key: Key) -> float | None:
        """Seconds after which to look again though nothing has changed. Raises ClusterError for what may go better later."""
        left, uncleared = await self._clear(key)
        job = self.state.job(key)
        if job is None:
            self.memories.forget(key)
            self.reports.forget(key)
            self.logscan.forget(key)
            if uncleared is not None:
                raise uncleared
            return left
        memory = self.memories.of(key, job.uid)
        snapshot, decision, refused = await self._settle(job, memory)
        if refused is None and decision.reason is Reason.PENDING:
            refused = uncleared  # of the pods that it waits for
        said = _said(snapshot, decision, memory, refused)
        if decision.act is Act.NOTHING and decision.reason is not None:
            _log.warning("%s", decision.message, extra={"job": f"{key[0]}/{key[1]}", "uid": job.uid})
            self._say(job, Announcement(decision.reason, decision.message))
        self.reports.follow(key, snapshot)
        self.logscan.follow(key, snapshot, decision)
        wait = await self._write(snapshot, said, memory) if said is not None else None
        if decision.act in (Act.CLEAN, Act.NOTHING) and not memory.unadopted:
            self.memories.forget(key)
        if (error := refused or uncleared) is not None:
            raise error
        waits = [seconds for seconds in (decision.requeue_after, wait, left) if seconds is not None]
        return min(waits, default=None)

    async def _clear(self, key: Key) -> tuple[float | None, ClusterError | None]:
        """What was asked for is looked for, and what deleted jobs have left goes. Trouble with either keeps nobody from looking at the job
        that is there."""
        unknown: ClusterError | None = None
        try:
            await self.applier.look_for_asked(key)
        except ClusterError as error:
            unknown = error
        try:
            return await self.deletion.clear(key), unknown
        except Conflict:
            raise
        except ClusterError as error:
            return None, error

    async def _settle(self, job: Job, memory: Memory) -> tuple[Snapshot, Decision, ClusterError | None]:
        """Decide and act until there is nothing more to make: the status is never ahead of the pods. With what the apiserver said
        if it did not take all of it; a Conflict says that we know too little, and is raised."""
        for _ in range(_LOOKS):
            snapshot = await self._snapshot(job, memory)
            decision = decide(snapshot)
            memory.missed = missed(snapshot, decision)
            asked = actions(snapshot, decision)
            try:
                await self.applier.apply(job, asked)
                memory.unadopted = False
                if decision.act is Act.MAKE:
                    memory.refusal = None
            except NotOurs as refused:
                memory.refusal = Refusal(refused.message, snapshot.now, snapshot.resolution)
            except Conflict:
                raise
            except ClusterError as error:
                memory.unadopted = asked.adopt
                return snapshot, decision, error
            if decision.act is not Act.MAKE:
                break
        return snapshot, decision, None

    async def _snapshot(self, job: Job, memory: Memory) -> Snapshot:
        now = self.clock()
        pods = await self._with_dead_nodes(await self._gang(job))
        blocked = [found.key for pod in pods if (found := evidence.blocked(pod)) is not None]
        memory.blocked_since = {key: memory.blocked_since.get(key, now) for key in blocked}
        if memory.shadowed is None:
            memory.shadowed = await self._shadowed(job, pods)
        kind = job.spec.resource_config.instance_type if job.spec is not None else None
        left = self.state.predecessors(job)
        snapshot = Snapshot(
            job=job,
            now=now,
            options=self.options,
            pods=pods,
            earlier=self.state.earlier_pods(job),
            instance_type=self.state.types.get(("", kind)) if kind is not None else None,
            instance_types=tuple(name for (_, name), _ in self.state.types),
            roles=tuple(self.state.roles.group(job.namespace)),
            name_holder=self.state.name_holder(job),
            predecessors=len(left) + self.state.undecided(job),
            unanswering=tuple(pod for pod in left if evidence.overdue(pod, now)),
            reports=dict(memory.reports),
            blocked_since=dict(memory.blocked_since),
            refusal=memory.refusal,
            missed=memory.missed,
            unadopted=memory.unadopted,
            shadowed=memory.shadowed or (),
            reading=self.logscan.reading((job.namespace, job.name), job.uid),
        )
        if job.terminal or job.deleting or not (wanted := needs(snapshot)):
            return snapshot
        return replace(snapshot, claims=await claims.look(self.cluster, job.namespace, wanted))

    async def _with_dead_nodes(self, pods: tuple[Pod, ...]) -> tuple[Pod, ...]:
        """A pod that the cluster takes off its node: has the node died, so that nobody will ever tell of its end?"""
        leaving = [
            pod.node for pod in pods if pod.deleting is not None and pod.disruption and pod.node and not pod.over
        ]
        dead = {node for node in set(leaving) if await self._is_dead(node)}
        return tuple(replace(pod, node_dead=True) if pod.node in dead else pod for pod in pods) if dead else pods

    async def _is_dead(self, node: str) -> bool:
        """Gone, or silent for so long that the cluster has given it up. Without the right to ask, the pod's grace decides."""
        try:
            raw = await self.cluster.find(NODES, "", node)
        except ClusterError as error:
            _log.info("node %s not looked at: %s", node, error.message)
            return False
        if raw is None:
            return True
        ready = next((entry for entry in read.items(raw, "status", "conditions") if entry.get("type") == "Ready"), {})
        return ready.get("status") == "Unknown"

    async def _shadowed(self, job: Job, pods: tuple[Pod, ...]) -> tuple[str, ...] | None:
        """The first hosts' short names that a Service of the namespace takes; None if that is not known."""
        count = job.instance_count
        if count < 2 or job.terminal or any(pod.container(names.CONTAINER_TRAINING).has_run for pod in pods):
            return ()
        hosts = [naming.host_name(rank) for rank in range(min(count, _NAMES_LOOKED_AT))]
        try:
            found = await asyncio.gather(*(self.cluster.find(SERVICES, job.namespace, host) for host in hosts))
        except ClusterError as error:
            _log.info("services not looked at: %s", error.message, extra={"job": f"{job.namespace}/{job.name}"})
            return None
        return tuple(host for host, raw in zip(hosts, found, strict=True) if raw is not None)

    async def _gang(self, job: Job) -> tuple[Pod, ...]:
        """A recorded pod that the cache lacks, or that went without being deleted, is asked for: only the apiserver may say that it is
        lost, as a watch by labels loses a pod without ours, too."""
        seen = self.state.pods_of(job)
        if not job.terminal:
            unseen = [host for host in job.status.hosts if host.name not in seen or _left(seen[host.name])]
            if unseen:
                found = await asyncio.gather(*(self.cluster.find(PODS, job.namespace, host.pod) for host in unseen))
                for host, raw in zip(unseen, found, strict=True):
                    if raw is not None:
                        self.state.claim(job, host.name, raw)
                seen = self.state.pods_of(job)
        return gang(job, seen)

    async def _write(self, snapshot: Snapshot, decision: Decision, memory: Memory) -> float | None:
        """At most one patch. Returns seconds to wait if it is too early for this one."""
        job = snapshot.job
        status = reduce(snapshot, decision)
        new = status.to_dict()
        if status is job.status or new == job.raw_status:
            return None
        if status.training_job_status in TERMINAL and not job.terminal:
            # What it says never changes again: the values that the logs still hold must be in it.
            hold = self.logscan.hold((job.namespace, job.name))
            if hold is not None:
                return hold
        loop_time = asyncio.get_running_loop().time()
        final = snapshot.reading is not None and snapshot.reading.final
        if _may_wait(job.status, status, pressed=self.pressed()):
            memory.held_back = memory.held_back or loop_time
            if (left := memory.held_back + PATIENCE_SECONDS - loop_time) > 0:
                return left
        early = memory.written + _interval(job.status, status, final) - loop_time
        if early > 0:
            return early
        patch: dict[str, Any] = {name: value for name, value in new.items() if job.raw_status.get(name) != value}
        patch |= {name: None for name in job.raw_status if name not in new}
        body = {"metadata": {"resourceVersion": job.resource_version}, "status": patch}
        try:
            written = await self.cluster.merge(JOBS, job.namespace, job.name, body, subresource="status")
        except (Conflict, NotFound) as error:
            await self._look_again(job)
            raise Conflict(error.message, error.status, error.reason) from error
        memory.written, memory.held_back = loop_time, None
        self.state.answered("jobs", written)
        self._tell(job, status)
        ended = status.training_job_status in TERMINAL and job.status.training_job_status not in TERMINAL
        return 0.0 if ended or decision.restart is not None else None

    async def _look_again(self, job: Job) -> None:
        """Our copy was old: without a fresh one the next try would fail like this one."""
        raw = await self.cluster.find(JOBS, job.namespace, job.name)
        if raw is not None:
            self.state.seen("jobs", raw)

    def _tell(self, job: Job, status: JobStatus) -> None:
        for said in announcements(job, status):
            self._say(job, said)
        if status.secondary_status != job.status.secondary_status:
            extra = {"job": f"{job.namespace}/{job.name}", "uid": job.uid, "generation": job.generation}
            _log.info("%s", status.secondary_status, extra=extra | {"reason": status.failure_reason})
        if status.training_job_status in TERMINAL and job.status.training_job_status not in TERMINAL:
            reason = next((condition.reason for condition in status.conditions if condition.type == "Finished"), "")
            self.metrics.finished.labels(str(status.training_job_status), reason).inc()

    def _say(self, job: Job, said: Announcement) -> None:
        now = self.clock()
        self.events.say(
            job.namespace, job.name, job.uid, kind=said.kind, reason=said.reason, message=said.message, now=now
        )


def _said(snapshot: Snapshot, decision: Decision, memory: Memory, refused: ClusterError | None) -> Decision | None:
    """What the status is to tell; None: nothing before the next try."""
    if refused is None:
        memory.hindrance = None
        return decision
    memory.hindrance = hindered(
        memory.hindrance,
        decision.act,
        lasting=isinstance(refused, Refused),
        message=refused.message,
        now=snapshot.now,
    )
    return telling(decision, memory.hindrance, snapshot.now)


def _left(pod: Pod) -> bool:
    """Gone from the watch, and nobody has seen it being deleted."""
    return pod.gone and pod.deleting is None and bool(pod.uid) and not pod.sidecar_final


def _may_wait(before: JobStatus, after: JobStatus, *, pressed: bool) -> bool:
    """Is it likely that a better record follows in a moment?"""
    if after.training_job_status in TERMINAL:
        return False
    if not before.hosts and after.hosts:
        return pressed
    return after.secondary_status is SecondaryStatus.UPLOADING and before.secondary_status is not after.secondary_status


def _interval(before: JobStatus, after: JobStatus, final: bool = False) -> float:
    """Seconds that must lie between two writes: none for the first and the last, few for what people wait for.

    `final`: no values will follow those of its metrics.
    """
    if (
        before.training_job_status is None
        or after.training_job_status in TERMINAL
        or len(before.hosts) != len(after.hosts)
        or before.attempt != after.attempt
    ):
        return 0.0
    was, now = _reason(before), _reason(after)
    if before.secondary_status != after.secondary_status or (was != now and {was, now} & ACTIONABLE):
        return STEP_SECONDS
    if is_only_metrics(before, after):
        return STEP_SECONDS if final else STATUS_SECONDS
    return WORDING_SECONDS


def _reason(status: JobStatus) -> str:
    return next((condition.reason for condition in status.conditions if condition.type == "Ready"), "")
