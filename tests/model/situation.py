"""Everything there is between two steps, as a value."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.operators import Input
from tests.model.world import Key, Object

DOWN, PRIMING, UP = "down", "priming", "up"
# It has lost the lease and does nothing more; what it asked for last may still arrive.
ENDING = "ending"
Queues = tuple[tuple[Key, tuple[tuple[Object, bool], ...]], ...]


class Operator(NamedTuple):
    """One operator between two steps. `rest` is its memory before `inputs`; `served`: answers that are on their way.

    `queues`: what its watch has still to tell, by object; `listed`: versions that it saw when it began.
    `knew`: by job with a pass, why it must make no pods. `passes`: how many more it may begin, -1 for any number.
    """

    mode: str = UP
    rest: int = 0
    inputs: tuple[Input, ...] = ()
    served: tuple[tuple[int, Any, str], ...] = ()
    queues: Queues = ()
    dirty: frozenset[str] = frozenset()
    timers: frozenset[str] = frozenset()
    knew: tuple[tuple[str, str], ...] = ()
    listed: tuple[tuple[Key, int], ...] = ()
    passes: int = -1


class Global(NamedTuple):
    """Everything. `users`: how far each script is; the rest are what is left of the scope's budgets."""

    world: tuple[Any, ...]
    operators: tuple[Operator, ...]
    users: tuple[int, ...]
    faults: int
    losses: int
    epochs: int


class Edge(NamedTuple):
    """`fair`: it happens in the end if it stays possible; users and bad luck need not come. `job`: all that it touches belongs
    to this one, empty if that cannot be said."""

    label: str
    after: Global
    fair: bool = True
    broken: str | None = None
    job: str = ""


class BrokenInvariantError(AssertionError):
    """One that was broken where nothing else happened."""


def with_operator(here: Global, index: int, me: Operator) -> Global:
    return here._replace(operators=(*here.operators[:index], me, *here.operators[index + 1 :]))


def job_of(name: str) -> str:
    """Whose an object of that name is: jobs of the model have names without a hyphen."""
    return name.partition("-")[0]


def queued(queues: Queues, changes: list[tuple[Key, Object, bool]]) -> Queues:
    found = dict(queues)
    for key, changed, deleted in changes:
        found[key] = (*found.get(key, ()), (changed, deleted))
    return tuple(sorted(found.items()))


def rest_of(queues: Queues, key: Key, at: int = 0) -> Queues:
    """Without the event at that place."""
    left = ((other, (*events[:at], *events[at + 1 :]) if other == key else events) for other, events in queues)
    return tuple((other, events) for other, events in left if events)
