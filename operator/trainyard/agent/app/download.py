"""Objects to files: many at once, each file whole or not there.

s3fetch brings them, with one attempt at each request. What it cannot bring or prove is brought by our own engine, with patience, and what is
wrong is said by that one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import count
from pathlib import Path

from trainyard.agent.adapters import files
from trainyard.agent.adapters.fetcher import Fetcher
from trainyard.agent.app.coming import Coming, Item, Request, Run
from trainyard.agent.app.hot import Hot
from trainyard.agent.app.patience import Patience
from trainyard.agent.app.proofs import Proofs
from trainyard.agent.app.store import Store
from trainyard.agent.core import layout
from trainyard.agent.ports import Body

log = logging.getLogger(__name__)
MIB = 1024 * 1024
RANGE = 8 * MIB
LARGE = MIB
"""Of requests for more bytes our own engine makes only a few at once, as they are in memory."""
FEW = 8
ABREAST = 4
"""Large files on their way together: writes to one file follow each other, while those to several need not."""
REMEMBERED = 10_000


class Downloader:
    """Fetches items into place. From its threads are called `progress(objects, bytes)`, with what was added, `placed`, and
    `came(bytes)` for each second of transfer."""

    def __init__(
        self,
        store: Store,
        program: Path,
        staging: Path,
        patience: Patience,
        *,
        progress: Callable[[int, int], None] = lambda _objects, _size: None,
        came: Callable[[int], None] = lambda _size: None,
        placed: Callable[[Sequence[Item]], None] = lambda _items: None,
    ) -> None:
        """`program`: s3fetch. `staging`: a directory for files on their way."""
        self._store = store
        self._program = program
        self._staging = staging
        self._patience = patience
        self.progress = progress
        self.came = came
        self.placed = placed
        self._proofs = Proofs(store, patience)
        self._large = threading.Semaphore(FEW)
        self._parts = count()

    def clean(self) -> None:
        """Removes what an earlier process had on its way."""
        files.make_directory(self._staging, 0o700)
        for left in os.scandir(self._staging):
            if left.is_file(follow_symlinks=False):
                os.unlink(left.path)  # noqa: PTH108 - of an entry there is only its path

    def run(self, items: Iterable[Item]) -> None:
        """Returns when all files are in place. The first failure (Refused, OSError, or one of `items`) ends it; after
        Unordered nothing is on its way any more."""
        files.make_directory(self._staging, 0o700)
        run = Run(self, self._fetcher())
        try:
            run.work_off(in_turn(map(self._requests, items)))
        finally:
            run.end()

    def _fetcher(self) -> Fetcher | None:
        try:
            return self._store.fetcher(self._program)
        except OSError as error:
            log.warning("%s cannot be run (%s): input comes slower", self._program, error.strerror)
            return None

    def _requests(self, item: Item) -> Iterator[Request]:
        source, part = item.source, f"{self._staging}/{next(self._parts)}"
        if source.size <= RANGE:
            yield Request(Coming(item, part, 1), 0, source.size, self._proofs.way(item.bucket, source))
            return
        hot = Hot(source, RANGE, opaque=self._proofs.opaque(item.bucket))
        coming = Coming(item, part, -(-source.size // RANGE), hot)
        for first, length in _spans(source.size):
            yield Request(coming, first, length, hot.by)

    def proven(self, bucket: str) -> None:
        self._proofs.trust(bucket)

    def fell_back(self, item: Item, why: str, *, damaged: bool) -> None:
        self._store.fell_back(item.bucket, item.source.key, why)
        if damaged:
            self._store.came_damaged(f"s3://{item.bucket}/{item.source.key}")

    def bring(self, request: Request) -> None:
        coming = request.coming
        file = os.open(coming.part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.fchmod(file, 0o666)  # any user may write to staged files, whatever the umask says
            with self._room(request.length):
                body = self._read(coming.item, request.first, request.length)
                if coming.hot:
                    coming.hot.look(request.first, body)
                _write_at(file, request.first, body)
        finally:
            os.close(file)

    def finish(self, coming: Coming) -> None:
        item, source = coming.item, coming.item.source
        file = os.open(coming.part, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(file, source.size)  # what s3fetch wrote of an answer that was none may be longer
            self._proofs.of_file(item.bucket, source, file, partial(self._fill, file, source.size), coming.hot)
        finally:
            os.close(file)
        os.rename(coming.part, item.file)  # noqa: PTH104 - it is no Path

    def _read(self, item: Item, first: int, length: int) -> Body:
        return self._store.read(item.bucket, item.source, first, length, self._patience) if length else b""

    def _fill(self, file: int, size: int, get: Callable[[int, int], Body]) -> None:
        for first, length in _spans(size):
            with self._room(length):
                _write_at(file, first, get(first, length))

    def _room(self, length: int) -> threading.Semaphore | nullcontext[None]:
        return self._large if length > LARGE else nullcontext()


def in_turn(items: Iterable[Iterator[Request]]) -> Iterator[Request]:
    """The items' requests, one of each in turn, of up to ABREAST items at once. With fewer, another item is looked for after each
    request. Raises what `items` raises."""
    begun: deque[Iterator[Request]] = deque()
    try:
        for item in items:
            begun.append(item)
            yield from _turns(begun, ABREAST)
    except layout.Unordered:
        yield from _turns(begun, 0)  # who begins anew waits for all that has begun
        raise
    yield from _turns(begun, 0)


def _turns(begun: deque[Iterator[Request]], fewer_than: int) -> Iterator[Request]:
    """One request, and more until fewer than that many items have any left. 0: all."""
    while begun:
        request = next(begun[0], None)
        if request is None:
            begun.popleft()
            continue
        begun.rotate(-1)
        yield request
        if len(begun) < fewer_than:
            return


def _spans(size: int) -> Iterator[tuple[int, int]]:
    """(first, length) of each range."""
    return ((first, min(RANGE, size - first)) for first in range(0, size, RANGE))


def _write_at(file: int, first: int, data: Body) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, first)
        view, first = view[written:], first + written


class Parents:
    """Makes the sub-directories that files need, each writable for every user."""

    def __init__(self, channel: Path) -> None:
        self._channel = channel
        self._made: set[str] = set()

    def make(self, path: str) -> None:
        """Those of the file `path`, which is relative to the channel."""
        folder = path.rpartition("/")[0]
        if not folder or folder in self._made:
            return
        parts = folder.split("/")
        for number in range(1, len(parts) + 1):
            folder = "/".join(parts[:number])
            if folder not in self._made:
                files.make_directory(self._channel / folder)
                if len(self._made) >= REMEMBERED:
                    self._made.clear()  # making one again is harmless
                self._made.add(folder)
