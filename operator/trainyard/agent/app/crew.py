"""Threads that work one iterable off together: whoever is done takes the next piece. Cheaper for each than a future, which counts by the thousand.

Threads that compute stand in each other's way; those that wait do not. So there are few at first, and more as long as pieces take long.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
FEW = 4
LONG = 0.01
"""Seconds: threads of which most take no new piece in so long are waiting for something."""


class Crew(Generic[T]):
    """For one iterable, whose pieces are taken by one thread at a time."""

    def __init__(self, work: Callable[[T], None], most: int) -> None:
        """`most`: threads."""
        self._work = work
        self._most = most
        self._pieces: Iterator[T] = iter(())
        self._turn = threading.Lock()
        self._taken = 0
        self._empty = False
        self._change = threading.Condition()
        self._there = 0
        self._failure: BaseException | None = None

    def run(self, pieces: Iterable[T]) -> None:
        """Returns when all are done. The first failure, of the work or of the iterable, ends it: the other threads take no further
        piece, and are not waited for."""
        self._pieces = iter(pieces)
        with self._change:
            self._add(FEW)
            before = 0
            while not self._change.wait_for(lambda: self._failure is not None or not self._there, LONG):
                if self._taken - before < self._there and not self._empty:
                    self._add(self._there)
                before = self._taken
            if self._failure is not None:
                raise self._failure

    def settle(self) -> None:
        """Waits for those that are left after a failure."""
        with self._change:
            self._change.wait_for(lambda: not self._there)

    def _add(self, count: int) -> None:
        for _ in range(min(count, self._most - self._there)):
            # A daemon: a process may end while requests are on their way.
            threading.Thread(target=self._take_part, daemon=True).start()
            self._there += 1

    def _take_part(self) -> None:
        try:
            while (piece := self._next()) is not None:
                self._work(piece[0])
        except BaseException as error:
            with self._change:
                self._failure = self._failure or error
        finally:
            with self._change:
                self._there -= 1
                self._change.notify_all()

    def _next(self) -> tuple[T] | None:
        with self._turn:
            found = None if self._failure is not None else next(((piece,) for piece in self._pieces), None)
            self._taken += 1
            self._empty = found is None
            return found
