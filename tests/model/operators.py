"""The real operator, run on values: its memory is a value, a pass is a value, and the same inputs give the same outcome.

What runs is `Reconciler`, `Applier`, `Deletion`, `Resync` and `State`, with all of `controller.core` below them. A coroutine
cannot be copied, so a pass is kept as the inputs that it got since it began; to go on, it is run again from the beginning and
given one input more. Each outcome is computed once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from datetime import datetime
from typing import Any, NamedTuple

from tests.model import kube
from tests.model.loop import SteppedLoop
from tests.model.scope import Scope
from tests.model.values import Fingerprints, clone, renumber
from tests.model.world import STATIC, Key, Object, Views, pack
from tests.support import objects as o
from trainyard.controller.adapters import errors
from trainyard.controller.adapters.cluster import Resource
from trainyard.controller.app.apply import Applier
from trainyard.controller.app.deletion import Deletion
from trainyard.controller.app.memory import Memories
from trainyard.controller.app.reconcile import Reconciler
from trainyard.controller.app.resync import Resync
from trainyard.controller.app.state import State

PASS, COMPARE, PRIME, EVENT, ANSWER = "pass", "compare", "prime", "event", "answer"
KIND_OF = {"trainingjobs": "jobs", "pods": "pods"}
LONG_AGO = -1e9
Input = tuple[Any, ...]


class Outcome(NamedTuple):
    """After the last of the inputs. `open`: questions by number; `running`: tasks that wait for them.

    `dirty`: jobs that the last input made worth a pass; `ended`: what ended with it, as (task, error or "", wait);
    `rest`: the memory, once nothing runs.
    """

    open: tuple[tuple[int, tuple[Any, ...]], ...]
    running: frozenset[Any]
    dirty: frozenset[str]
    ended: tuple[tuple[Any, str, float | None], ...]
    rest: int | None


class BugError(AssertionError):
    """A pass raised what no caller expects."""


class _Anything:
    """For what only tells: metrics, events, reports, sidecars that never answer."""

    def __getattr__(self, _: str) -> _Anything:
        return self

    def __call__(self, *_: Any, **__: Any) -> _Anything:
        return self


class _NoLogs:
    """Of jobs without metric definitions."""

    def follow(self, *_: Any) -> None: ...

    def forget(self, *_: Any) -> None: ...

    def reading(self, *_: Any) -> None: ...

    def hold(self, *_: Any) -> None: ...


class _Sidecars:
    async def call(self, *_: Any) -> None:
        return None


class _Port:
    """Where the operator meets the model: its Cluster, its clock and its work queue. Bound to one run at a time."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self.loop = SteppedLoop()
        self.epoch = 0
        self.dirty: set[str] = set()

    def clock(self) -> datetime:
        return o.at(kube.now(self.epoch))

    def changed(self, key: tuple[str, str]) -> None:
        self.dirty.add(key[1])

    async def find(self, resource: Resource, _namespace: str, name: str) -> Any:
        return self._raw(await self.loop.ask(("find", resource.plural, name)))

    async def list(
        self, resource: Resource, _namespace: str = "", selector: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Any]:
        for item in await self.loop.ask(("list", resource.plural, selector)):
            raw = item if isinstance(item, dict) else self._raw(item)
            yield {"metadata": raw["metadata"]} if metadata_only else raw

    async def create(self, resource: Resource, manifest: dict[str, Any]) -> Any:
        return self._raw(await self.loop.ask(("create", resource.plural, pack(manifest))))

    async def merge(self, resource: Resource, _ns: str, name: str, patch: Any, subresource: str = "") -> Any:
        return self._raw(await self.loop.ask(("merge", resource.plural, name, pack(patch), subresource)))

    async def delete(self, resource: Resource, _namespace: str, name: str, uid: str) -> None:
        await self.loop.ask(("delete", resource.plural, name, uid))

    def _raw(self, answer: Any) -> Any:
        return self._views.raw(*answer) if answer is not None else None


def _never_changes(request: tuple[Any, ...]) -> bool:
    """A question about what nobody ever changes needs no step of its own: the references, and Services with a host's short name."""
    verb, plural, *names = request
    return (verb == "list" and plural in STATIC) or (
        verb == "find" and plural == "services" and names[0][:5] == "algo-"
    )


def _known_answer(request: tuple[Any, ...]) -> Any:
    if request[0] == "find":
        return None
    identity = {"uid": "static", "resourceVersion": "1"}
    return tuple(item | {"metadata": item["metadata"] | identity} for item in STATIC[request[1]])


