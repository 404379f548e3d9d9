"""Objects to files: parallel, within a fixed number of bytes in memory, each file whole or not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from trainyard.agent.adapters.files import make_directory
from trainyard.agent.app.proofs import Proofs
from trainyard.agent.app.store import Patience, Store
from trainyard.agent.core import layout
from trainyard.agent.ports import Body, StoredObject

MIB = 1024 * 1024
RANGE = 8 * MIB
WORKERS = 16
IN_MEMORY = 8 * RANGE
QUEUED = 4 * WORKERS
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


class Assembly:
    """A file that grows from ranges in any order; the last one puts it in its place."""

    def __init__(self, item: Item, part: Path) -> None:
        self.item = item
        self._part = part
        self._missing = max(1, -(-item.source.size // RANGE))
        self._lock = threading.Lock()
        self._file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        os.fchmod(self._file, 0o666)  # any user may write to staged files, whatever the umask says
        if item.source.size > RANGE:
            os.posix_fallocate(self._file, 0, item.source.size)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """(first byte, length) of each request; none for an empty object."""
        size = self.item.source.size
        return ((first, min(RANGE, size - first)) for first in range(0, size, RANGE))

    @property
    def file(self) -> int:
        """The descriptor of what is there so far."""
        return self._file

    def write(self, first: int, data: Body) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, first)
            view, first = view[written:], first + written

    def fill(self, get: Callable[[int, int], Body]) -> None:
        """Writes every range anew, as `get` gives it."""
        for first, length in self.ranges():
            self.write(first, get(first, length))

    def came(self) -> bool:
        """One range less to come. True when that was the last."""
        with self._lock:
            self._missing -= 1
            return not self._missing

    def place(self) -> None:
        os.close(self._file)
        self._part.rename(self.item.file)


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
        self._proofs = Proofs(store, patience)

    def run(self, items: Iterable[Item]) -> None:
        """Returns when all files are in place. The first failure (Refused, OSError, or one of `items`) ends it; after
        Unordered nothing is on its way any more."""
        make_directory(self._staging, 0o700)
        pool = ThreadPoolExecutor(WORKERS)
        patient = False
        try:
            self._run(pool, items)
        except layout.Unordered:
            patient = True
            raise
        finally:
            # After a failure others may be waiting for their next try: nobody waits for them.
            pool.shutdown(wait=patient, cancel_futures=True)

    def _run(self, pool: ThreadPoolExecutor, items: Iterable[Item]) -> None:
        pending: set[Future[None]] = set()
        for number, item in enumerate(items):
            assembly = Assembly(item, self._staging / str(number))
            for first, length in assembly.ranges():
                pending.add(pool.submit(self._fetch, assembly, first, length))
                pending = self._settle(pending, QUEUED)
            if not item.source.size:
                self._place(assembly)
                self._progress(1, 0)
        self._settle(pending, 0)

    def _settle(self, pending: set[Future[None]], most: int) -> set[Future[None]]:
        """Waits until at most `most` requests are pending; raises the first failure."""
        while len(pending) > most:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for each in done:
                each.result()
        return pending

    def _fetch(self, assembly: Assembly, first: int, length: int) -> None:
        item = assembly.item
        self._budget.take(length)
        try:
            assembly.write(first, self._read(item, first, length))
        finally:
            self._budget.give(length)
        if last := assembly.came():
            if length < item.source.size:  # what comes at once is proven as it is read
                self._proofs.of_file(item.bucket, item.source, assembly.file, assembly.fill)
            self._place(assembly)
        self._progress(int(last), length)

    def _read(self, item: Item, first: int, length: int) -> Body:
        if length == item.source.size:
            return self._proofs.read(item.bucket, item.source)
        return self._store.read(item.bucket, item.source, first, length, self._patience)

    def _place(self, assembly: Assembly) -> None:
        assembly.place()
        self._placed(assembly.item)


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
