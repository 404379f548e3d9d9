"""Sharing by size: the largest object first, each to the host that has the least so far."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from trainyard.agent.core.layout import bytewise
from trainyard.agent.ports import StoredObject


def by_size(item: StoredObject) -> tuple[int, bytes]:
    """The order in which objects are shared out."""
    return -item.size, bytewise(item)


def shared(ordered: Iterable[StoredObject], hosts: int) -> Iterator[tuple[StoredObject, int]]:
    """Each object with the rank of its host, in the order of `by_size`. Whoever does this with the same objects comes to the same.

    No host then has more than 4/3 - 1/(3 x hosts) of what the best division would give the fullest one (Graham, 1969). Of equally
    full hosts the one with fewer objects is next, so that empty objects are spread too.
    """
    loads = [(0, 0, rank) for rank in range(hosts)]
    for item in ordered:
        size, count, rank = loads[0]
        heapq.heapreplace(loads, (size + item.size, count + 1, rank))
        yield item, rank
