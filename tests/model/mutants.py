"""Seeded bugs. Each is one that somebody could write, and the checker must find it: else it has become blind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.model.scope import COARSE, MIDDLE, JobKind, Scope
from trainyard.api.status import TERMINAL
from trainyard.controller.adapters.cluster import CONFIG_MAPS
from trainyard.controller.app import apply, reconcile
from trainyard.controller.app.deletion import Deletion
from trainyard.controller.app.reconcile import Reconciler
from trainyard.controller.app.state import State
from trainyard.controller.core import actions, policies, status
from trainyard.controller.core.decision import Decision
from trainyard.controller.core.job import Job
from trainyard.controller.core.snapshot import Snapshot
from trainyard.controller.core.snapshot import gang as real_gang


@dataclass(frozen=True)
class Mutant:
    """`broken`: how what the checker says begins."""

    name: str
    broken: str
    scope: Scope
    seed: Callable[[pytest.MonkeyPatch], None]


def _recreate_what_is_lost(patch: pytest.MonkeyPatch) -> None:
    def missing(self: Snapshot) -> tuple[str, ...]:
        there = {pod.host for pod in self.pods if not pod.gone}
        return tuple(host for host in self.host_names if host not in there)

    patch.setattr(Snapshot, "missing", property(missing))


class _Blind:
    """A cluster that is not told what it must compare with."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def merge(self, resource: Any, namespace: str, name: str, body: Any, subresource: str = "") -> Any:
        kept = {field: value for field, value in body.items() if field != "metadata"}
        return await self._cluster.merge(resource, namespace, name, kept, subresource)


def _write_without_a_precondition(patch: pytest.MonkeyPatch) -> None:
    whole: Any = Reconciler._write

    async def write(self: Any, *rest: Any) -> Any:
        return await whole(replace(self, cluster=_Blind(self.cluster)), *rest)

    patch.setattr(Reconciler, "_write", write)


def _terminal_is_not_the_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policies, "POLICIES", tuple(each for each in policies.POLICIES if each is not policies.terminal))


def _delete_by_name_alone(patch: pytest.MonkeyPatch) -> None:
    async def delete_plan(self: apply.Applier, namespace: str, name: str, _uid: str) -> None:
        await self._cluster.delete(CONFIG_MAPS, namespace, name, "")

    patch.setattr(apply.Applier, "delete_plan", delete_plan)


def _unseen_is_lost(patch: pytest.MonkeyPatch) -> None:
    async def gang(self: Reconciler, job: Job) -> Any:
        return real_gang(job, self.state.pods_of(job))

    patch.setattr(Reconciler, "_gang", gang)


def _a_late_plan_is_taken_as_it_is(patch: pytest.MonkeyPatch) -> None:
    async def fine(*_: Any) -> None:
        return None

    patch.setattr(apply.Applier, "_check_currency", fine)


def _deleted_jobs_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    async def clear(*_: Any) -> None:
        return None

    patch.setattr(Deletion, "clear", clear)


def _a_deleted_job_s_name_is_free(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "predecessors", lambda *_: [])


def _what_was_decided_is_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "may_begin", lambda *_: True)


def _a_stop_is_not_an_end(patch: pytest.MonkeyPatch) -> None:
    left = tuple(each for each in policies.POLICIES if each is not policies.stopped_hosts_over)
    patch.setattr(policies, "POLICIES", left)


def _every_write_has_a_new_time(patch: pytest.MonkeyPatch) -> None:
    whole = status.reduce

    def reduce(snapshot: Snapshot, decision: Decision) -> Any:
        found = whole(snapshot, decision)
        return found.model_copy(update={"last_modified_time": snapshot.now})

    patch.setattr(reconcile, "reduce", reduce)


def _exit_codes_do_not_matter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("trainyard.controller.core.verdict._exit_code", lambda *_: 0)


def _pods_of_the_ended_stay(patch: pytest.MonkeyPatch) -> None:
    whole = actions.actions

    def kept(snapshot: Snapshot, decision: Decision) -> actions.Actions:
        return actions.Actions() if snapshot.job.status.training_job_status in TERMINAL else whole(snapshot, decision)

    patch.setattr(reconcile, "actions", kept)


PLAIN = Scope("plain", path=COARSE)
LOSS = Scope("one loss", path=COARSE, codes=(0,), losses=1)
STOP = Scope("stopped", path=COARSE, codes=(0,), users=(("create a", "stop a"),))
DELETE = Scope("deleted", path=COARSE, codes=(0,), users=(("create a", "delete a"),))
AGAIN = Scope("deleted and made again", path=COARSE, codes=(0,), users=(("create a", "delete a", "create a"),))
ONE_NAME = Scope(
    "one trainingJobName",
    path=COARSE,
    codes=(0,),
    jobs=(JobKind("a", training_name="x"), JobKind("b", training_name="x")),
    users=(("create a", "delete a"), ("create b",)),
)
AT_ONCE = replace(
    ONE_NAME, name="a pass of each at once", users=(("create a",), ("create b",)), workers=2, interrupts=True
)
LEADERS = Scope("two leaders", path=COARSE, codes=(0,), operators=2, users=(("create a", "stop a"),), losses=1)

# An operator is about to delete the plan of a deleted job; the other one may do it first, and then make the next job's.
OVERTAKEN = (
    "create a",
    "create configmaps",
    "create pods",
    "merge trainingjobs",
    "training",
    "ends with 0",
    "delete a",
    "find",
)
SUCCESSOR = replace(AGAIN, name="a successor", operators=2, opening=OVERTAKEN)
HOSTS = Scope("two hosts", jobs=(JobKind("a", 2),), path=MIDDLE, codes=(0,), losses=1, loss_kinds=frozenset({"evict"}))

MUTANTS: tuple[Mutant, ...] = (
    Mutant("a lost pod is made again", "N3", LOSS, _recreate_what_is_lost),
    Mutant("statuses are written without a resourceVersion", "N2", LEADERS, _write_without_a_precondition),
    Mutant("a terminal state is not the end", "N2", STOP, _terminal_is_not_the_end),
    Mutant("a plan is deleted by its name alone", "harm", SUCCESSOR, _delete_by_name_alone),
    Mutant("a pod that the cache lacks is taken for lost", "N2", replace(PLAIN, operators=2), _unseen_is_lost),
    Mutant("a plan that was there is taken without asking", "N3", LEADERS, _a_late_plan_is_taken_as_it_is),
    Mutant("deleted jobs are forgotten", "configmaps", DELETE, _deleted_jobs_are_forgotten),
    Mutant("a name is free as soon as its job is deleted", "N3", ONE_NAME, _a_deleted_job_s_name_is_free),
    Mutant("pods are made whatever others did since that was decided", "N3", AT_ONCE, _what_was_decided_is_done),
    Mutant("a stop never ends", "N1", STOP, _a_stop_is_not_an_end),
    Mutant("every look is written down", "more than", replace(PLAIN, most_states=500), _every_write_has_a_new_time),
    Mutant("exit codes do not matter", "N2", PLAIN, _exit_codes_do_not_matter),
    Mutant("pods of ended jobs stay", "pod", HOSTS, _pods_of_the_ended_stay),
)


@contextlib.contextmanager
def seeded(mutant: Mutant) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        mutant.seed(patch)
        yield