class Runner:
    """Every memory that any operator ever had, by number. `writes` names the verbs that change the cluster."""

    WRITES = frozenset({"create", "merge", "delete"})

    def __init__(self, scope: Scope, views: Views) -> None:
        self._scope, self._views = scope, views
        self._port = _Port(views)
        self._prints = Fingerprints()
        self._rests: list[dict[str, Any]] = []
        self._numbers: dict[Any, int] = {}
        self._memo: dict[tuple[int, tuple[Input, ...]], Outcome] = {}
        self._renumbered: dict[tuple[int, tuple[tuple[Key, int, int], ...]], int] = {}
        self.runs = 0
        self.fresh = self._rest(self._build())

    def _build(self) -> dict[str, Any]:
        port: Any = self._port
        state, memories, quiet = State(), Memories(), _Anything()
        applier = Applier(state, port, _Sidecars(), port.changed)
        deletion = Deletion(state, port, applier, port.clock)
        reconciler = Reconciler(
            state=state,
            cluster=port,
            applier=applier,
            deletion=deletion,
            events=quiet,
            reports=quiet,
            logscan=_NoLogs(),
            memories=memories,
            metrics=quiet,
            options=o.OPTIONS,
            clock=port.clock,
        )
        resync = Resync(state, port, (), quiet, port.changed)
        return {"reconciler": reconciler, "resync": resync}

    def _rest(self, graph: dict[str, Any]) -> int:
        if not self._scope.coalesce:
            _let_time_pass(graph)
        graph["resync"].trust_again()  # whether the watch is blind is not asked here
        for store in graph["reconciler"].state.stores.values():
            self._prints.share(store)
        known = self._numbers.setdefault(self._prints.of(graph), len(self._rests))
        if known == len(self._rests):
            self._rests.append(graph)
        return known

    def state(self, rest: int) -> State:
        """To look at, not to change."""
        found: State = self._rests[rest]["reconciler"].state
        return found

    def versions(self, rest: int) -> list[tuple[Key, int]]:
        """Of the watched objects that it knows."""
        state = self.state(rest)
        return [
            ((plural, name), int(entry.version))
            for plural, kind in KIND_OF.items()
            for (_, name), entry in state.stores[kind]
        ]

    def renumbered(self, rest: int, versions: tuple[tuple[Key, int, int], ...]) -> int:
        """The same memory with other versions: (key, before, after)."""
        known = self._renumbered.get((rest, versions))
        if known is None:
            graph = clone(self._rests[rest])
            for plural, kind in KIND_OF.items():
                changes: dict[tuple[str, str], dict[str, str]] = {}
                for key, before, after in versions:
                    if key[0] == plural:
                        changes.setdefault((o.NAMESPACE, key[1]), {})[str(before)] = str(after)
                renumber(graph["reconciler"].state.stores[kind], changes)
            known = self._renumbered[rest, versions] = self._rest(graph)
        return known

    def waits(self, rest: int) -> bool:
        """A status was written a moment ago, so that the next may have to wait."""
        memories = self._rests[rest]["reconciler"].memories._memories.values()
        return any(memory.written != LONG_AGO for memory in memories)

    def unfinished(self, rest: int) -> frozenset[str]:
        return frozenset(name for _, name in self.state(rest).unfinished())

    def all_jobs(self, rest: int) -> frozenset[str]:
        return frozenset(name for _, name in self.state(rest).job_keys())

    def run(self, rest: int, inputs: tuple[Input, ...]) -> Outcome:
        known = self._memo.get((rest, inputs))
        if known is None:
            known = self._memo[rest, inputs] = self._run(rest, inputs)
        return known

    def _run(self, rest: int, inputs: tuple[Input, ...]) -> Outcome:
        self.runs += 1
        port = self._port
        port.loop = loop = SteppedLoop()
        graph = clone(self._rests[rest])
        tasks: dict[Any, Any] = {}
        for given in inputs:
            port.dirty = set()
            ended = [task for task in tasks if tasks[task].done()]
            for task in ended:
                del tasks[task]
            self._give(graph, tasks, given)
            self._drain()
        done = [task for task in tasks if tasks[task].done()]
        results = tuple((task, *_result(task, tasks[task])) for task in done)
        running = frozenset(tasks) - frozenset(done)
        return Outcome(
            tuple((question.number, question.request) for question in loop.open.values()),
            running,
            frozenset(port.dirty),
            results,
            self._rest(graph) if not running else None,
        )

    def _drain(self) -> None:
        loop = self._port.loop
        loop.drain()
        while found := [question for question in loop.open.values() if _never_changes(question.request)]:
            for question in found:
                loop.answer(question.number, _known_answer(question.request))
            loop.drain()

    def _give(self, graph: dict[str, Any], tasks: dict[Any, Any], given: Input) -> None:
        port, what = self._port, given[0]
        loop, reconciler = port.loop, graph["reconciler"]
        if what == EVENT:
            _, kind, key, found, deleted = given
            for changed in reconciler.state.seen(KIND_OF[kind], self._views.raw(key, found), deleted):
                port.changed(changed)
            return
        port.epoch = given[1]
        if what == ANSWER:
            _, _, number, value, failed = given
            if failed:
                loop.fail(number, getattr(errors, failed)(value))
            else:
                loop.answer(number, value)
            return
        if what == PASS:
            _, _, name, late = given
            if late:
                _let_time_pass(graph)
            work: Coroutine[Any, Any, Any] = reconciler.reconcile((o.NAMESPACE, name))
            task: Any = (PASS, name)
        elif what == COMPARE:
            work, task = _compare(graph, port), COMPARE
        else:
            work, task = _prime(graph, port), PRIME
        tasks[task] = loop.create_task(work)


async def _compare(graph: dict[str, Any], port: _Port) -> None:
    """As Operator._compare."""
    await graph["resync"].compare()
    for key in graph["reconciler"].state.unfinished():
        port.changed(key)
    await graph["reconciler"].deletion.plans(("",))


async def _prime(graph: dict[str, Any], port: _Port) -> None:
    """As Operator._prime."""
    await graph["resync"].prime()
    for key in graph["reconciler"].state.job_keys():
        port.changed(key)


def _let_time_pass(graph: dict[str, Any]) -> None:
    for memory in graph["reconciler"].memories._memories.values():
        memory.written = LONG_AGO


def _result(task: Any, future: Any) -> tuple[str, float | None]:
    error = future.exception()
    if error is None:
        return "", future.result()
    if isinstance(error, errors.ClusterError):
        return type(error).__name__, None
    raise BugError(f"{task} raised {error!r}") from error


def event(key: Key, found: Object, deleted: bool) -> Input:
    return (EVENT, key[0], key, found, deleted)
