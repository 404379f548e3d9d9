"""What is on its way to a file: given out to s3fetch, heard of again, and handed over to menders where it did not come as it should."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from trainyard.agent.adapters.fetcher import BY_MD5, Fetcher, Outcome
from trainyard.agent.app.hot import Hot
from trainyard.agent.core import layout
from trainyard.agent.ports import StoredObject

MENDERS = 32
UNDER_WAY = 1024
"""Requests, and items, that are not done: so many may fail together when S3 does."""


@dataclass(frozen=True, slots=True)
class Item:
    """One object of `bucket`, and the file it becomes."""

    bucket: str
    source: StoredObject
    file: str
    """No Path: making one for each of a million small objects would take as long as making the file."""


@dataclass(slots=True)
class Coming:
    """An item that is no file yet."""

    item: Item
    part: str
    left: int
    """Requests that have no outcome yet."""
    hot: Hot | None = None
    """None: it comes in one request."""
    missing: list[tuple[int, int]] = field(default_factory=list)
    """(first byte, length) of what did not come."""


@dataclass(frozen=True, slots=True)
class Request:
    """For `length` bytes from `first` on, looked at as `by` says."""

    coming: Coming
    first: int
    length: int
    by: str


def spans(size: int, most: int) -> Iterator[tuple[int, int]]:
    """(first, length) of each piece of up to `most` bytes; one of nothing where there is nothing."""
    return ((first, min(most, size - first)) for first in range(0, size or 1, most))


class Owner(Protocol):
    """Who is told, from any thread. All may raise OSError, `mend` also Refused."""

    progress: Callable[[int, int], None]
    placed: Callable[[Sequence[Item]], None]

    def proven(self, bucket: str) -> None: ...

    def fell_back(self, item: Item, why: str) -> None: ...

    def mend(self, coming: Coming) -> None: ...


class Run:
    """One thread gives out requests, another one hears of them, and others mend."""

    def __init__(self, owner: Owner, fetcher: Fetcher | None) -> None:
        """Without a `fetcher`, or once it has ended, everything is mended."""
        self._owner = owner
        self._fetcher = fetcher
        self._change = threading.Condition()
        self._asked: dict[int, Request] = {}
        self._comings = 0
        """Items that are no files yet."""
        self._deaf = fetcher is None
        """No more outcomes."""
        self._failure: BaseException | None = None
        self._ended = False
        self._broken: queue.SimpleQueue[Coming | None] = queue.SimpleQueue()
        self._menders = 0
        self._listener: threading.Thread | None = None

    def work_off(self, requests: Iterable[Request]) -> None:
        """Returns when all are files. Raises the first failure; after Unordered of `requests` nothing is on its way any more."""
        if self._fetcher is not None:
            self._listener = self._start(self._listen, self._fetcher)
        try:
            for number, request in enumerate(requests):
                self._give_out(number, request)
        except layout.Unordered:
            self._settle()
            raise
        self._settle()

    def end(self) -> None:
        """Nothing is heard of any more. Menders may still be waiting for S3: nobody waits for them."""
        with self._change:
            self._ended = True
            for _ in range(self._menders):
                self._broken.put(None)
        if self._fetcher is not None:
            self._fetcher.kill()
            if self._listener is not None:
                self._listener.join()
            self._fetcher.close()

    def _give_out(self, number: int, request: Request) -> None:
        if self._full():
            self._flush()
            self._wait(lambda: not self._full())
        with self._change:
            if self._failure is not None:
                raise self._failure
            self._comings += request.first == 0
            if self._deaf:
                self._lost(request)
                return
            self._asked[number] = request
        coming, fetcher = request.coming, self._fetcher
        assert fetcher is not None
        file = "" if coming.hot else coming.item.file
        with suppress(OSError):  # it has ended: then the listener hands over what was asked of it
            fetcher.ask(
                number, coming.item.bucket, coming.item.source,
                first=request.first, length=request.length, by=request.by, part=coming.part, file=file,
            )  # fmt: skip

    def _full(self) -> bool:
        return len(self._asked) >= UNDER_WAY or self._comings >= UNDER_WAY

    def _flush(self) -> None:
        if self._fetcher is not None:
            with suppress(OSError):
                self._fetcher.flush()

    def _settle(self) -> None:
        self._flush()
        self._wait(lambda: not self._comings)

    def _wait(self, done: Callable[[], bool]) -> None:
        with self._change:
            self._change.wait_for(lambda: self._failure is not None or done())
            if self._failure is not None:
                raise self._failure

    def _start(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        """Whose failure is that of the run. A daemon: a process may end while requests are on their way."""

        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                with self._change:
                    self._failure = self._failure or error
                    self._change.notify_all()
                if self._fetcher is not None:
                    self._fetcher.kill()

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread

    def _listen(self, fetcher: Fetcher) -> None:
        for outcomes in fetcher.outcomes():
            placed = [item for outcome in outcomes if (item := self._hear(outcome)) is not None]
            if placed:
                self._came(placed, sum(item.source.size for item in placed))
        with self._change:
            self._deaf = True
            if not self._ended:
                for request in self._asked.values():
                    self._lost(request)
            self._asked.clear()

    def _hear(self, outcome: Outcome) -> Item | None:
        """What became a file, if that is how it ended."""
        with self._change:
            request = self._asked.pop(outcome.number)
        coming = request.coming
        if outcome.kind == "placed":
            if request.by == BY_MD5:
                self._owner.proven(coming.item.bucket)
            return coming.item
        if outcome.kind == "failed":
            self._owner.fell_back(coming.item, outcome.text)
            with self._change:
                self._lost(request)
            return None
        if coming.hot:
            coming.hot.saw(request.first, request.length, bytes.fromhex(outcome.text))
            self._owner.progress(0, request.length)
        with self._change:
            self._answered(coming)
        return None

    def _came(self, items: Sequence[Item], size: int) -> None:
        self._owner.placed(items)
        self._owner.progress(len(items), size)
        with self._change:
            self._comings -= len(items)
            self._change.notify_all()

    # With the lock held:

    def _lost(self, request: Request) -> None:
        request.coming.missing.append((request.first, request.length))
        self._answered(request.coming)

    def _answered(self, coming: Coming) -> None:
        coming.left -= 1
        self._change.notify_all()
        if coming.left:
            return
        self._broken.put(coming)
        if self._menders < MENDERS and not self._broken.empty():
            self._menders += 1
            self._start(self._mend)

    def _mend(self) -> None:
        while (coming := self._broken.get()) is not None and not self._ended:
            self._owner.mend(coming)
            self._came([coming.item], 0 if coming.hot else coming.item.source.size)
