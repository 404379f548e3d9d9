"""One epoch of a Pipe channel as blocks of bytes: objects in their order, fetched ahead within a fixed number of bytes.

records ──► parts (an object, a value's text) ──► pieces, fetched in parallel ──► unzipped ──► wrapped ──► blocks
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from trainyard.agent.adapters.gzipped import Gunzip
from trainyard.agent.app.catalogue import Catalogue, stored
from trainyard.agent.app.patience import Patience
from trainyard.agent.app.proofs import Claim, Proofs
from trainyard.agent.app.store import Store
from trainyard.agent.core import datamanifest, recordio
from trainyard.agent.errors import ClientFailure
from trainyard.agent.ports import UNKNOWN, Body, Reference, StoredObject
from trainyard.api.reasons import Reason

MIB = 1024 * 1024
MOST_RANGE = 4 * MIB
START = MIB
"""Of an object whose size is not known, asked for at first."""
MOST_PIECES = 64
"""Fetched ahead, however small they are."""
IN_MEMORY = 16 * MIB
"""Of an object whose size shows only when it is unzipped; a larger one is read twice."""


NO_OBJECT = StoredObject("", 0, "")


@dataclass(frozen=True)
class Part:
    """What becomes one record if records are asked for: an object of a bucket, or bytes that are there already."""

    bucket: str = ""
    item: StoredObject = NO_OBJECT
    text: bytes = b""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.item.key}"


@dataclass(frozen=True)
class Arrived:
    """Some bytes, of which object, whose size need not have been known; and with the first of several what all of them must be."""

    body: Body
    item: StoredObject
    claim: Claim | None = None


@dataclass(frozen=True)
class Piece:
    """Some bytes of a part, on their way."""

    part: Part
    first: int
    length: int
    body: Future[Arrived]


class Stream:
    """One epoch. Fetching begins at once. `blocks` raises Refused and ClientFailure, and nothing is given out after that."""

    def __init__(
        self,
        store: Store,
        patience: Patience,
        pool: Executor,
        catalogue: Catalogue,
        epoch: int,
        *,
        ahead: int,
        proofs: Proofs,
    ) -> None:
        """`ahead`: bytes that may be in memory before they are asked for."""
        self._store = store
        self._proofs = proofs
        self._patience = patience
        self._pool = pool
        self._catalogue = catalogue
        self._range = min(MOST_RANGE, max(ahead // 4, 1))
        self._left = ahead
        self._coming: deque[Piece] = deque()
        self._lines = catalogue.lines()
        self._pieces = self._all_pieces(epoch)
        self._next = next(self._pieces, None)
        self._fetch_ahead()

    def blocks(self) -> Iterator[Body]:
        """All bytes, in pieces of any size."""
        while self._coming:
            piece = self._coming[0]
            if self._catalogue.channel.record_wrapper == "RecordIO":
                yield from self._record(piece.part)
            else:
                yield from self._content(piece.part)

    def close(self) -> None:
        """What is on its way is not wanted any more."""
        for piece in self._coming:
            piece.body.cancel()
        self._coming.clear()
        self._lines.close()

    # Ahead

    def _all_pieces(self, epoch: int) -> Iterator[tuple[Part, int, int]]:
        for number in self._catalogue.order(epoch):
            for part in self._parts(number):
                size = part.item.size
                if size == UNKNOWN:
                    yield part, 0, min(START, self._range)
                else:
                    for first in range(0, max(size, 1), self._range):
                        yield part, first, min(self._range, size - first)

    def _parts(self, number: int) -> Iterable[Part]:
        line, channel = self._lines[number], self._catalogue.channel
        if channel.data_type != "AugmentedManifestFile":
            return [Part(self._catalogue.bucket, stored(line))]
        return [
            Part(found.bucket, StoredObject(found.key, UNKNOWN, ""))
            if isinstance(found, Reference)
            else Part(text=found)
            for found in datamanifest.sample(channel, line, number + 1)
        ]

    def _fetch_ahead(self) -> None:
        while self._next is not None and len(self._coming) < MOST_PIECES:
            part, first, length = self._next
            if self._coming and length > self._left:
                return
            self._left -= length
            self._coming.append(Piece(part, first, length, self._pool.submit(self._fetch, part, first, length)))
            self._next = next(self._pieces, None)

    def _fetch(self, part: Part, first: int, length: int) -> Arrived:
        if part.item.size == UNKNOWN:
            body, item = self._store.read_start(part.bucket, part.item.key, length, self._patience)
            if len(body) == item.size:
                return Arrived(self._proofs.of_bytes(part.bucket, item, body), item)
            return Arrived(body, item, self._proofs.claim(part.bucket, item))
        if not length:
            return Arrived(part.text, part.item)
        if length == part.item.size:
            return Arrived(self._proofs.read(part.bucket, part.item), part.item)
        body = self._store.read(part.bucket, part.item, first, length, self._patience)
        return Arrived(body, part.item, None if first else self._proofs.claim(part.bucket, part.item))

    def _take(self) -> Arrived:
        piece = self._coming[0]
        found = piece.body.result()
        self._coming.popleft()
        self._left += piece.length
        self._fetch_ahead()
        return found

    # In order

    def _stored_bytes(self, part: Part) -> Iterator[Body]:
        """The part's bytes as they are in S3, from what is on its way."""
        arrived = self._take()
        body, item, claim = arrived.body, arrived.item, arrived.claim
        verifier = claim.verifier() if claim else None
        read = 0
        while True:
            if verifier:
                verifier.add(body)
            read += len(body)
            yield body
            if self._coming and self._coming[0].part is part:
                body = self._take().body
            elif read < item.size:  # more than was asked for while the size was unknown
                length = min(self._range, item.size - read)
                body = self._store.read(part.bucket, item, read, length, self._patience)
            else:
                break
        if claim and verifier and (fault := verifier.fault()):
            self._proofs.of_stream(part.bucket, item, claim, fault)

    def _content(self, part: Part) -> Iterator[Body]:
        return self._unzipped(part, self._stored_bytes(part))

    def _unzipped(self, part: Part, blocks: Iterable[Body]) -> Iterator[Body]:
        if self._catalogue.channel.compression != "Gzip" or not part.bucket:
            yield from blocks
            return
        gunzip = Gunzip()
        try:
            for block in blocks:
                yield from gunzip.add(block)
            gunzip.end()
        except ValueError as error:
            raise self._refusal(part, f"{error}; leave compressionType out, or compress the object") from error

    def _record(self, part: Part) -> Iterator[Body]:
        size, blocks = self._measured(part)
        try:
            yield recordio.header(size)
        except ValueError as error:
            raise self._refusal(part, f"cannot be a record: {error}") from error
        yield from blocks
        yield recordio.padding(size)

    def _measured(self, part: Part) -> tuple[int, Iterable[Body]]:
        """The size of a part's content, and the content."""
        zipped = self._catalogue.channel.compression == "Gzip" and bool(part.bucket)
        if not zipped:
            if part.item.size != UNKNOWN:
                return part.item.size or len(part.text), self._stored_bytes(part)
            return self._coming[0].body.result().item.size, self._stored_bytes(part)
        size = 0
        kept: list[Body] = []
        item = self._coming[0].body.result().item
        for block in self._content(part):
            size += len(block)
            if size <= IN_MEMORY:
                kept.append(block)
        if size <= IN_MEMORY:
            return size, kept
        kept.clear()
        return size, self._unzipped(part, self._again(part.bucket, item))

    def _again(self, bucket: str, item: StoredObject) -> Iterator[Body]:
        for first in range(0, item.size, self._range):
            yield self._store.read(bucket, item, first, min(self._range, item.size - first), self._patience)

    def _refusal(self, part: Part, why: str) -> ClientFailure:
        name = self._catalogue.channel.name
        return ClientFailure(
            Reason.DATA_DOWNLOAD_FAILED, f'Data download failed:the object {part.uri} of channel "{name}" {why}'
        )
