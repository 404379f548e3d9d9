"""The situations that were found, by number, in the order in which they were found."""

from __future__ import annotations

from array import array
from collections import deque

from tests.model.situation import Edge, Global


class Graph:
    """`resting`: where nothing happens by itself any more. Numbers and arrays, as there may be millions."""

    def __init__(self, first: Global) -> None:
        self.numbers: dict[Global, int] = {first: 0}
        self.depths = array("l", [0])
        self.resting: list[int] = []
        self._parents, self._labels = array("l", [-1]), [""]
        self._sources, self._targets = array("l"), array("l")
        self._waiting = deque([first])

    def next(self, depth: int | None) -> Global | None:
        """The nearest one that was not looked at; None if there is none, or none within `depth` steps."""
        if not self._waiting or (depth is not None and self.depths[self.numbers[self._waiting[0]]] >= depth):
            return None
        return self._waiting.popleft()

    def link(self, number: int, edge: Edge, after: Global) -> None:
        """`edge` leads from there to `after`."""
        there = self.numbers.get(after)
        if there is None:
            there = self.numbers[after] = len(self.numbers)
            self._parents.append(number)
            self._labels.append(edge.label)
            self.depths.append(self.depths[number] + 1)
            self._waiting.append(after)
        if edge.fair:
            self._sources.append(number)
            self._targets.append(there)

    def way(self, number: int) -> list[str]:
        """The steps that led there first."""
        found = []
        while number > 0:
            found.append(self._labels[number])
            number = self._parents[number]
        return found[::-1]

    def never_resting(self) -> int | None:
        """The first one from which fair steps lead to no state at rest."""
        into: list[list[int]] = [[] for _ in self.numbers]
        for source, target in zip(self._sources, self._targets, strict=True):
            into[target].append(source)
        reached = bytearray(len(self.numbers))
        todo = list(self.resting)
        for number in todo:
            reached[number] = 1
        while todo:
            for source in into[todo.pop()]:
                if not reached[source]:
                    reached[source] = 1
                    todo.append(source)
        found = reached.find(0)
        return found if found >= 0 else None
