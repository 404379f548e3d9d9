"""Work that is done before its result is asked for, as far as a bound: what comes next is there when it is wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import count, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(pool: Executor, function: Callable[[T], R], items: Iterable[T], most: int) -> Iterator[R]:
    """`function` of each item, up to `most` at a time, in the order of the items. The first failure is raised in its place."""
    following = iter(items)
    running: deque[Future[R]] = deque(pool.submit(function, item) for item in islice(following, most))
    try:
        while running:
            yield running.popleft().result()
            running.extend(pool.submit(function, item) for item in islice(following, 1))
    finally:
        for each in running:
            each.cancel()


def ahead(items: Iterable[T], most: int) -> Iterator[T]:
    """The items, fetched by a thread of its own that is up to `most` ahead of the reader."""
    following = iter(items)
    pool = ThreadPoolExecutor(1)
    try:
        for found in in_order(pool, lambda _: next(((item,) for item in following), None), count(), most):
            if found is None:
                return
            yield found[0]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
