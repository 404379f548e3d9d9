"""Objects to files: parallel, within a fixed number of bytes in memory, each file whole or not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trainyard.agent.adapters.files import make_directory
from trainyard.agent.app.crew import Crew
from trainyard.agent.app.hot import Hot
from trainyard.agent.app.patience import Patience
from trainyard.agent.app.proofs import Proofs
from trainyard.agent.app.store import Store
from trainyard.agent.core import layout
from trainyard.agent.ports import Body, StoredObject

MIB = 1024 * 1024
RANGE = 8 * MIB
WORKERS = 64
"""Requests at once: of small objects, which wait for S3 far longer than they travel. Of large ones memory is the limit."""
IN_MEMORY = 8 * RANGE
REMEMBERED = 10_000


@dataclass(frozen=True)
class Item:
    """One object of `bucket`, and the file it becomes."""

    bucket: str
    source: StoredObject
    file: Path


class Budget:
    """Lends bytes of memory; whoever asks for more than are left waits."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._change = threading.Condition()

    def take(self, size: int) -> None:
        with self._change:
            self._change.wait_for(lambda: self._left >= size)
            self._left -= size

    def give(self, size: int) -> None:
        with self._change:
            self._left += size
            self._change.notify_all()

    @contextmanager
    def lent(self, size: int) -> Iterator[None]:
        self.take(size)
        try:
            yield
        finally:
            self.give(size)


class Buffers:
    """Memory for a range, used again and again: new memory would cost as much as what is put into it."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []

    @contextmanager
    def lent(self) -> Iterator[memoryview]:
        """One of RANGE bytes. As many are made as the budget lends at once."""
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = memoryview(bytearray(RANGE))
        yield buffer
        self._free.append(buffer)


def open_part(part: str) -> int:
    """A new, empty file that any user may write to, as any may to staged files, whatever the umask says. No Path: making one for each
    of a million small objects would take as long as making the file."""
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    os.fchmod(file, 0o666)
    return file


def write_at(file: int, first: int, data: Body) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, first)
        view, first = view[written:], first + written


class Assembly:
    """A file that grows from ranges in any order; the last one puts it in its place."""

    def __init__(self, item: Item, part: str) -> None:
        self.item = item
        self.hot = Hot(item.source, RANGE)
        self._part = part
        self._missing = -(-item.source.size // RANGE)
        self._lock = threading.Lock()
        self.file = open_part(part)
        """The descriptor of what is there so far. Not allocated beforehand: whether all fits is known by then, and a tmpfs, or a file
        system that cannot do it, would write every byte twice."""

    def ranges(self) -> Iterator[tuple[int, int]]:
        """(first byte, length) of each request."""
        size = self.item.source.size
        return ((first, min(RANGE, size - first)) for first in range(0, size, RANGE))

    def fill(self, get: Callable[[int, int], Body], budget: Budget) -> None:
        """Writes every range anew, as `get` gives it."""
        for first, length in self.ranges():
            with budget.lent(length):
                write_at(self.file, first, get(first, length))

    def came(self) -> bool:
        """One range less to come. True when that was the last."""
        with self._lock:
            self._missing -= 1
            return not self._missing

    def place(self) -> None:
        os.close(self.file)
        os.rename(self._part, self.item.file)  # noqa: PTH104 - see open_part


@dataclass(frozen=True)
class Whole:
    """What comes in one request."""

    item: Item
    part: str


@dataclass(frozen=True)
class Range:
    """One of the requests for a larger object."""

    assembly: Assembly
    first: int
    length: int


class Downloader:
    """Fetches items into place. From its threads are called `progress(objects, bytes)`, with what was added, and `placed`."""

    def __init__(
        self,
        store: Store,
        staging: Path,
        patience: Patience,
        progress: Callable[[int, int], None],
        placed: Callable[[Item], None] = lambda _item: None,
    ) -> None:
        self._store = store
        self._staging = staging
        self._patience = patience
        self._progress = progress
        self._placed = placed
        self._budget = Budget(IN_MEMORY)
        self._buffers = Buffers()
        self._proofs = Proofs(store, patience)

    def run(self, items: Iterable[Item]) -> None:
        """Returns when all files are in place. The first failure (Refused, OSError, or one of `items`) ends it; after
        Unordered nothing is on its way any more."""
        make_directory(self._staging, 0o700)
        crew = Crew(self._fetch, WORKERS)
        try:
            crew.run(self._requests(items))
        except layout.Unordered:
            # After other failures some may be waiting for their next try: nobody waits for them.
            crew.settle()
            raise

    def _requests(self, items: Iterable[Item]) -> Iterator[Whole | Range]:
        """Each when there is memory for it, which is given back when it is done."""
        for number, item in enumerate(items):
            part = f"{self._staging}/{number}"
            if item.source.size <= RANGE:
                self._budget.take(item.source.size)
                yield Whole(item, part)
                continue
            assembly = Assembly(item, part)
            for first, length in assembly.ranges():
                self._budget.take(length)
                yield Range(assembly, first, length)

    def _fetch(self, request: Whole | Range) -> None:
        if isinstance(request, Whole):
            self._fetch_whole(request.item, request.part)
        else:
            self._fetch_range(request.assembly, request.first, request.length)

    def _fetch_whole(self, item: Item, part: str) -> None:
        size = item.source.size
        try:
            body = self._proofs.read(item.bucket, item.source) if size else b""
            file = open_part(part)
            try:
                write_at(file, 0, body)
            finally:
                os.close(file)
        finally:
            self._budget.give(size)
        os.rename(part, item.file)  # noqa: PTH104 - see open_part
        self._placed(item)
        self._progress(1, size)

    def _fetch_range(self, assembly: Assembly, first: int, length: int) -> None:
        item = assembly.item
        try:
            with self._buffers.lent() as buffer:
                body = buffer[:length]
                self._store.read_into(item.bucket, item.source, first, body, self._patience)
                assembly.hot.saw(first, body)
                write_at(assembly.file, first, body)
        finally:
            self._budget.give(length)
        if last := assembly.came():
            again = partial(assembly.fill, budget=self._budget)
            self._proofs.of_file(item.bucket, item.source, assembly.file, again, assembly.hot)
            assembly.place()
            self._placed(item)
        self._progress(int(last), length)


class Parents:
    """Makes the sub-directories that files need, each writable for every user."""

    def __init__(self, channel: Path) -> None:
        self._channel = channel
        self._made: set[str] = set()

    def make(self, path: str) -> None:
        """Those of the file `path`, which is relative to the channel."""
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            folder = "/".join(parts[:count])
            if folder not in self._made:
                make_directory(self._channel / folder)
                if len(self._made) >= REMEMBERED:
                    self._made.clear()  # making one again is harmless
                self._made.add(folder)
