"""What is written, against an apiserver that refuses, forgets and is late."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from tests.support import objects as o
from trainyard.api import names
from trainyard.api.report import TrainingEnd
from trainyard.controller.adapters.cache import Key
from trainyard.controller.adapters.cluster import CONFIG_MAPS, PODS, SERVICES, Resource
from trainyard.controller.adapters.errors import ClusterError, Conflict, Refused, Throttled, Unreachable
from trainyard.controller.adapters.events import BURST, Events
from trainyard.controller.app.apply import Applier, NotOurs
from trainyard.controller.app.deletion import GONE_SECONDS, Deletion
from trainyard.controller.app.logscan import LogScan
from trainyard.controller.app.main import Operator
from trainyard.controller.app.memory import Memories, Memory
from trainyard.controller.app.metrics import Metrics
from trainyard.controller.app.reconcile import PATIENCE_SECONDS, Reconciler
from trainyard.controller.app.reports import Reports
from trainyard.controller.app.services import Services
from trainyard.controller.app.state import JOBS, State
from trainyard.controller.app.workqueue import WorkQueue
from trainyard.controller.core.actions import Actions, Annotate, actions
from trainyard.controller.core.children import owned
from trainyard.controller.core.job import Job, parse_job
from trainyard.controller.core.policies import decide
from trainyard.controller.settings import Settings

KEY = (o.NAMESPACE, o.NAME)


class Apiserver:
    """Objects by plural and name; `fails` are raised by the verb and plural, or also the name, that they are named for."""

    def __init__(self, *objects: tuple[Resource, dict[str, Any]]) -> None:
        self.objects = {(kind.plural, raw["metadata"]["name"]): raw for kind, raw in objects}
        self.fails: dict[str, ClusterError] = {}
        self.log: list[str] = []

    def _said(self, verb: str, kind: Resource, name: str) -> None:
        self.log.append(f"{verb} {kind.plural} {name}".strip())
        if (error := self.fails.get(f"{verb} {kind.plural}") or self.fails.get(self.log[-1])) is not None:
            raise error

    async def list(self, kind: Resource, _namespace: str = "", selector: str = "", **_: Any) -> AsyncIterator[Any]:
        self._said("list", kind, "")
        wanted = dict(part.split("=") for part in selector.split(",") if part)
        for (plural, _name), raw in list(self.objects.items()):
            labels = raw["metadata"].get("labels", {})
            if plural == kind.plural and all(labels.get(key) == value for key, value in wanted.items()):
                yield raw

    async def find(self, kind: Resource, _namespace: str, name: str) -> dict[str, Any] | None:
        self._said("find", kind, name)
        return self.objects.get((kind.plural, name))

    async def create(self, kind: Resource, manifest: dict[str, Any]) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        self._said("create", kind, name)
        if (kind.plural, name) in self.objects:
            raise Conflict("there is one")
        made = manifest | {"metadata": manifest["metadata"] | {"uid": f"new {name}", "resourceVersion": "500"}}
        self.objects[kind.plural, name] = made
        return made

    async def merge(self, kind: Resource, _namespace: str, name: str, _patch: Any, **_: Any) -> dict[str, Any]:
        self._said("merge", kind, name)
        return self.objects[kind.plural, name]

    async def delete(self, kind: Resource, _namespace: str, name: str, uid: str) -> None:
        self._said("delete", kind, name)
        found = self.objects.get((kind.plural, name))
        if found is not None and found["metadata"]["uid"] != uid:
            raise Conflict("another uid")
        self.objects.pop((kind.plural, name), None)


class Deaf:
    async def call(self, *_: Any) -> None:
        return None


def knowing_the_job() -> State:
    state = State()
    state.seen("jobs", o.raw_job())
    return state


def applier(
    server: Apiserver, state: State | None = None, changed: Callable[[Key], object] = lambda _: None
) -> Applier:
    return Applier(state or knowing_the_job(), server, Deaf(), changed)


def making(job: Job, **role: Any) -> Actions:
    snapshot = o.snapshot(job, roles=(o.role(**role),))
    return actions(snapshot, decide(snapshot))


def plan_of(job: Job, **role: Any) -> dict[str, Any]:
    plan = making(job, **role).plan
    assert plan is not None
    return plan | {"metadata": plan["metadata"] | {"uid": "old plan", "resourceVersion": "1"}}


REGION = {"s3": {"region": "us-west-2"}}
PLAN = f"{o.NAME}-1-plan"


# -- orders


async def test_an_order_that_met_a_conflict_is_tried_again_while_the_pod_is_the_same() -> None:
    server = Apiserver((PODS, o.raw_pod()))
    server.fails["merge pods"] = Conflict("the object has been modified")
    order = Actions(annotate=(Annotate(o.training(), {names.ANNOTATION_STOP: "{}"}),))
    with pytest.raises(Conflict):
        await applier(server).order(order)
    server.objects = {}
    await applier(server).order(order)


async def test_the_answer_to_an_order_does_not_bring_a_pod_back_that_has_gone() -> None:
    state, server = State(), Apiserver((PODS, o.raw_pod()))
    await applier(server, state).order(Actions(annotate=(Annotate(o.training(), {}, TrainingEnd(exit_code=0)),)))
    assert len(state.pods) == 0


async def test_a_word_that_the_agent_has_taken_needs_no_annotation() -> None:
    class Attentive(Deaf):
        async def call(self, *_: Any) -> str:
            return ""

    state, server = State(), Apiserver((PODS, o.raw_pod()))
    state.seen("pods", o.raw_pod())
    end = Actions(annotate=(Annotate(o.training(), {}, TrainingEnd(exit_code=0)),))
    await Applier(state, server, Attentive()).order(end)
    assert server.log == []
    assert [entry.value.training_end for _, entry in state.pods] == [TrainingEnd(exit_code=0).to_json()]
    await applier(server, state).order(end)
    assert server.log == [f"merge pods {o.NAME}-1-algo-1"]


# -- pods whose creation was not answered


class Silent(Apiserver):
    """Makes pods and says nothing."""

    async def create(self, kind: Resource, manifest: dict[str, Any]) -> dict[str, Any]:
        made = await super().create(kind, manifest)
        if kind == PODS:
            raise Unreachable("no answer")
        return made


async def unanswered(server: Apiserver) -> tuple[State, Job]:
    """What an operator knows of a job whose pod may be there or not, and another job with its trainingJobName."""
    state = State()
    state.seen("jobs", o.raw_job(trainingJobName="Same"))
    job = state.job(KEY)
    assert job is not None
    with pytest.raises(ClusterError):
        await applier(server, state).apply(job, making(job))
    # Of the same second, and it would come first by its uid.
    state.seen("jobs", beside(uid="0"))
    second = state.job((o.NAMESPACE, "other"))
    assert second is not None
    return state, second


async def test_a_job_whose_pod_may_be_there_has_its_name() -> None:
    state, second = await unanswered(Silent())
    holder = state.name_holder(second)
    assert holder is not None
    assert holder.name == o.NAME


async def test_a_pod_that_may_be_there_of_a_job_that_is_gone_is_waited_for() -> None:
    server = Silent()
    state, second = await unanswered(server)
    state.seen("jobs", o.raw_job(trainingJobName="Same"), deleted=True)
    assert (state.undecided(second), state.predecessors(second)) == (1, [])
    await applier(server, state).look_for_asked(KEY)
    assert (state.undecided(second), [pod.name for pod in state.predecessors(second)]) == (0, [f"{o.NAME}-1-algo-1"])


async def test_a_pod_that_was_not_made_is_waited_for_until_somebody_has_looked() -> None:
    server = Apiserver()
    server.fails["create pods"] = Throttled("gateway timeout")
    state, second = await unanswered(server)
    state.seen("jobs", o.raw_job(trainingJobName="Same"), deleted=True)
    assert state.undecided(second) == 1
    await applier(server, state).look_for_asked(KEY)
    assert (state.undecided(second), state.predecessors(second), state.name_holder(second)) == (0, [], None)


async def test_a_stranger_s_pod_of_that_name_is_not_taken_for_the_one_that_was_asked_for() -> None:
    server = Apiserver()
    server.fails["create pods"] = Unreachable("no answer")
    state, _ = await unanswered(server)
    pod = f"{o.NAME}-1-algo-1"
    server.objects["pods", pod] = {"metadata": {"namespace": o.NAMESPACE, "name": pod, "uid": "x"}}
    await applier(server, state).look_for_asked(KEY)
    assert (len(state.pods), state.asked.by(KEY)) == (0, [])


async def test_a_pod_that_was_refused_holds_no_name() -> None:
    server = Apiserver()
    server.fails["create pods"] = Refused("quota", 403)
    state = knowing_the_job()
    job = o.job()
    with pytest.raises(NotOurs):
        await applier(server, state).apply(job, making(job))
    assert state.asked.by(KEY) == []


async def test_who_waited_for_a_pod_that_is_not_there_goes_on_at_once() -> None:
    server, woken = Apiserver(), list[Key]()
    server.fails["create pods"] = Throttled("gateway timeout")
    state, second = await unanswered(server)
    await applier(server, state, woken.append).look_for_asked(KEY)
    assert woken == [(o.NAMESPACE, second.name)]


async def test_who_waited_for_a_pod_that_is_refused_then_goes_on_at_once() -> None:
    server, state, woken = Apiserver(), State(), list[Key]()
    server.fails["create pods"] = Refused("quota", 403)
    state.seen("jobs", o.raw_job(trainingJobName="Same"))
    state.seen("jobs", beside(uid="z"))
    job = state.job(KEY)
    assert job is not None
    with pytest.raises(NotOurs):
        await applier(server, state, woken.append).apply(job, making(job))
    assert woken == [(o.NAMESPACE, "other")]


async def test_a_look_that_fails_keeps_in_mind_what_it_did_not_see_and_nothing_else() -> None:
    server, state, job = Apiserver(), knowing_the_job(), o.job(hosts=2)
    for host in (1, 2):
        state.asked.add(job, f"{o.NAME}-1-algo-{host}")
    server.fails[f"find pods {o.NAME}-1-algo-2"] = Throttled("later")
    with pytest.raises(Throttled):
        await applier(server, state).look_for_asked(KEY)
    assert [pod for _, pod in state.asked.by(KEY)] == [f"{o.NAME}-1-algo-2"]


# -- what happens between a decision and its pods


class Interrupted(Apiserver):
    """Something happens while the plan is made."""

    happens: Callable[[], object] = staticmethod(lambda: None)

    async def create(self, kind: Resource, manifest: dict[str, Any]) -> dict[str, Any]:
        if kind == CONFIG_MAPS:
            self.happens()
        return await super().create(kind, manifest)


def beside(uid: str) -> dict[str, Any]:
    """Another job, of the same second and trainingJobName."""
    other = o.raw_job(trainingJobName="Same")
    return other | {"metadata": other["metadata"] | {"name": "other", "uid": uid}}


async def makes_no_pod(server: Interrupted, state: State) -> None:
    job = state.job(KEY)
    assert job is not None
    with pytest.raises(Conflict):
        await applier(server, state).apply(job, making(job))
    assert not [said for said in server.log if said.startswith("create pods")]
    assert state.asked.by(KEY) == []


async def test_a_job_that_is_deleted_while_its_plan_is_made_gets_no_pods() -> None:
    server, state, raw = Interrupted(), State(), o.raw_job(trainingJobName="Same")
    state.seen("jobs", raw)
    server.happens = lambda: state.seen("jobs", raw, deleted=True)
    await makes_no_pod(server, state)


async def test_a_job_of_a_name_with_which_another_one_has_begun_meanwhile_gets_no_pods() -> None:
    server, state = Interrupted(), State()
    state.seen("jobs", o.raw_job(trainingJobName="Same"))
    state.seen("jobs", beside(uid="z"))  # it would have to wait, had it not been seen first
    other = state.job((o.NAMESPACE, "other"))
    assert other is not None
    server.happens = lambda: state.asked.add(other, "other-1-algo-1")
    await makes_no_pod(server, state)


async def test_a_job_waits_for_a_pod_that_may_be_there_of_one_that_was_deleted_meanwhile() -> None:
    server, state, raw = Interrupted(), State(), beside(uid="z")
    state.seen("jobs", o.raw_job(trainingJobName="Same"))
    state.seen("jobs", raw)
    other = state.job((o.NAMESPACE, "other"))
    assert other is not None

    def asks_and_goes() -> None:
        state.asked.add(other, "other-1-algo-1")
        state.seen("jobs", raw, deleted=True)

    server.happens = asks_and_goes
    await makes_no_pod(server, state)


# -- plans


async def test_a_plan_of_an_earlier_try_that_nobody_uses_is_made_again() -> None:
    job = o.job()
    server = Apiserver((CONFIG_MAPS, plan_of(job)), (JOBS, o.raw_job()))
    await applier(server).apply(job, making(job, **REGION))
    plan = server.objects["configmaps", PLAN]
    assert "us-west-2" in plan["data"]["plan.json"]
    assert server.objects["pods", f"{o.NAME}-1-algo-1"]["metadata"]["ownerReferences"][0]["uid"] == f"new {PLAN}"


async def test_a_plan_that_a_pod_was_made_from_stays() -> None:
    job = o.job(hosts=2)
    server = Apiserver((CONFIG_MAPS, plan_of(job)), (PODS, o.raw_pod("algo-2")), (JOBS, o.raw_job(hosts=2)))
    await applier(server).apply(job, replace(making(job, **REGION), pods=()))
    assert server.objects["configmaps", PLAN]["metadata"]["uid"] == "old plan"


@pytest.mark.parametrize("now", ["its pods are recorded", "it is another", "it is gone"])
async def test_whoever_finds_the_plan_there_makes_no_pods_from_an_old_copy_of_the_job(now: str) -> None:
    job, state = o.job(), State()
    state.seen("jobs", o.raw_job())
    server = Apiserver((CONFIG_MAPS, making(job).plan or {}))
    server.objects["configmaps", PLAN]["metadata"]["uid"] = "a plan"
    current = o.raw_job(status={"hosts": [{"name": "algo-1", "pod": f"{o.NAME}-1-algo-1"}]})
    current["metadata"] |= {"resourceVersion": "101"} | ({"uid": "another"} if now == "it is another" else {})
    if now != "it is gone":
        server.objects["trainingjobs", o.NAME] = current
    with pytest.raises(Conflict):
        await applier(server, state).apply(job, making(job))
    assert ("pods", f"{o.NAME}-1-algo-1") not in server.objects
    known = state.job(KEY)
    assert (known.resource_version if known is not None else "gone") == ("gone" if now == "it is gone" else "101")


async def test_the_plan_of_a_job_that_is_no_more_makes_way() -> None:
    job = o.job()
    server = Apiserver((CONFIG_MAPS, plan_of(replace(job, uid="gone"))), (JOBS, o.raw_job()))
    await applier(server).apply(job, making(job))
    assert server.objects["configmaps", PLAN]["metadata"]["uid"] == f"new {PLAN}"


async def test_a_service_that_goes_with_its_old_plan_is_waited_for() -> None:
    job = o.job(hosts=2)
    found = making(job)
    assert found.service is not None
    server = Apiserver(
        (CONFIG_MAPS, plan_of(job)),
        (SERVICES, owned(found.service, {"metadata": {"name": PLAN, "uid": "x"}})),
        (JOBS, o.raw_job(hosts=2)),
    )
    with pytest.raises(Throttled):
        await applier(server).apply(job, found)
    del server.objects["services", found.service["metadata"]["name"]]
    await applier(server).apply(job, found)


@pytest.mark.parametrize("because", ["its job is there", "a pod of it is there"])
async def test_the_plan_of_another_job_stays(because: str) -> None:
    job, other = o.job(), o.raw_job()
    other["metadata"] = other["metadata"] | {"uid": "other"}
    server = Apiserver((CONFIG_MAPS, plan_of(parse_job(other))))
    if because == "its job is there":
        server.objects["trainingjobs", o.NAME] = other
    else:
        pod = o.raw_pod()
        pod["metadata"]["labels"] |= {names.LABEL_JOB_UID: "other"}
        server.objects["pods", "x"] = pod
    with pytest.raises(NotOurs):
        await applier(server).apply(job, making(job))
    assert server.objects["configmaps", PLAN]["metadata"]["uid"] == "old plan"


async def test_what_an_earlier_attempt_left_goes_also_where_there_is_no_room_for_the_next() -> None:
    job, server = o.job(), Apiserver()
    server.fails["create pods"] = Refused("exceeded quota")
    with pytest.raises(NotOurs):
        await applier(server).apply(job, replace(making(job), plans=(("old-plan", "uid"),)))
    assert "delete configmaps old-plan" in server.log


@pytest.mark.parametrize("whose", ["its own", "another's"])
async def test_a_plan_that_met_a_conflict_is_adopted_later_and_another_s_never(whose: str) -> None:
    job, state = o.job(), State()
    state.seen("jobs", o.raw_job())
    state.seen("pods", o.raw_pod())
    plan = plan_of(job)
    plan["metadata"]["uid"] = "plan-uid" if whose == "its own" else "another"
    server = Apiserver((CONFIG_MAPS, plan))
    server.fails["merge configmaps"] = Conflict("the object has been modified")
    if whose == "its own":
        with pytest.raises(Conflict):
            await applier(server, state).apply(job, Actions(adopt=True))
    else:
        await applier(server, state).apply(job, Actions(adopt=True))


# -- deleted jobs


async def test_the_plan_of_a_deleted_job_goes_although_a_node_does_not_answer() -> None:
    state, server = State(), Apiserver()
    state.seen("pods", o.raw_pod(metadata={"deletionTimestamp": o.stamp(100)}))
    deletion = Deletion(state, server, applier(server, state), lambda: o.at(160))
    assert await deletion.clear(KEY) == GONE_SECONDS
    assert f"delete configmaps {PLAN}" in server.log


# -- one pass


def reconciler(server: Apiserver, now: datetime) -> Reconciler:
    nothing: Any = None
    return Reconciler(
        state=State(),
        cluster=server,
        applier=nothing,
        deletion=nothing,
        events=nothing,
        reports=nothing,
        logscan=LogScan(server, WorkQueue(), Metrics(), streams=1, series=1),
        memories=nothing,
        metrics=nothing,
        options=o.OPTIONS,
        clock=lambda: now,
    )


async def test_a_wait_that_was_over_begins_anew_and_each_container_has_its_own() -> None:
    found, memory, job = reconciler(Apiserver(), o.at(50)), Memory(o.UID), o.job()
    waiting = {"sidecar": o.running(2), "prefetch": o.waiting("ErrImagePull")}
    state = found.state
    state.seen("pods", o.raw_pod(containers=waiting))
    memory.blocked_since = {("pod-algo-1", "sidecar"): o.at(1), ("pod-algo-1", "prefetch"): o.at(9)}
    assert (await found._snapshot(job, memory)).blocked_since == {("pod-algo-1", "prefetch"): o.at(9)}
    state.seen("pods", o.raw_pod(containers={"sidecar": o.running(2)}, metadata={"resourceVersion": "201"}))
    assert (await found._snapshot(job, memory)).blocked_since == {}


async def test_services_with_a_host_s_name_are_looked_for_once_and_only_for_several_hosts() -> None:
    server = Apiserver((SERVICES, {"metadata": {"name": "algo-2"}}))
    found, memory = reconciler(server, o.at(0)), Memory(o.UID)
    assert (await found._snapshot(o.job(hosts=8), memory)).shadowed == ("algo-2",)
    assert (await found._snapshot(o.job(hosts=8), memory)).shadowed == ("algo-2",)
    assert len(server.log) == 4
    assert (await found._snapshot(o.job(), Memory(o.UID))).shadowed == ()
    assert len(server.log) == 4


async def test_services_that_may_not_be_read_stop_nothing() -> None:
    server = Apiserver()
    server.fails["find services"] = Throttled("later")
    assert (await reconciler(server, o.at(0))._snapshot(o.job(hosts=2), Memory(o.UID))).shadowed == ()


class Slow:
    """Logs that are still read."""

    left: float | None = 3.0

    def hold(self, _key: Any) -> float | None:
        return self.left


async def test_the_last_status_waits_for_the_logs_and_no_other_does() -> None:
    raw = o.raw_job(status={"trainingJobStatus": "InProgress"})
    server, logs = Apiserver((JOBS, raw)), Slow()
    found = replace(reconciler(server, o.at(100)), logscan=logs)
    object.__setattr__(found, "_tell", lambda *_: None)
    job, memory = parse_job(raw), Memory(o.UID)
    training, over = (o.snapshot(job, [pod]) for pod in (o.training(), o.over()))
    assert await found._write(over, decide(over), memory) == 3
    assert server.log == []
    assert await found._write(training, decide(training), memory) is None
    assert len(server.log) == 1
    logs.left = None
    assert await found._write(over, decide(over), memory) == 0
    assert len(server.log) == 2


async def test_the_record_of_new_pods_stands_back_for_a_moment_while_other_jobs_wait_for_theirs() -> None:
    raw, waiting, memory = o.raw_job(), True, Memory(o.UID)
    server = Apiserver((JOBS, raw))
    found = replace(reconciler(server, o.at(0)), pressed=lambda: waiting)
    object.__setattr__(found, "_tell", lambda *_: None)
    made, over = (o.snapshot(parse_job(raw), [pod]) for pod in (o.training(), o.over()))
    assert await found._write(made, decide(made), memory) == PATIENCE_SECONDS
    assert server.log == []
    assert await found._write(over, decide(over), Memory(o.UID)) == 0
    assert memory.held_back is not None
    memory.held_back -= PATIENCE_SECONDS
    assert await found._write(made, decide(made), memory) is None
    waiting = False
    assert await found._write(made, decide(made), Memory(o.UID)) is None
    assert len(server.log) == 3


async def test_an_upload_that_is_over_in_a_moment_takes_no_record_of_its_own() -> None:
    hosts = [{"name": "algo-1", "pod": f"{o.NAME}-1-algo-1"}]
    raw = o.raw_job(status={"trainingJobStatus": "InProgress", "secondaryStatus": "Training", "hosts": hosts})
    server, memory = Apiserver((JOBS, raw)), Memory(o.UID)
    found = reconciler(server, o.at(100))
    object.__setattr__(found, "_tell", lambda *_: None)
    job = parse_job(raw)
    uploads, over = (o.snapshot(job, [pod]) for pod in (o.uploading(), o.over()))
    assert await found._write(uploads, decide(uploads), memory) == PATIENCE_SECONDS
    assert await found._write(over, decide(over), memory) == 0
    lasting = Memory(o.UID, held_back=asyncio.get_running_loop().time() - PATIENCE_SECONDS)
    assert await found._write(uploads, decide(uploads), lasting) is None
    assert lasting.held_back is None
    assert len(server.log) == 2


# -- what the apiserver does not take

DENIED = Refused('admission webhook "validate.kyverno.svc" denied the request: label team is missing', 403)
DOWN = Throttled('Internal error occurred: failed calling webhook "policies.example.com": no endpoints available', 500)
RUNNING = {"trainingJobStatus": "InProgress", "secondaryStatus": "Training"}


class Obeying(Apiserver):
    """It keeps the statuses that are written."""

    async def merge(
        self, kind: Resource, namespace: str, name: str, patch: Any, subresource: str = ""
    ) -> dict[str, Any]:
        found = await super().merge(kind, namespace, name, patch)
        if subresource != "status":
            return found
        version = str(int(found["metadata"]["resourceVersion"]) + 1)
        status = {field: value for field, value in patch["status"].items() if value is not None}
        written = found | {
            "metadata": found["metadata"] | {"resourceVersion": version},
            "status": found.get("status", {}) | status,
        }
        self.objects[kind.plural, name] = written
        return written


class Quiet:
    def __getattr__(self, _: str) -> Quiet:
        return self

    def __call__(self, *_: Any, **__: Any) -> Quiet:
        return self


class Rig:
    """The real pass over one job, with pods, on an apiserver that refuses; each pass is so many seconds after the one before."""

    def __init__(self, raw: dict[str, Any], *pods: dict[str, Any], **fails: ClusterError) -> None:
        self.server, self.now = Obeying((JOBS, raw), *((PODS, pod) for pod in pods)), 100.0
        self.server.fails = {what.replace("_", " "): error for what, error in fails.items()}
        state, quiet = State(), Quiet()
        self.memories, self.events = Memories(), Events(self.server, "me", lambda: 0.0)
        self.state, does = state, applier(self.server, state)
        self.reconciler = replace(
            reconciler(self.server, o.at(0)),
            state=state,
            applier=does,
            deletion=Deletion(state, self.server, does, self.clock),
            events=self.events,
            reports=quiet,
            memories=self.memories,
            metrics=quiet,
            clock=self.clock,
        )
        capacity = {"capacity": {"cpu": "4", "memory": "16Gi"}}
        state.seen("types", {"metadata": {"name": o.INSTANCE, "resourceVersion": "1", "uid": "t"}, "spec": capacity})
        role = {"name": "training", "namespace": o.NAMESPACE, "resourceVersion": "1", "uid": "r"}
        state.seen("roles", {"metadata": role, "spec": {"roleARN": o.ARN, "s3": {"region": "eu"}}})
        state.seen("jobs", raw)
        for pod in pods:
            state.seen("pods", pod)

    def clock(self) -> datetime:
        return o.at(self.now)

    async def passes(self, number: int = 1, seconds: float = 0) -> str:
        """What the last of them raised, or nothing."""
        said = ""
        for _ in range(number):
            self.now += seconds
            memory = self.memories.of(KEY, o.UID)
            memory.written -= seconds
            try:
                await self.reconciler.reconcile(KEY)
                said = ""
            except ClusterError as error:
                said = error.message
        return said

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.server.objects["trainingjobs", o.NAME].get("status", {})
        return status

    @property
    def ready(self) -> tuple[str, str]:
        found = next((entry for entry in self.status.get("conditions", []) if entry["type"] == "Ready"), {})
        return found.get("reason", ""), found.get("message", "")

    @property
    def writes(self) -> int:
        return self.server.log.count(f"merge trainingjobs {o.NAME}")


def trains(**more: Any) -> dict[str, Any]:
    states = o.staged() | {"training": o.running(6), "hold": o.running(6)}
    return o.raw_pod(containers=states, **more)


def has_ended() -> dict[str, Any]:
    ended = o.staged() | {"training": o.ended(6, 60), "hold": o.ended(6, 70)}
    return o.raw_pod(status={"phase": "Succeeded"}, containers=ended | {"sidecar": o.ended(2, 70, message=o.report())})


async def test_a_pod_that_cannot_be_looked_for_keeps_nobody_from_telling_how_the_job_goes_on() -> None:
    rig = Rig(o.raw_job(), trains())
    pod = f"{o.NAME}-9-algo-1"
    rig.state.asked.add(o.job(), pod)
    rig.server.fails[f"find pods {pod}"] = Throttled("later")
    assert await rig.passes() == "later"
    assert rig.status["secondaryStatus"] == "Training"
    rig.server.fails.clear()
    assert await rig.passes(seconds=20) == ""
    assert rig.state.asked.by(KEY) == []


async def test_a_webhook_that_is_down_is_told_once_when_it_stays_down() -> None:
    rig = Rig(o.raw_job(), create_pods=DOWN)
    assert "policies.example.com" in await rig.passes(3, seconds=3)
    assert (rig.writes, rig.ready) == (0, ("", ""))
    await rig.passes(5, seconds=10)
    assert rig.writes == 1
    reason, message = rig.ready
    assert (reason, rig.status["hosts"], rig.status["secondaryStatus"]) == ("PodsRefused", [], "Pending")
    assert message.startswith(f"Pod {o.NAME}-1-algo-1 cannot be made: Internal error occurred: failed calling webhook")
    assert rig.events._pending.get_nowait()["reason"] == "PodsRefused"
    rig.server.fails["create pods"] = Throttled("Internal error occurred: failed calling webhook: other words", 500)
    await rig.passes(3, seconds=60)
    assert rig.writes == 1
    rig.server.fails.clear()
    assert await rig.passes(seconds=60) == ""
    assert (rig.ready[0], [host["name"] for host in rig.status["hosts"]]) == ("Starting", ["algo-1"])


async def test_a_stop_that_no_pod_may_be_told_of_is_no_stop_yet_and_says_who_is_in_the_way() -> None:
    rig = Rig(o.raw_job(status=RUNNING, stop=True), trains(), merge_pods=DENIED)
    assert "kyverno" in await rig.passes(3, seconds=20)
    assert rig.writes == 1
    assert (rig.status["trainingJobStatus"], rig.status["secondaryStatus"]) == ("InProgress", "Training")
    assert rig.ready[0] == "OrderRefused"
    assert rig.ready[1].startswith(f"pod {o.NAME}-1-algo-1 cannot be told to end: admission webhook")
    rig.server.fails.clear()
    assert await rig.passes(seconds=20) == ""
    assert rig.status["secondaryStatus"] == "Stopping"


@pytest.mark.parametrize("error", [DENIED, DOWN, Unreachable("no answer")])
async def test_a_verdict_does_not_wait_for_the_plan_which_is_given_to_the_job_later(error: ClusterError) -> None:
    rig = Rig(o.raw_job(status=RUNNING), has_ended(), merge_configmaps=error)
    rig.server.objects["configmaps", PLAN] = plan_of(o.job())
    assert error.message in await rig.passes()
    assert rig.status["secondaryStatus"] == "Completed"
    assert error.message in await rig.passes(2)
    assert rig.writes == 1
    rig.server.fails.clear()
    assert await rig.passes() == ""
    asked = rig.server.log.count(f"merge configmaps {PLAN}")
    assert await rig.passes(2) == ""
    assert rig.server.log.count(f"merge configmaps {PLAN}") == asked == 4


async def test_what_is_left_running_is_deleted_although_the_plan_cannot_be_given_to_the_job() -> None:
    rig = Rig(o.raw_job(status=RUNNING | {"trainingJobStatus": "Failed", "secondaryStatus": "Failed"}), trains())
    rig.server.fails["merge configmaps"] = DENIED
    rig.memories.of(KEY, o.UID).unadopted = True
    assert "cannot be given to its job" in await rig.passes()
    assert f"delete pods {o.NAME}-1-algo-1" in rig.server.log


async def test_a_pod_of_a_deleted_job_that_cannot_be_told_keeps_its_name_and_the_new_job_says_so() -> None:
    old = trains()
    old["metadata"]["labels"] |= {names.LABEL_JOB_UID: "old"}
    rig = Rig(o.raw_job(), old, merge_pods=DENIED)
    assert "kyverno" in await rig.passes(3, seconds=20)
    assert (rig.writes, rig.ready[0]) == (1, "OrderRefused")
    assert rig.ready[1].startswith("waiting for 1 pod(s) of a deleted job of the same name")
    assert f"pod {o.NAME}-1-algo-1 cannot be told to end" in rig.ready[1]


async def test_what_a_deleted_job_left_holds_up_no_job_that_has_its_pods() -> None:
    old = trains()
    old["metadata"] = old["metadata"] | {"name": f"{o.NAME}-2-algo-1", "uid": "old pod"}
    old["metadata"]["labels"] |= {names.LABEL_JOB_UID: "old", names.LABEL_ATTEMPT: "2"}
    old["metadata"]["ownerReferences"][0]["name"] = f"{o.NAME}-2-plan"
    rig = Rig(o.raw_job(status=RUNNING), old, has_ended(), merge_pods=DENIED)
    rig.server.objects["configmaps", PLAN] = plan_of(o.job())
    assert "cannot be told to end" in await rig.passes()
    assert rig.status["secondaryStatus"] == "Completed"


# -- events


def test_what_is_normal_leaves_half_of_the_burst_to_warnings() -> None:
    said = Events(Apiserver(), "me", lambda: 0.0)
    for kind in ("Normal", "Warning"):
        for number in range(200):
            said.say(o.NAMESPACE, o.NAME, f"{number}", kind=kind, reason="x", message="y" + kind, now=o.at(0))
    kinds = Counter(said._pending.get_nowait()["type"] for _ in range(said._pending.qsize()))
    assert kinds["Normal"] < BURST * 0.6
    assert kinds.total() == BURST


# -- what somebody has damaged


async def test_a_pod_that_went_without_being_deleted_is_asked_for_and_stays_if_it_is_there() -> None:
    hidden = o.raw_pod(metadata={"labels": {names.LABEL_JOB_UID: o.UID}, "resourceVersion": "300"})
    server, memory = Apiserver((PODS, hidden)), Memory(o.UID)
    found, job = (
        reconciler(server, o.at(50)),
        o.job(status={"hosts": [{"name": "algo-1", "pod": f"{o.NAME}-1-algo-1"}]}),
    )
    found.state.seen("jobs", o.raw_job())
    found.state.seen("pods", o.raw_pod())
    found.state.seen("pods", o.raw_pod(metadata={"resourceVersion": "300"}), deleted=True)
    (pod,) = (await found._snapshot(job, memory)).pods
    assert (pod.gone, pod.altered.startswith("label")) == (False, True)
    server.objects.clear()
    found.state.seen(
        "pods", o.raw_pod(metadata={"resourceVersion": "301", "deletionTimestamp": o.stamp(9)}), deleted=True
    )
    (pod,) = (await found._snapshot(job, memory)).pods
    assert pod.gone


@pytest.mark.parametrize("wrong", [{names.LABEL_JOB_UID: "x"}, {names.LABEL_ATTEMPT: "0"}, {names.LABEL_JOB_NAME: ""}])
async def test_a_plan_whose_labels_are_wrong_is_kept_for_the_pods_that_it_owns(wrong: dict[str, str]) -> None:
    plan = plan_of(o.job())
    plan["metadata"]["labels"] |= wrong
    plan["metadata"]["uid"] = "plan-uid"
    server, state = Apiserver((CONFIG_MAPS, plan)), State()
    state.seen("jobs", o.raw_job())
    deletion = Deletion(state, server, applier(server, state), lambda: o.at(9))
    state.seen("pods", o.raw_pod())
    await deletion.plans(("",))
    assert ("configmaps", PLAN) in server.objects


async def test_the_service_of_several_hosts_is_made_again_and_belongs_to_their_plan() -> None:
    hosts = [{"name": host, "pod": f"{o.NAME}-1-{host}"} for host in ("algo-1", "algo-2")]
    server, state = Apiserver(), State()
    state.seen("jobs", o.raw_job(hosts=2, status={"trainingJobStatus": "InProgress", "hosts": hosts}))
    for host in ("algo-1", "algo-2"):
        state.seen("pods", o.raw_pod(host))
    events = Events(server, "me", lambda: 0.0)
    services = Services(state, server, events, lambda: o.at(9))
    await services.mend()
    await services.mend()
    ((_, service),) = [item for item in server.objects.items() if item[0][0] == "services"]
    assert service["metadata"]["ownerReferences"][0]["uid"] == "plan-uid"
    assert [line.split()[0] for line in server.log] == ["find", "create", "find"]
    assert events._pending.get_nowait()["reason"] == "ServiceMadeAgain"
    server.objects.clear()
    server.fails["find services"] = Throttled("later")
    await services.mend()
    assert server.objects == {}


async def test_an_apiserver_that_does_not_answer_is_asked_for_one_service_and_not_for_all() -> None:
    server, state = Apiserver(), State()
    hosts = [{"name": host, "pod": f"p-{host}"} for host in ("algo-1", "algo-2")]
    for number in range(3):
        raw = o.raw_job(hosts=2, status={"trainingJobStatus": "InProgress", "hosts": hosts})
        raw["metadata"] |= {"name": f"job-{number}", "uid": f"uid-{number}"}
        state.seen("jobs", raw)
        for host in ("algo-1", "algo-2"):
            pod = o.raw_pod(host)
            pod["metadata"] |= {"name": f"job-{number}-1-{host}", "uid": f"{number}-{host}"}
            pod["metadata"]["labels"] |= {names.LABEL_JOB_NAME: f"job-{number}", names.LABEL_JOB_UID: f"uid-{number}"}
            pod["metadata"]["ownerReferences"][0]["name"] = f"job-{number}-1-plan"
            state.seen("pods", pod)
    server.fails["find services"] = Unreachable("no answer")
    await Services(state, server, Events(server, "me", lambda: 0.0), lambda: o.at(9)).mend()
    assert len(server.log) == 1


# -- the process


async def test_a_host_that_is_no_longer_asked_for_reports_costs_nothing() -> None:
    queue = WorkQueue[tuple[str, str]]()
    await Reports(Deaf(), Memories(), queue)._ask("gone")


async def test_what_many_pods_of_one_job_say_leads_to_one_look() -> None:
    operator = Operator(Settings(agent_image="a"), Apiserver(), Metrics())
    hosts = [{"name": f"algo-{rank}", "pod": f"{o.NAME}-1-algo-{rank}"} for rank in range(1, 5)]
    operator._seen("jobs", o.raw_job(hosts=4, status={"hosts": hosts}), False)
    assert await operator._queue.get() == KEY
    operator._queue.done(KEY)
    for rank in range(1, 5):
        operator._seen("pods", o.raw_pod(f"algo-{rank}"), False)
    assert len(operator._queue) == 0
    assert await asyncio.wait_for(operator._queue.get(), 5) == KEY
    operator._queue.done(KEY)
    assert len(operator._queue) == 0


async def test_every_compare_looks_at_each_unfinished_job_and_judges_although_plans_cannot_be_listed() -> None:
    server = Apiserver()
    server.fails["list configmaps"] = Throttled("later")
    operator = Operator(Settings(agent_image="a"), server, Metrics())
    operator._state.seen("jobs", o.raw_job())
    server.objects["trainingjobs", o.NAME] = o.raw_job()
    pod = o.raw_pod()
    pod["metadata"]["labels"] |= {names.LABEL_MANAGED_BY: names.FIELD_MANAGER}
    server.objects["pods", pod["metadata"]["name"]] = pod
    await operator._compare()
    assert await operator._queue.get() == KEY
    await operator._compare()
    assert operator._blind == 1
