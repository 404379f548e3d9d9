"""One object on its way to S3: bytes become parts, and nothing is visible until `commit`."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from trainyard.agent.app.store import Patience, Refused, Store
from trainyard.agent.core.archive import PartPlan

TAIL = 64
Remember = Callable[[str, str, str], None]
"""Called with bucket, key and id of an upload that was started; with an empty id when it is over."""


@dataclass(frozen=True)
class Prepared:
    """An object whose bytes are in S3 (or small and here). `files`: how many it holds."""

    bucket: str
    key: str
    size: int
    sha256: str
    upload: str
    etags: list[str]
    body: bytes
    tail: bytes
    """Its last bytes: an archive's checksum is in them."""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def commit(self, store: Store, patience: Patience, remember: Remember) -> None:
        """Makes it visible. Raises Refused."""
        if not self.upload:
            store.put(self.bucket, self.key, self.body, patience)
            return
        answered = True
        try:
            store.complete_upload(self.bucket, self.key, self.upload, self.etags, patience)
        except Refused as refused:
            if refused.fault.code != "NoSuchUpload":
                raise
            answered = False  # done before, and only the answer was lost?
        # Also after a yes: there are servers that say it of an upload that is gone, if only another object has its key.
        if not store.ends(self.bucket, self.key, self.size, self.tail, patience):
            said = "its completion was confirmed, but another object has its key" if answered else "it is gone"
            raise store.spoilt(self.bucket, self.key, said)
        remember(self.bucket, self.key, "")


class ObjectWriter:
    """Collects bytes into parts and sends them, a few at once. Small objects stay here until they are committed."""

    def __init__(
        self, store: Store, bucket: str, key: str, *, plan: PartPlan, patience: Patience, remember: Remember
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._key = key
        self._plan = plan
        self._patience = patience
        self._remember = remember
        self._buffer = bytearray()
        self._upload = ""
        self._etags: list[str] = []
        self._pending: set[Future[None]] = set()
        self._pool = ThreadPoolExecutor(max(1, plan.in_flight))
        self._digest = hashlib.sha256()
        self._size = 0
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Raises Refused, of this part or an earlier one."""
        self._digest.update(data)
        self._size += len(data)
        self._tail = (self._tail + data[-TAIL:])[-TAIL:]
        view = memoryview(data)
        while view:
            room = self._plan.size - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == self._plan.size:
                self._send()

    def finish(self) -> Prepared:
        """Returns when every part is there. Raises Refused."""
        if self._upload and self._buffer:
            self._send()
        self._settle(0)
        self._pool.shutdown()
        return Prepared(
            self._bucket,
            self._key,
            self._size,
            self._digest.hexdigest(),
            self._upload,
            self._etags,
            bytes(self._buffer),
            self._tail,
        )

    def abort(self) -> None:
        """Gives up, and takes back what was sent."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._buffer = bytearray()
        if self._upload:
            with contextlib.suppress(Refused):
                self._store.abort_upload(self._bucket, self._key, self._upload)
                self._remember(self._bucket, self._key, "")

    def _send(self) -> None:
        if not self._upload:
            self._upload = self._store.start_upload(self._bucket, self._key, self._patience)
            self._remember(self._bucket, self._key, self._upload)
        body, self._buffer = self._buffer, bytearray()
        self._etags.append("")
        self._settle(max(0, self._plan.in_flight - 1))
        self._pending.add(self._pool.submit(self._put, len(self._etags), body))
        del body
        if not self._plan.in_flight:
            self._settle(0)

    def _put(self, number: int, body: bytearray) -> None:
        etag = self._store.put_part(
            self._bucket, self._key, self._upload, number=number, body=body, patience=self._patience
        )
        self._etags[number - 1] = etag
        self._patience.notify(None)

    def _settle(self, most: int) -> None:
        while len(self._pending) > most:
            done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
            for each in done:
                each.result()
