"""Keys to work on: duplicates merge, one pass per key at a time, failures come back later and later."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
FIRST_DELAY, LONGEST_DELAY = 0.2, 60.0


# Of so many keys in a row the last one is an ordinary one, if there is one.
ORDINARY_TURN = 4


class WorkQueue(Generic[Key]):
    """For one event loop. A key added while it is worked on is worked on once more afterwards.

    Keys that are `urgent` when they are added overtake the others, which still get every fourth turn.
    """

    def __init__(self, urgent: Callable[[Key], bool] = lambda _: False) -> None:
        self._is_urgent = urgent
        self._urgent: deque[Key] = deque()
        self._ordinary: deque[Key] = deque()
        self._overtaken = 0
        self._queued: set[Key] = set()
        self._active: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._ordinary)

    @property
    def is_pressed(self) -> bool:
        """Do urgent keys wait?"""
        return bool(self._urgent)

    def add(self, key: Key) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        if key in self._active:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            (self._urgent if self._is_urgent(key) else self._ordinary).append(key)
            self._release_one()

    def add_after(self, key: Key, seconds: float) -> None:
        """The earlier of two deadlines counts; a key that is in the queue already is due anyway."""
        if key in self._queued:
            return
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + max(seconds, 0.0)
        known = self._timers.get(key)
        if known is not None:
            if known.when() <= due:
                return
            known.cancel()
        self._timers[key] = loop.call_at(due, self.add, key)

    def add_failed(self, key: Key) -> float:
        """Back off, with jitter, so that what failed together does not return together. Returns the delay."""
        tries = self._failures.get(key, 0)
        self._failures[key] = min(tries + 1, 16)
        delay: float = min(FIRST_DELAY * 2**tries, LONGEST_DELAY) * random.uniform(0.7, 1.3)  # noqa: S311 - not a secret
        self.add_after(key, delay)
        return delay

    def forgive(self, key: Key) -> None:
        """It went well: the next failure is a first one."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key, which is the caller's until `done`."""
        while not len(self):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._release_one()
                raise
        key = self._next().popleft()
        self._queued.discard(key)
        self._active.add(key)
        return key

    def _next(self) -> deque[Key]:
        if not self._ordinary:
            return self._urgent
        if not self._urgent or self._overtaken == ORDINARY_TURN - 1:
            self._overtaken = 0
            return self._ordinary
        self._overtaken += 1
        return self._urgent

    def done(self, key: Key) -> None:
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _release_one(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
