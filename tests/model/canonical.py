"""Which situations are the same. Sound, because nothing that is dropped here can make a difference later:

- versions of an object are only ever compared with each other, so they are counted from 1 again;
- an event that tells what an operator knows already does nothing when it is heard;
- an operator that is at rest and may begin no pass any more is as good as gone, with all that it knew;
- two operators that may do the same have no order.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.model.operators import Runner, event
from tests.model.situation import DOWN, UP, Global, Operator
from tests.model.world import Key, Object


class Canonical:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._pool: dict[Any, Any] = {}
        self._met: dict[Operator, int] = {}

    def of(self, here: Global) -> Global:
        """Versions are only ever compared: each object's are counted from 1 again. Two equal operators have no order."""
        operators = tuple(self._without_old_news(_without_the_spent(each)) for each in here.operators)
        objects, registry, facts, epoch = here.world
        held: dict[Key, set[int]] = defaultdict(set, {key: {version} for key, (_, version) in registry})
        for key, found in objects:
            held[key].add(found.version)
        for each in operators:
            if each.mode != DOWN:
                for key, version in (*self._runner.versions(each.rest), *each.listed):
                    held[key].add(version)
                versions_in((each.queues, each.inputs, each.served), held)
        changes = {
            (key, before): after
            for key, versions in held.items()
            for after, before in enumerate(sorted(versions), 1)
            if before != after
        }
        if changes:
            moves = tuple((key, before, after) for (key, before), after in sorted(changes.items()))
            operators = tuple(
                each._replace(
                    rest=self._runner.renumbered(each.rest, moves),
                    inputs=moved(each.inputs, changes),
                    served=moved(each.served, changes),
                    queues=moved(each.queues, changes),
                    listed=tuple((key, changes.get((key, version), version)) for key, version in each.listed),
                )
                if each.mode != DOWN
                else each
                for each in operators
            )
            registry = tuple(
                (key, (number, changes.get((key, version), version))) for key, (number, version) in registry
            )
            objects = moved(objects, changes)
        if len(operators) == 2 and operators[0].passes < 0 and operators[1].passes < 0:
            # The one that was met first comes first: a hash would be another one in each process.
            operators = tuple(sorted(operators, key=lambda each: self._met.setdefault(each, len(self._met))))
        world = (self._pooled(objects), self._pooled(registry), self._pooled(facts), epoch)
        return here._replace(world=self._pooled(world), operators=tuple(map(self._pooled, operators)))

    def _pooled(self, value: Any) -> Any:
        """The first value that was equal to it: states share their parts."""
        return self._pool.setdefault(value, value)

    def _without_old_news(self, me: Operator) -> Operator:
        """An event that tells what is known already does nothing, now or later."""
        if me.mode != UP or me.inputs or not me.queues:
            return me
        queues = []
        for key, events in me.queues:
            left = events
            while left:
                outcome = self._runner.run(me.rest, (event(key, *left[0]),))
                if outcome.rest != me.rest or outcome.dirty:
                    break
                left = left[1:]
            if left:
                queues.append((key, left))
        return me._replace(queues=tuple(queues))


def _without_the_spent(me: Operator) -> Operator:
    return Operator(DOWN, passes=0) if not me.passes and not me.inputs else me


def versions_in(value: Any, held: dict[Key, set[int]], key: Key | None = None) -> None:
    """Of all objects in nested tuples, in which an object comes after its key."""
    for item in value:
        if isinstance(item, Object):
            assert key is not None
            held[key].add(item.version)
        elif isinstance(item, tuple):
            versions_in(item, held, key)
            if len(item) == 2 and isinstance(item[1], str):
                key = item


def moved(value: Any, changes: dict[tuple[Key, int], int], key: Key | None = None) -> Any:
    """The same nested tuples with other versions."""
    result = []
    for item in value:
        if isinstance(item, Object):
            assert key is not None
            result.append(item._replace(version=changes.get((key, item.version), item.version)))
        elif isinstance(item, tuple):
            result.append(moved(item, changes, key))
            if len(item) == 2 and isinstance(item[1], str):
                key = item
        else:
            result.append(item)
    return tuple(result)
