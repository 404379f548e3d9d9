"""Breadth first over all situations that a scope can reach; equal ones are visited once."""

from __future__ import annotations

import time
from array import array
from collections import deque
from dataclasses import dataclass, field

from tests.model.canonical import Canonical
from tests.model.idle import Idle
from tests.model.operators import PRIME
from tests.model.scope import Scope
from tests.model.situation import PRIMING, BrokenInvariantError, Edge, Global, Operator
from tests.model.steps import Steps
from tests.model.world import World


@dataclass
class Result:
    """`broken` and `trace` tell of the first broken invariant, None and empty if all hold."""

    scope: Scope
    states: int = 0
    transitions: int = 0
    depth: int = 0
    quiet: int = 0
    seconds: float = 0.0
    runs: int = 0
    broken: str | None = None
    trace: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.scope.name:<44} {self.states:>9,} states {self.transitions:>10,} transitions"
            f"  depth {self.depth:>3}  {self.quiet:>6,} at rest  {self.runs:>7,} runs of the operator  {self.seconds:6.1f} s"
        )

    def tell(self, broken: str, trace: list[str]) -> None:
        self.broken, self.trace = broken, trace

    def story(self) -> str:
        steps = "\n".join(f"  {number:>3}  {step}" for number, step in enumerate(self.trace, 1))
        return f"{self.scope.name}: {self.broken}\n{steps}"


class Explorer:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._steps = Steps(scope)
        self._idle = Idle(self._steps)
        self._canonical = Canonical(self._steps.runner)

    def explore(self) -> Result:
        began, result = time.monotonic(), Result(self.scope)
        first = self._first()
        numbers: dict[Global, int] = {first: 0}
        parents, labels = array("l", [-1]), [""]
        sources, targets, resting = array("l"), array("l"), list[int]()
        waiting, depths = deque([first]), array("l", [0])
        while waiting and result.broken is None:
            here = waiting.popleft()
            number = numbers[here]
            edges, quiet, broken = self.edges(here)
            if broken is not None:
                result.tell(broken, _way(parents, labels, number))
                break
            if quiet:
                resting.append(number)
            for edge in edges:
                result.transitions += 1
                if edge.broken is not None:
                    result.tell(edge.broken, [*_way(parents, labels, number), edge.label])
                    break
                after = self._canonical.of(edge.after)
                there = numbers.get(after)
                if there is None:
                    there = numbers[after] = len(numbers)
                    parents.append(number)
                    labels.append(edge.label)
                    depths.append(depths[number] + 1)
                    waiting.append(after)
                if edge.fair:
                    sources.append(number)
                    targets.append(there)
            if len(numbers) > self.scope.most_states:
                result.broken = (
                    f"more than {self.scope.most_states} states: it does not come to rest, or the scope is too wide"
                )
        result.states, result.depth, result.quiet = len(numbers), max(depths), len(resting)
        if result.broken is None and (stuck := _never_resting(len(numbers), sources, targets, resting)) is not None:
            result.tell("N1: from here nothing leads to rest", _way(parents, labels, stuck))
        result.seconds, result.runs = time.monotonic() - began, self._steps.runner.runs
        return result

    def _first(self) -> Global:
        scope = self.scope
        passes = [-1] + [(-1 if scope.passes is None else scope.passes)] * (scope.operators - 1)
        operators = tuple(Operator(PRIMING, self._steps.runner.fresh, passes=each) for each in passes)
        first = Global(World.EMPTY, operators, (0,) * len(scope.users), scope.faults, scope.losses, scope.epochs)
        for index, me in enumerate(operators):
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
        return [*found, *self._steps.bad_luck(here)], quiet, broken


def _way(parents: array[int], labels: list[str], number: int) -> list[str]:
    """The steps that led there first."""
    found = []
    while number > 0:
        found.append(labels[number])
        number = parents[number]
    return found[::-1]


def _never_resting(count: int, sources: array[int], targets: array[int], resting: list[int]) -> int | None:
    """The first state from which fair steps lead to no state at rest."""
    into: list[list[int]] = [[] for _ in range(count)]
    for source, target in zip(sources, targets, strict=True):
        into[target].append(source)
    reached = bytearray(count)
    todo = list(resting)
    for number in todo:
        reached[number] = 1
    while todo:
        for source in into[todo.pop()]:
            if not reached[source]:
                reached[source] = 1
                todo.append(source)
    found = reached.find(0)
    return found if found >= 0 else None
