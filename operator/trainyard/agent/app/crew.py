"""Threads that work one iterable off together: whoever is done takes the next piece. Cheaper for each than a future, which counts by the thousand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Crew(Generic[T]):
    """For one iterable, whose pieces are taken by one thread at a time. There are never more threads than pieces that were taken, and one."""

    def __init__(self, work: Callable[[T], None], most: int) -> None:
        """`most`: threads."""
        self._work = work
        self._most = most
        self._pieces: Iterator[T] = iter(())
        self._turn = threading.Lock()
        self._change = threading.Condition()
        self._there = 0
        self._failure: BaseException | None = None

    def run(self, pieces: Iterable[T]) -> None:
        """Returns when all are done. The first failure, of the work or of the iterable, ends it: the other threads take no further
        piece, and are not waited for."""
        self._pieces = iter(pieces)
        self._join()
        with self._change:
            self._change.wait_for(lambda: self._failure is not None or not self._there)
            if self._failure is not None:
                raise self._failure

    def settle(self) -> None:
        """Waits for those that are left after a failure."""
        with self._change:
            self._change.wait_for(lambda: not self._there)

    def _join(self) -> None:
        with self._change:
            if self._there >= self._most:
                return
            self._there += 1
        # A daemon: a process may end while requests are on their way.
        threading.Thread(target=self._take_part, daemon=True).start()

    def _take_part(self) -> None:
        try:
            new = True
            while (piece := self._next()) is not None:
                if new:
                    new = False
                    self._join()
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
            return None if self._failure is not None else next(((piece,) for piece in self._pieces), None)
