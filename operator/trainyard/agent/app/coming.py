"""What is on its way to files: given out to s3fetch, heard of again, and handed over to menders where it did not come as it should."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from trainyard.agent.adapters.fetcher import BY_MD5, TOGETHER, Fetcher, Outcome
from trainyard.agent.app.hot import Hot
from trainyard.agent.core import layout
from trainyard.agent.ports import StoredObject

MENDERS = 32
UNDER_WAY = 1024
"""Requests, and items, that are not done: so many may fail together when S3 does. s3fetch takes as many."""


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
    """Requests that are not done."""
    hot: Hot | None = None
    """None: it comes in one request."""


@dataclass(frozen=True, slots=True)
class Request:
    """For `length` bytes from `first` on, looked at as `by` says."""

    coming: Coming
    first: int
    length: int
    by: str


class Owner(Protocol):
    """Who is told, from any thread. All may raise OSError, `bring` and `finish` also Refused."""

    progress: Callable[[int, int], None]
    came: Callable[[int], None]
    placed: Callable[[Sequence[Item]], None]

    def proven(self, bucket: str) -> None:
        """An ETag there was the MD5 of an object's bytes."""
        ...

    def fell_back(self, item: Item, why: str, *, damaged: bool) -> None:
        """s3fetch did not bring what it was asked for."""
        ...

    def bring(self, request: Request) -> None:
        """Puts the bytes into the part, with patience."""
        ...

    def finish(self, coming: Coming) -> None:
        """Verifies a part that has all its bytes, and makes it a file."""
        ...


class Run:
    """One thread gives out requests, another one hears of them, and others mend."""

    def __init__(self, owner: Owner, fetcher: Fetcher | None) -> None:
        """Without a `fetcher`, or once it has ended, everything is brought by menders."""
        self._owner = owner
        self._fetcher = fetcher
        self._change = threading.Condition()
        self._asked: dict[int, Request] = {}
        self._comings = 0
        """Items that were given out and are no files yet."""
        self._fed = False
        """Are all given out?"""
        self._deaf = "" if fetcher else "it cannot be run"
        """Why there are no more outcomes."""
        self._failure: BaseException | None = None
        self._ended = False
        self._broken: queue.SimpleQueue[Request | Coming | None] = queue.SimpleQueue()
        """Requests that have to be made again, and parts that have to be verified."""
        self._menders = 0
        self._listener: threading.Thread | None = None

    def work_off(self, requests: Iterable[Request]) -> None:
        """Returns when all are files. Raises the first failure; after Unordered of `requests` nothing is on its way any more."""
        if self._fetcher is not None:
            self._listener = self._start(self._listen, self._fetcher)
        self._start(self._feed, requests)
        self._wait(lambda: self._fed and not self._comings)

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

    def _feed(self, requests: Iterable[Request]) -> None:
        try:
            for number, request in enumerate(requests):
                self._give_out(number, request)
        except layout.Unordered:
            self._flush()
            self._wait(lambda: not self._comings)
            raise
        self._flush()
        with self._change:
            self._fed = True
            self._change.notify_all()

    def _give_out(self, number: int, request: Request) -> None:
        if self._more_than(UNDER_WAY - 1):
            self._flush()
            # Not as soon as there is room for one, which would then be given out alone.
            self._wait(lambda: not self._more_than(UNDER_WAY - TOGETHER))
        coming, fetcher = request.coming, self._fetcher
        with self._change:
            if self._failure is not None:
                raise self._failure
            self._comings += request.first == 0
            if self._deaf:
                self._lost(request, self._deaf)
                return
            self._asked[number] = request
        assert fetcher is not None
        file = "" if coming.hot else coming.item.file
        with suppress(OSError):  # it has ended: then the listener hands over what was asked of it
            fetcher.ask(
                number, coming.item.bucket, coming.item.source,
                first=request.first, length=request.length, by=request.by, part=coming.part, file=file,
            )  # fmt: skip

    def _more_than(self, count: int) -> bool:
        return len(self._asked) > count or self._comings > count

    def _flush(self) -> None:
        if self._fetcher is not None:
            with suppress(OSError):
                self._fetcher.flush()

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
        for outcomes in fetcher.outcomes(self._owner.came):
            placed = [item for outcome in outcomes if (item := self._hear(outcome)) is not None]
            if placed:
                self._came(placed, sum(item.source.size for item in placed))
        how = fetcher.end()
        with self._change:
            self._deaf = how
            if not self._ended and self._failure is None:
                for request in self._asked.values():
                    self._lost(request, how)
            self._asked.clear()
            self._change.notify_all()

    def _hear(self, outcome: Outcome) -> Item | None:
        """What became a file, if that is how it ended."""
        with self._change:
            request = self._asked.pop(outcome.number)
            coming = request.coming
            if outcome.kind == "placed":
                if request.by == BY_MD5:
                    self._owner.proven(coming.item.bucket)
                return coming.item
            if outcome.kind != "found":
                self._lost(request, outcome.text, damaged=outcome.kind == "damaged")
                return None
        if coming.hot:
            coming.hot.saw(request.first, request.length, bytes.fromhex(outcome.text))
            self._owner.progress(0, request.length)
        self._done(coming)
        return None

    def _came(self, items: Sequence[Item], size: int) -> None:
        self._owner.placed(items)
        self._owner.progress(len(items), size)
        with self._change:
            self._comings -= len(items)
            self._change.notify_all()

    def _done(self, coming: Coming) -> None:
        """With one request; after the last one all bytes are there."""
        with self._change:
            coming.left -= 1
            self._change.notify_all()
            if not coming.left:
                self._hand_over(coming)

    def _mend(self) -> None:
        while (broken := self._broken.get()) is not None and not self._ended:
            if isinstance(broken, Request):
                self._owner.bring(broken)
                if broken.coming.hot:
                    self._owner.progress(0, broken.length)
                self._done(broken.coming)
            else:
                self._owner.finish(broken)
                self._came([broken.item], 0 if broken.hot else broken.item.source.size)

    # With the lock held:

    def _lost(self, request: Request, why: str, *, damaged: bool = False) -> None:
        self._owner.fell_back(request.coming.item, why, damaged=damaged)
        self._hand_over(request)

    def _hand_over(self, broken: Request | Coming) -> None:
        self._broken.put(broken)
        self._change.notify_all()
        if self._menders < MENDERS:
            self._menders += 1
            self._start(self._mend)
