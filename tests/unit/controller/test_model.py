"""The operator in every state that a bounded world can bring it into (docs/explanation/how-the-operator-is-checked.md)."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from tests.model import invariants, kube, scopes
from tests.model.explorer import Explorer
from tests.model.kube import Life
from tests.model.mutants import MUTANTS, Mutant, seeded
from tests.model.scope import Scope
from tests.model.world import JOBS, PODS, JobBody, PodBody, Views, World, pack
from tests.support import objects as o
from trainyard.api import names
from trainyard.controller.adapters.cluster import PODS as PODS_RESOURCE
from trainyard.controller.app.reconcile import Reconciler
from trainyard.controller.core.job import Job

LONG = os.environ.get("TRAINYARD_LONG") == "1"
# A scope that has fewer states does not explore what it says: look why before changing the figure.
LEAST = 90
only_long = pytest.mark.skipif(not LONG, reason="takes many minutes and some GiB: TRAINYARD_LONG=1")


def holds(scope: Scope, capsys: pytest.CaptureFixture[str]) -> None:
    result = Explorer(scope).explore()
    with capsys.disabled():
        print(f"\n{result.line()}", end="")
    assert result.broken is None, result.story()
    assert result.quiet > 0 or scope.depth is not None
    assert result.states >= LEAST


@pytest.mark.parametrize("scope", scopes.SHORT, ids=lambda scope: scope.name)
def test_every_state_within_reach_is_sound(scope: Scope, capsys: pytest.CaptureFixture[str]) -> None:
    holds(scope, capsys)


@only_long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scope", scopes.LONG, ids=lambda scope: scope.name)
def test_every_state_within_a_longer_reach_is_sound(scope: Scope, capsys: pytest.CaptureFixture[str]) -> None:
    holds(scope, capsys)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_seeded_bug_is_found(mutant: Mutant) -> None:
    with seeded(mutant):
        result = Explorer(mutant.scope).explore()
    assert result.broken is not None
    assert result.broken.startswith(mutant.broken), result.story()


def two_of(scope: Scope) -> Scope:
    """A second job beside, in which nothing is done but to create it."""
    (job,), (script,) = scope.jobs, scope.users
    jobs = (job, replace(job, name="b"))
    return replace(
        scope, jobs=jobs, users=(script, ("create b",)), codes=scope.codes[-1:], loss_kinds=frozenset({"vanish"})
    )


SOON_COMPARED = ("deleted jobs are forgotten", "exit codes do not matter")
ONE_HOST_ALONE = tuple(
    mutant
    for mutant in MUTANTS
    if mutant.scope.operators == len(mutant.scope.jobs) == mutant.scope.jobs[0].hosts == 1
    and not mutant.broken.startswith("more than")
)


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant, id=mutant.name, marks=() if mutant.name in SOON_COMPARED else only_long)
        for mutant in ONE_HOST_ALONE
    ],
)
def test_the_reduction_loses_no_bug_and_no_state_of_rest(mutant: Mutant) -> None:
    scope = two_of(mutant.scope)
    with seeded(mutant):
        whole = Explorer(scope).explore(go_on=True)
        less = Explorer(replace(scope, reduced=True)).explore(go_on=True)
    assert whole.violations
    assert less.violations == whole.violations
    assert less.rests == whole.rests
    assert less.states < whole.states


def test_the_reduction_loses_no_state_of_rest_where_operators_crash() -> None:
    whole = Explorer(replace(scopes.JOBS, fault_kinds=scopes.CRASH, reduced=False)).explore(go_on=True)
    less = Explorer(replace(scopes.JOBS, fault_kinds=scopes.CRASH)).explore(go_on=True)
    assert less.rests == whole.rests
    assert less.states < whole.states


def test_what_the_reduction_rests_on_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over one job that looks at another is told."""
    whole: Any = Reconciler._gang

    async def curious(self: Reconciler, job: Job) -> Any:
        await self.cluster.find(PODS_RESOURCE, job.namespace, "b-1-algo-1" if job.name == "a" else "a-1-algo-1")
        return await whole(self, job)

    monkeypatch.setattr(Reconciler, "_gang", curious)
    result = Explorer(replace(scopes.JOBS, faults=0)).explore()
    assert result.broken is not None
    assert result.broken.startswith("independence")


def test_without_the_agents_fence_two_attempts_can_publish() -> None:
    result = Explorer(replace(scopes.FENCE, fence=False)).explore()
    assert result.broken is not None
    assert result.broken.startswith("N3: attempts [1, 2]"), result.story()


def test_the_story_of_a_bug_leads_to_it() -> None:
    """A trace is the shortest there is, and begins at the beginning."""
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "exit codes do not matter")
    with seeded(mutant):
        result = Explorer(mutant.scope).explore()
    assert result.trace[0] == "user: create a"
    assert "training ends with 1" in result.story()


def pod_of(attempt: int) -> bytes:
    raw = o.raw_pod()
    labels = raw["metadata"]["labels"] | {names.LABEL_ATTEMPT: str(attempt), names.LABEL_JOB_NAME: "a"}
    labels[names.LABEL_JOB_UID] = "trainingjobs/a#1"
    return pack({"metadata": {"name": f"a-{attempt}-algo-1", "labels": labels}, "spec": raw["spec"]})


@pytest.mark.parametrize(("stage", "allowed"), [(kube.TRAINING, False), (kube.NEW, False), (kube.OVER, True)])
def test_a_pod_of_a_later_attempt_must_wait_for_those_of_an_earlier_one(stage: str, allowed: bool) -> None:
    views = Views(Scope("attempts"))
    world = World(views, World.EMPTY)
    world.put_new((JOBS, "a"), JobBody())
    world.put_new((PODS, "a-1-algo-1"), PodBody(pod_of(1), Life(stage)))
    broken = invariants.creating(world, views.manifest(pod_of(2)), "", alone=True)
    assert (broken is None) is allowed


def test_the_cluster_of_the_model_keeps_an_apiserver_s_rules() -> None:
    views = Views(Scope("rules"))
    world = World(views, World.EMPTY)
    job = world.put_new((JOBS, "a"), JobBody())
    stale = pack({"metadata": {"resourceVersion": "9"}, "status": {"attempt": 1}})
    with pytest.raises(Exception, match="modified"):
        world.serve(("merge", JOBS, "a", stale, "status"))
    fresh = pack({"metadata": {"resourceVersion": "1"}, "status": {"attempt": 1}})
    _, written = world.serve(("merge", JOBS, "a", fresh, "status"))
    assert (written.version, world.serve(("find", JOBS, "a"))[1]) == (2, written)
    same = pack({"metadata": {"resourceVersion": "2"}, "status": {"attempt": 1}})
    assert world.serve(("merge", JOBS, "a", same, "status"))[1].version == 2
    _, pod = world.serve(("create", PODS, pod_of(1)))
    with pytest.raises(Exception, match="of that name"):
        world.serve(("create", PODS, pod_of(1)))
    with pytest.raises(Exception, match="uid"):
        world.serve(("delete", PODS, "a-1-algo-1", "another"))
    world.put((PODS, "a-1-algo-1"), pod.body._replace(life=Life(kube.TRAINING)))
    world.serve(("delete", PODS, "a-1-algo-1", pod.uid))
    assert world.objects[PODS, "a-1-algo-1"].body.deleting, "a pod that runs ends before it goes"
    assert world.orphans() == [], "and its plan, which nobody made here, is not looked for twice"
    world.remove((JOBS, "a"))
    assert world.put_new((JOBS, "a"), JobBody()).uid != job.uid
