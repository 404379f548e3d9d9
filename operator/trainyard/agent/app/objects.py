"""A tree's files as objects of their own below one URI: sent a few at once, recorded, and looked after before the commit.

Each becomes visible as it is sent, after the fence was asked. What this attempt has sent already, in this process or an earlier
one, is not sent again; what it has sent and does not want any more is deleted. What others have written there stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from trainyard.agent.adapters.inventory import Sent
from trainyard.agent.app.multipart import ObjectWriter, Uploads
from trainyard.agent.app.patience import Ask, Patience, Refused
from trainyard.agent.app.store import Store
from trainyard.agent.core.archive import MIB, part_plan
from trainyard.agent.core.layout import is_folder_marker
from trainyard.agent.core.mirror import unfit
from trainyard.agent.ports import Body
from trainyard.api.uris import split_s3_uri

log = logging.getLogger(__name__)
SMALL = 8 * MIB
"""Up to here a file is one request, and held in memory until it has an answer."""
MOST_HELD = 32 * MIB
MOST_SPARE = 4
LITTLE = 128 * 1024
"""Up to here there is nothing to spare."""
THREADS = 8
MOST_PENDING = 4 * THREADS
T = TypeVar("T")


@dataclass(frozen=True)
class _File:
    path: str
    size: int
    sha256: str
    facts: bytes


class Objects:
    """A sink."""

    def __init__(
        self,
        store: Store,
        uri: str,
        *,
        sent: Sent,
        ask: Ask,
        patience: Patience,
        uploads: Uploads,
        pulse: Callable[[], None],
    ) -> None:
        """`uri` ends with a slash. `ask` comes before everything that becomes visible. `pulse` is called for every file."""
        self._store = store
        self._bucket, self._prefix = split_s3_uri(uri)
        self._sent = sent
        self._ask = ask
        self._patience = patience
        self._uploads = uploads
        self._pulse = pulse
        self._pool = ThreadPoolExecutor(THREADS)
        self._pending: dict[Future[None], tuple[_File, bytearray]] = {}
        self._spare: list[bytearray] = []
        self._held = 0
        self._path = ""
        self._size = 0
        self._body = bytearray()
        self._filled = 0
        self._writer: ObjectWriter | None = None
        sent.begin()

    def unfit(self, path: str, size: int) -> str | None:
        if part_plan(size) is None:
            return f"has {size} bytes, too many for one object"
        return unfit(path, self._prefix)

    def has(self, path: str, size: int, facts: bytes) -> str | None:
        found = self._sent.found(path) if facts else None
        if found is None or found[0] != size or found[2] != facts:
            return None
        self._sent.add(path, size, found[1], facts)
        self._pulse()
        return found[1]

    def directory(self, _path: str, _mode: int, _mtime: int) -> None:
        """S3 has none."""

    def begin(self, path: str, size: int, _mode: int, _mtime: int) -> None:
        self._path, self._size = path, size
        plan = part_plan(size)
        if size <= SMALL or plan is None:
            self._body, self._filled = self._memory(size), 0
            return
        self._settle(0, 0)
        self._ask(self._patience)
        self._sent.forget(path)  # from here on nobody knows which version is there
        self._writer = ObjectWriter(
            self._store, self._bucket, self._prefix + path, plan=plan, patience=self._patience, uploads=self._uploads
        )

    def write(self, data: Body) -> None:
        if self._writer is not None:
            self._writer.write(data)
        else:
            end = self._filled + len(data)
            self._body[self._filled : end] = data
            self._filled = end
        self._pulse()

    def end(self, sha256: str, facts: bytes) -> None:
        file = _File(self._path, self._size, sha256, facts)
        if self._writer is not None:
            prepared = self._writer.finish()
            self._ask(self._patience)
            prepared.commit(self._store, self._patience, self._uploads)
            self._writer = None
            self._record(file)
            return
        body, self._body = self._body, bytearray()
        found = self._sent.found(file.path)
        if found is not None and found[:2] == (file.size, sha256):
            self._record(file)
            return
        self._sent.forget(file.path)
        self._settle(MOST_PENDING - 1, max(0, MOST_HELD - len(body)))
        self._held += len(body)
        self._pending[self._pool.submit(self._put, file, memoryview(body)[: file.size])] = file, body

    def finish(self) -> None:
        """Returns when every file is in S3. Raises Refused, and AgentError if the place is another's."""
        self._settle(0, 0)
        self._pool.shutdown()

    def abort(self) -> None:
        """Gives up: what was sent stays, and is known."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for future, (file, _) in self._pending.items():
            if not future.cancelled() and future.exception() is None:
                self._record(file)
        self._pending = {}
        if self._writer is not None:
            self._writer.abort()

    def _put(self, file: _File, body: Body) -> None:
        key = self._prefix + file.path
        self._store.put(self._bucket, key, body, self._patience, sha256=file.sha256, ask=self._ask)

    def _memory(self, size: int) -> bytearray:
        """What a file of about that size has had: new memory would cost as much as what is put into it."""
        for index, spare in enumerate(self._spare):
            if size <= len(spare) <= 2 * size:
                return self._spare.pop(index)
        return bytearray(size)

    def _settle(self, most: int, held: int) -> None:
        """Waits until no more than so many files, and so many bytes, are on their way."""
        while self._pending and (len(self._pending) > most or self._held > held):
            for future in wait(self._pending, return_when=FIRST_COMPLETED).done:
                file, body = self._pending.pop(future)
                self._held -= len(body)
                if len(body) > LITTLE:
                    self._spare = [body, *self._spare[: MOST_SPARE - 1]]
                future.result()
                self._record(file)

    def _record(self, file: _File) -> None:
        self._sent.add(file.path, file.size, file.sha256, file.facts)
        self._pulse()


class Folder:
    """What was sent below one URI, and what else lies there."""

    def __init__(self, store: Store, uri: str, sent: Sent, ask: Ask, pulse: Callable[[], None]) -> None:
        self.uri = uri
        self._pulse = pulse
        self._store = store
        self._bucket, self._prefix = split_s3_uri(uri)
        self._sent = sent
        self._ask = ask

    def settle(
        self, patience: Patience, brief: Patience, former: Iterable[tuple[str, int]], *, keep: bool = False
    ) -> list[str]:
        """Removes what was sent and is not wanted any more, and looks whether all the rest is there; what to warn of.

        `former`: files (path, size) that an earlier attempt has sent. `brief`: for what can be done without. `keep`: what was sent may
        be all that there is of it, and stays. Raises Refused for an upload that has to be made anew.
        """
        if not keep:
            self._sent.adopt(self._each(former))
            self._remove(brief)
        self._sent.look()
        foreign: list[str] = []
        count = 0
        try:
            for page in self._each(self._store.pages(self._bucket, self._prefix, brief)):
                files = (item for item in page if not is_folder_marker(item))
                found = self._sent.seen((item.key.removeprefix(self._prefix), item.size) for item in files)
                count += len(found)
                foreign += found[: 3 - len(foreign)]
        except Refused as refused:
            log.warning("what lies below %s is not known: %s", self.uri, refused)
            return []
        # A listing may be late: the objects themselves are asked before anything is sent again.
        unseen = self._each(self._sent.unseen())
        missing = [path for path, size in unseen if not self._there(path, size, patience)]
        if missing:
            for path in missing:
                self._sent.forget(path)
            raise self._store.spoilt(self._bucket, self._prefix + missing[0], "it was sent, and is not there any more")
        if not count:
            return []
        some = ", ".join(foreign)
        return [
            f"{count} older objects lie below {self.uri}, such as {some}; this run did not write them, and leaves them where they are"
        ]

    def _each(self, items: Iterable[T]) -> Iterator[T]:
        """There may be very many, and each takes a request: that is work, and not silence."""
        for item in items:
            self._pulse()
            yield item

    def _there(self, path: str, size: int, patience: Patience) -> bool:
        try:
            return self._store.head(self._bucket, self._prefix + path, patience).size == size
        except Refused as refused:
            if refused.fault.missing:
                return False
            raise

    def _remove(self, patience: Patience) -> None:
        for path in self._each(self._sent.left()):
            try:
                self._ask(patience)
                self._store.delete(self._bucket, self._prefix + path, patience)
            except Refused as refused:
                log.warning("%s", refused)
                return
            self._sent.forget(path)
