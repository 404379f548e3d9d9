"""Breadth first over all situations that a scope can reach; equal ones are visited once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from tests.model.canonical import Canonical
from tests.model.graph import Graph
from tests.model.idle import Idle
from tests.model.luck import Luck
from tests.model.operators import PRIME
from tests.model.reduction import Reduction
from tests.model.scope import Scope
from tests.model.situation import DOWN, PRIMING, BrokenInvariantError, Edge, Global, Operator
from tests.model.steps import Steps
from tests.model.world import World


@dataclass
class Result:
    """`broken` and `trace` tell of the first broken invariant, None and empty if all hold; `violations` of all, and `rests` has what
    the cluster is like in each state of rest, of an exploration that goes on."""

    scope: Scope
    states: int = 0
    transitions: int = 0
    depth: int = 0
    quiet: int = 0
    seconds: float = 0.0
    runs: int = 0
    broken: str | None = None
    violations: set[str] = field(default_factory=set)
    rests: set[Any] = field(default_factory=set)
    trace: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.scope.name:<44} {self.states:>9,} states {self.transitions:>10,} transitions"
            f"  depth {self.depth:>3}  {self.quiet:>6,} at rest  {self.runs:>7,} runs of the operator  {self.seconds:6.1f} s"
        )

    def tell(self, broken: str, trace: list[str], go_on: bool = False) -> None:
        self.violations.add(broken)
        if not go_on:
            self.broken, self.trace = broken, trace

    def story(self) -> str:
        steps = "\n".join(f"  {number:>3}  {step}" for number, step in enumerate(self.trace, 1))
        return f"{self.scope.name}: {self.broken}\n{steps}"


class Explorer:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._steps = Steps(scope)
        self._idle = Idle(self._steps)
        self._luck = Luck(self._steps)
        self._reduction = Reduction(self._steps)
        self._canonical = Canonical(self._steps.runner)

    def explore(self, go_on: bool = False) -> Result:
        """Until an invariant is broken, or (`go_on`) past every step that breaks one."""
        began, result = time.monotonic(), Result(self.scope)
        graph = Graph(self._first())
        while result.broken is None and (here := graph.next(self.scope.depth)) is not None:
            number = graph.numbers[here]
            edges, quiet, broken = self.edges(here)
            if quiet:
                graph.resting.append(number)
                result.rests |= {_cluster(here)} if go_on else set()
            if broken is not None:
                result.tell(broken, graph.way(number), go_on)
            for edge in edges if result.broken is None else ():
                result.transitions += 1
                if edge.broken is not None:
                    result.tell(edge.broken, [*graph.way(number), edge.label], go_on)
                    if not go_on:
                        break
                graph.link(number, edge, self._canonical.of(edge.after))
            if len(graph.numbers) > self.scope.most_states:
                text = f"more than {self.scope.most_states} states: it does not come to rest, or the scope is too wide"
                result.tell(text, [])
        result.states, result.depth, result.quiet = len(graph.numbers), max(graph.depths), len(graph.resting)
        whole = result.broken is None and self.scope.depth is None
        if whole and (stuck := graph.never_resting()) is not None:
            result.tell("N1: from here nothing leads to rest", graph.way(stuck), go_on)
        result.seconds, result.runs = time.monotonic() - began, self._steps.runner.runs
        return result

    def _first(self) -> Global:
        scope = self.scope
        passes = [-1] + [(-1 if scope.passes is None else scope.passes)] * (scope.operators - 1)
        operators = tuple(Operator(PRIMING, self._steps.runner.fresh, passes=each) for each in passes)
        if scope.lease:
            operators = (operators[0], *(each._replace(mode=DOWN) for each in operators[1:]))
        first = Global(World.EMPTY, operators, (0,) * len(scope.users), scope.faults, scope.losses, scope.epochs)
        for index, me in enumerate(operators):
            if me.mode == DOWN:
                continue
            first = self._idle.alone(self._steps.given(first, index, me, (PRIME, 0)), index)
        for part in scope.opening:
            edges, _, _ = self.edges(first)
            first = next(self._canonical.of(edge.after) for edge in edges if part in edge.label)
        return first

    def edges(self, here: Global) -> tuple[list[Edge], bool, str | None]:
        """All that can happen; whether nothing happens by itself any more; what is wrong with that."""
        found = self._steps.of(here)
        quiet, broken = False, None
        if not any(edge.fair for edge in found):
            try:
                forced = self._idle.time_passes(here)
            except BrokenInvariantError as wrong:
                return found, False, str(wrong)
            if forced is not None:
                found.append(forced)
            else:
                quiet, broken = True, self._idle.wrong(here)
        return self._reduction.of(here, [*found, *self._luck.of(here)]), quiet, broken


def _cluster(here: Global) -> Any:
    """What can be seen of it, whatever the versions."""
    objects, _, facts, epoch = here.world
    return frozenset((key, found.uid, found.body) for key, found in objects), facts, epoch
