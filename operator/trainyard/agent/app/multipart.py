"""One object on its way to S3: bytes become parts, and nothing is visible until `commit`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from trainyard.agent.app.patience import Ask, Patience, Refused, nobody
from trainyard.agent.app.store import Store
from trainyard.agent.core import proof
from trainyard.agent.core.archive import PartPlan
from trainyard.agent.ports import Body, bare_etag

TAIL = 64


class Uploads(Protocol):
    """Is told of every upload, by bucket, key and id."""

    def begin(self, bucket: str, key: str, upload: str) -> None: ...

    def end(self, bucket: str, key: str, upload: str) -> None: ...


@dataclass(frozen=True)
class Prepared:
    """An object whose bytes are in S3, or small and here."""

    bucket: str
    key: str
    size: int
    upload: str
    etags: list[str]
    body: Body
    tail: bytes
    """Its last bytes: an archive's checksum is in them."""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def commit(self, store: Store, patience: Patience, uploads: Uploads, ask: Ask = nobody) -> None:
        """Makes it visible. `ask` comes before every try of what nobody else can stop. Raises Refused."""
        if not self.upload:
            store.put(self.bucket, self.key, self.body, patience, ask=ask)
            return
        try:
            store.complete_upload(self.bucket, self.key, self.upload, self.etags, patience)
        except Refused as refused:
            if refused.fault.code != "NoSuchUpload":
                raise
            # Done before, and only the answer was lost? An older object may be as long, and end alike: archives of one shape do.
            if not self._became_it(store, patience):
                raise store.spoilt(self.bucket, self.key, "it is gone") from refused
        else:
            # There are servers that say yes of an upload that is gone, if only another object has its key.
            if not store.ends(self.bucket, self.key, self.size, self.tail, patience):
                said = "its completion was confirmed, but another object has its key"
                raise store.spoilt(self.bucket, self.key, said)
        uploads.end(self.bucket, self.key, self.upload)

    def _became_it(self, store: Store, patience: Patience) -> bool:
        """Is the object that is there made of these parts? Where nothing tells, no: then it is uploaded once more."""
        try:
            found = store.head(self.bucket, self.key, patience)
        except Refused as refused:
            if refused.fault.missing:
                return False
            raise
        return bare_etag(found.etag) == proof.of_parts(self.etags)


class ObjectWriter:
    """Collects bytes into parts and sends them, a few at once. Small objects stay here until they are committed."""

    def __init__(
        self, store: Store, bucket: str, key: str, *, plan: PartPlan, patience: Patience, uploads: Uploads
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._key = key
        self._plan = plan
        self._patience = patience
        self._uploads = uploads
        self._buffer = bytearray()
        self._small: Body = b""
        self._spare: list[bytearray] = []
        self._upload = ""
        self._etags: list[str] = []
        self._short = False
        self._pending: set[Future[None]] = set()
        self._pool = ThreadPoolExecutor(max(1, plan.in_flight))
        self._size = 0
        self._tail = b""

    def write(self, data: Body) -> None:
        """Raises Refused, of this part or an earlier one."""
        self._size += len(data)
        self._tail = (self._tail + bytes(data[-TAIL:]))[-TAIL:]
        view = memoryview(data)
        while view:
            room = self._plan.size - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == self._plan.size:
                body, self._buffer = self._buffer, bytearray()
                self._send(self._put, body)
                del body

    def take(self, file: int, size: int, spare: list[bytearray]) -> bool:
        """All of an open file of `size` bytes, and nothing else: read where it is sent, several parts at once. False: it has become
        shorter. `spare`: memory that one file after another uses, as new memory would cost as much as what is put into it;
        a small object lies there until the next one is taken. Raises Refused."""
        self._size = size
        self._spare = spare
        if size <= self._plan.size:
            buffer = self._memory()
            self._small = memoryview(buffer)[:size]
            spare.append(buffer)
            whole = _read(file, self._small, 0)
            self._tail = bytes(self._small[-TAIL:])
            return whole
        for first in range(0, size, self._plan.size):
            self._send(self._put_from, file, first, min(self._plan.size, size - first))
        self._settle(0)
        return not self._short

    def finish(self) -> Prepared:
        """Returns when every part is there. Raises Refused."""
        if self._upload and self._buffer:
            body, self._buffer = self._buffer, bytearray()
            self._send(self._put, body)
            del body
        self._settle(0)
        self._pool.shutdown()
        self._spare = []
        return Prepared(
            self._bucket,
            self._key,
            self._size,
            self._upload,
            self._etags,
            self._small or self._buffer,
            self._tail,
        )

    def abort(self) -> None:
        """Gives up, and takes back what was sent."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._buffer, self._spare = bytearray(), []
        if self._upload:
            with contextlib.suppress(Refused):
                self._store.abort_upload(self._bucket, self._key, self._upload)
                self._uploads.end(self._bucket, self._key, self._upload)

    def _send(self, put: Callable[..., None], *what: object) -> None:
        if not self._upload:
            self._upload = self._store.start_upload(self._bucket, self._key, self._patience)
            self._uploads.begin(self._bucket, self._key, self._upload)
        self._etags.append("")
        self._settle(max(0, self._plan.in_flight - 1))
        self._pending.add(self._pool.submit(put, len(self._etags), *what))
        if not self._plan.in_flight:
            self._settle(0)

    def _put(self, number: int, body: Body) -> None:
        etag = self._store.put_part(
            self._bucket, self._key, self._upload, number=number, body=body, patience=self._patience
        )
        self._etags[number - 1] = etag
        self._patience.notify(None)

    def _put_from(self, number: int, file: int, first: int, length: int) -> None:
        buffer = self._memory()
        body = memoryview(buffer)[:length]
        if _read(file, body, first):
            if first + length == self._size:
                self._tail = bytes(body[-TAIL:])
            self._put(number, body)
        else:
            self._short = True
        self._spare.append(buffer)

    def _memory(self) -> bytearray:
        """For one part."""
        with contextlib.suppress(IndexError):
            buffer = self._spare.pop()
            if len(buffer) == self._plan.size:
                return buffer
            self._spare.clear()  # of a file whose parts had another size
        return bytearray(self._plan.size)

    def _settle(self, most: int) -> None:
        while len(self._pending) > most:
            done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
            for each in done:
                each.result()


def _read(file: int, into: memoryview, first: int) -> bool:
    """Fills it with a file's bytes from `first` on. False: there are not so many."""
    while into:
        count = os.preadv(file, [into], first)
        if not count:
            return False
        into, first = into[count:], first + count
    return True
