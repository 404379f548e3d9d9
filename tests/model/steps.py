"""All that can happen next: the environment's steps, the operators' and bad luck.

What an operator does between two requests touches nothing but its own memory, so it goes with the next request in one step;
so does what it hears. Every order of requests, of changes around them, and of what was heard before, is still there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.model import environment, invariants
from tests.model.operators import ANSWER, COMPARE, PASS, PRIME, Input, Runner, event
from tests.model.scope import Scope
from tests.model.situation import (
    DOWN,
    ENDING,
    PRIMING,
    UP,
    Edge,
    Global,
    Operator,
    job_of,
    queued,
    rest_of,
    with_operator,
)
from tests.model.world import JOBS, PLANS, PODS, Failure, Views, World, label
from tests.support import objects as o
from trainyard.api import names


class Served(NamedTuple):
    """What is after a request, and its answer; `failed` is the name of an error, `broken` an invariant."""

    after: Global
    value: Any
    failed: str = ""
    broken: str | None = None
    wrote: bool = False


class Steps:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.views = Views(scope)
        self.runner = Runner(scope, self.views)
        self._heard: dict[tuple[Operator, str], list[tuple[Operator, str]]] = {}
        self._apart = tuple(kind.name for kind in scope.jobs) if scope.reduced else ("",)

    def of(self, here: Global) -> list[Edge]:
        """The fair ones and those that only may be; not bad luck."""
        found = [*self._environment(here)]
        for index in range(len(here.operators)):
            found += self._work(here, index)
        return found

    def _environment(self, here: Global) -> Iterator[Edge]:
        world = World(self.views, here.world)
        for step in (*environment.kubelet_steps(self.scope, world), *environment.collector_steps(world)):
            yield Edge(step.label, self.changed(here, step), job=step.job)
        for script, commands in enumerate(self.scope.users):
            done = here.users[script]
            step = environment.user_step(commands[done], world) if done < len(commands) else None
            if step is not None:
                users = (*here.users[:script], done + 1, *here.users[script + 1 :])
                yield Edge(step.label, self.changed(here, step)._replace(users=users), fair=False, job=step.job)

    def changed(self, here: Global, step: environment.Step) -> Global:
        world = World(self.views, here.world)
        step.change(world)
        return self._publish(here, world)

    def _publish(self, here: Global, world: World) -> Global:
        """The changed world, and what the watches will tell of it."""
        operators = here.operators
        if world.changes:
            operators = tuple(
                each._replace(queues=queued(each.queues, world.changes)) if each.mode == UP else each
                for each in operators
            )
        return here._replace(world=world.freeze(), operators=operators)

    def _work(self, here: Global, index: int) -> Iterator[Edge]:
        """What an operator does between two requests is its own affair and goes with the next request in one step."""
        me, who, epoch = here.operators[index], f"operator {index + 1}", here.world[3]
        fair = me.passes < 0
        if me.mode == ENDING:
            yield from self._last_words(here, index, me)
            return
        if me.mode == DOWN:
            if not me.passes or (self.scope.lease and any(each.mode in (PRIMING, UP) for each in here.operators)):
                return
            begun = self._put(me._replace(mode=PRIMING, rest=self.runner.fresh), (PRIME, epoch), here)
            yield from self._asks(with_operator(here, index, begun), index, f"{who} starts", fair)
            return
        if me.inputs:
            yield from self._asks(here, index, who)
            for entry in me.served:
                number, value, failed = entry
                after = me._replace(served=tuple(each for each in me.served if each != entry))
                for heard, told in self._hears(after):
                    gone_on = self._put(heard, (ANSWER, epoch, number, value, failed), here)
                    after_all = with_operator(here, index, gone_on)
                    yield Edge(f"{who}{told} gets answer {number}", after_all, job=self.working_on(me))
        if me.mode == UP and me.passes and (not me.inputs or self.scope.workers > 1):
            for job in self._apart:
                yield from self._begins(here, index, job)

    def _last_words(self, here: Global, index: int, me: Operator) -> Iterator[Edge]:
        """A request that was sent when the lease was lost arrives late, or never."""
        down = Operator(DOWN, self.runner.fresh, passes=me.passes)
        yield Edge(f"what operator {index + 1} asked for never arrives", with_operator(here, index, down))
        for _, request in self.runner.run(me.rest, me.inputs).open:
            answer = self.serve(here, index, request)
            label = f"late, of operator {index + 1}: {said(request)}"
            yield Edge(label, with_operator(answer.after, index, down), broken=answer.broken)

    def working_on(self, me: Operator) -> str:
        """The job whose pass is all that this operator does; empty if there is more, or something else."""
        running = self.runner.run(me.rest, me.inputs).running
        task = next(iter(running)) if len(running) == 1 else ""
        return str(task[1]) if isinstance(task, tuple) else ""

    def _hears(self, me: Operator, job: str = "") -> list[tuple[Operator, str]]:
        """Every part of what the watch has to tell (of one job) that may be heard before the operator does something with it."""
        if me.inputs and not self.scope.interrupts:
            return [(me, "")]
        known = self._heard.get((me, job))
        if known is not None:
            return known
        found = {me: ""}
        todo = [me]
        for each in todo:
            for key, events in each.queues:
                if job and job_of(key[1]) != job:
                    continue
                gone, deleted = events[0]
                after = self._put(each._replace(queues=rest_of(each.queues, key)), event(key, gone, deleted), None)
                if after not in found:
                    what = f"{key[0]} {key[1]} {'gone' if deleted else f'v{gone.version}'}"
                    found[after] = f"{found[each]}, {what}" if found[each] else f" hears of {what}"
                    todo.append(after)
        self._heard[me, job] = result = list(found.items())
        return result

    def _begins(self, here: Global, index: int, job: str) -> Iterator[Edge]:
        """A pass over one job, `job` or any of them."""
        me, who = here.operators[index], f"operator {index + 1}"
        fair, done = me.passes < 0, set[Operator]()
        for heard, told in self._hears(me, job):
            outcome = self.runner.run(heard.rest, heard.inputs) if heard.inputs else None
            busy = outcome.running if outcome is not None else frozenset()
            asked = max((number for number, _ in outcome.open), default=-1) if outcome is not None else -1
            if len(busy) >= self.scope.workers:
                continue
            unheard = [key for key, _ in heard.queues if not job or job_of(key[1]) == job]
            dirty = heard.dirty & {job} if job else heard.dirty
            if not dirty and not heard.inputs and not unheard and heard != me:
                yield Edge(f"{who}{told}, which changes nothing", with_operator(here, index, heard), fair, job=job)
            for name in sorted(heard.dirty | heard.timers):
                if (PASS, name) in busy or (job and name != job):
                    continue
                again = name not in heard.dirty
                for after, how in self._passes(here, heard, name):
                    if after in done:
                        continue
                    done.add(after)
                    text = f"{who}{told}{' and' if told else ''} looks at {name}{how}{' again' if again else ''}"
                    if after.inputs:
                        then = with_operator(here, index, after)
                        yield from self._asks(then, index, text, fair and not again, asked)
                    else:
                        yield Edge(text, with_operator(here, index, after), fair and not again, job=name)

    def _passes(self, here: Global, me: Operator, name: str) -> Iterator[tuple[Operator, str]]:
        knew = invariants.knows(self.runner.state(me.rest), o.NAMESPACE, name) if not me.inputs else ""
        begun = me._replace(
            dirty=me.dirty - {name},
            timers=me.timers - {name},
            knew=(*(entry for entry in me.knew if entry[0] != name), (name, knew)),
            passes=me.passes - 1 if me.passes > 0 else me.passes,
        )
        waits = self.scope.coalesce and not me.inputs and self.runner.waits(me.rest)
        for late in {name not in me.dirty and waits, waits}:
            yield self._put(begun, (PASS, here.world[3], name, late), here), " some time later" if late else ""

    def _asks(self, here: Global, index: int, told: str, fair: bool = True, before: int = -1) -> Iterator[Edge]:
        """The requests that this operator waits for, from the one after `before` on."""
        me = here.operators[index]
        job = self.working_on(me)
        outcome = self.runner.run(me.rest, me.inputs)
        served = {number for number, _, _ in me.served}
        for number, request in outcome.open:
            if number in served or number <= before:
                continue
            answer = self.serve(here, index, request)
            text = f"{told}: {said(request)}" + (f" -> {answer.failed}" if answer.failed else "")
            kept = self.scope.interrupts and me.mode == UP
            yield Edge(
                text, self.answered(answer, index, number, kept), fair, answer.broken or self._mixed(job, request), job
            )
            if here.faults and "request" in self.scope.fault_kinds:
                lost = Served(here._replace(faults=here.faults - 1), "lost", "Unreachable")
                yield Edge(f"{text} - fault: the request is lost", self.answered(lost, index, number), False, job=job)
            if here.faults and answer.wrote and "answer" in self.scope.fault_kinds:
                lost = Served(answer.after._replace(faults=here.faults - 1), "lost", "Unreachable")
                after = self.answered(lost, index, number)
                yield Edge(f"{text} - fault: the answer is lost", after, False, answer.broken, job)

    def answered(self, answer: Served, index: int, number: int, kept: bool = False) -> Global:
        """The operator goes on with it, or has it on its way (`kept`)."""
        here = answer.after
        me = here.operators[index]
        if kept:
            return with_operator(here, index, me._replace(served=(*me.served, (number, answer.value, answer.failed))))
        return self.given(here, index, me, (ANSWER, here.world[3], number, answer.value, answer.failed))

    def serve(self, here: Global, index: int, request: tuple[Any, ...]) -> Served:
        """One request, atomically."""
        world, broken = World(self.views, here.world), None
        verb, plural = request[:2]
        before = dict(world.objects)
        me = here.operators[index]
        if (verb, plural) == ("create", PODS):
            pod = self.views.manifest(request[2])
            if (PODS, pod["metadata"]["name"]) not in world.objects:
                knew = dict(me.knew).get(label(pod, names.LABEL_JOB_NAME), "")
                broken = invariants.creating(world, pod, knew, len(here.operators) == 1)
        try:
            value = world.serve(request)
        except Failure as failure:
            if (verb, plural) == ("create", PLANS):
                here = with_operator(here, index, self._warned(me, world, request))
            return Served(here, failure.message, failure.kind)
        if (verb, plural) == ("find", JOBS):
            here = with_operator(here, index, self._told(me, world, request[2]))
        wrote = world.objects != before
        if (verb, plural) == ("merge", JOBS):
            old, new = before[JOBS, request[2]], world.objects[JOBS, request[2]]
            statuses = self.views.manifest(old.body.status), self.views.manifest(new.body.status)
            broken = invariants.status_written(world, request[2], new.uid, *statuses)
        if verb == "delete" and wrote:
            key = (plural, request[2])
            broken = invariants.deleting(World(self.views, here.world), key, before[key])
            if plural == PODS:
                world.fact(before[key], trouble=True)
        after = self._publish(here, world) if wrote else here
        return Served(after, value, "", broken, wrote)

    def _warned(self, me: Operator, world: World, request: tuple[Any, ...]) -> Operator:
        plan = self.views.manifest(request[2])
        name, uid = label(plan, names.LABEL_JOB_NAME), label(plan, names.LABEL_JOB_UID)
        there = world.objects[PLANS, plan["metadata"]["name"]]
        if self.scope.operators == 1 or label(world.manifest(there.body), names.LABEL_JOB_UID) != uid:
            return me
        return me._replace(knew=tuple((job, invariants.WARNED if job == name else why) for job, why in me.knew))

    def _told(self, me: Operator, world: World, name: str) -> Operator:
        """The apiserver's word replaces what it knew."""
        found = world.objects.get((JOBS, name))
        known = self.runner.state(me.rest).job((o.NAMESPACE, name))
        uid = known.uid if known is not None else found.uid if found is not None else ""
        why = invariants.truth(world, name, uid)
        return me._replace(knew=tuple((job, why if job == name else before) for job, before in me.knew))

    def given(self, here: Global, index: int, me: Operator, given: Input) -> Global:
        return with_operator(here, index, self._put(me, given, here))

    def _put(self, me: Operator, given: Input, here: Global | None) -> Operator:
        """`me` with one input more; what has ended is taken note of. `here` is looked at when the watch begins."""
        inputs = (*me.inputs, given)
        outcome = self.runner.run(me.rest, inputs)
        dirty, timers = me.dirty | outcome.dirty, me.timers
        mode, queues, knew, listed = me.mode, me.queues, me.knew, me.listed
        if mode == PRIMING and given[0] == ANSWER and isinstance(given[3], tuple):
            listed = (*listed, *((key, found.version) for key, found in given[3]))
        for task, failed, wait in outcome.ended:
            if task == PRIME and failed:
                return Operator(DOWN, self.runner.fresh, passes=me.passes)
            if task == PRIME:
                # The watch begins by listing once more: what has changed since is told, what has gone is not.
                assert here is not None
                mode, seen, listed = UP, dict(listed), ()
                queues = tuple(
                    (key, ((found, False),))
                    for key, found in here.world[0]
                    if key[0] in (JOBS, PODS) and seen.get(key) != found.version
                )
            elif task != COMPARE:
                knew = tuple(entry for entry in knew if entry[0] != task[1])
                if failed or wait is not None:
                    timers |= {task[1]}
        if outcome.rest is not None:
            return Operator(mode, outcome.rest, (), (), queues, dirty, timers, (), listed, me.passes)
        return Operator(mode, me.rest, inputs, me.served, queues, dirty, timers, knew, listed, me.passes)

    def _mixed(self, job: str, request: tuple[Any, ...]) -> str | None:
        """What the reduction rests on, where there is one."""
        return invariants.independent(self.views, job, request) if self.scope.reduced and job else None

    def later(self, here: Global) -> Global:
        objects, registry, facts, epoch = here.world
        operators = tuple(
            each._replace(timers=each.timers | self.runner.all_jobs(each.rest)) if each.mode == UP else each
            for each in here.operators
        )
        return here._replace(world=(objects, registry, facts, epoch + 1), operators=operators)


def said(request: tuple[Any, ...]) -> str:
    return " ".join(part if isinstance(part, str) else "…" for part in request if part)
