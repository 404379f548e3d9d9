"""Are the bytes that came those that S3 has? Asked of the object's stored checksum, and of its ETag.

The checksum that S3 has stored comes first: it comes with an object of one request, and costs a HEAD for one of several. Else it is the ETag,
if that is an MD5, or that of parts. What is damaged is fetched again by our own engine.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from trainyard.agent.adapters import checksums
from trainyard.agent.adapters.fetcher import BY_ANSWER, BY_MD5, BY_NOTHING
from trainyard.agent.app.hot import Hot
from trainyard.agent.app.patience import READINGS, Patience, Refused
from trainyard.agent.app.store import Store
from trainyard.agent.core import proof
from trainyard.agent.core.verdict import Target, judge
from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Body, StoredObject, bare_etag

log = logging.getLogger(__name__)
BLOCK = 1024 * 1024
RANGE = 4 * 1024 * 1024
Again = Callable[[Callable[[int, int], Body]], None]
"""Fetches the whole file anew by a function that gives `length` bytes from `first` on."""


class Verifier(Protocol):
    """Takes an object's bytes in order."""

    def add(self, data: Body) -> None: ...

    def fault(self) -> str:
        """What is wrong with them; empty: nothing."""
        ...


class _ByEtag:
    def __init__(self, etag: str, part: int | None) -> None:
        self._etag = etag
        self._digest = proof.Digest(part)

    def add(self, data: Body) -> None:
        self._digest.add(memoryview(data))

    def fault(self) -> str:
        found = self._digest.etag()
        return "" if found == self._etag else f"its bytes have ETag {found}, and S3 has {self._etag}"


@dataclass(frozen=True)
class Claim:
    """What S3 says of an object's bytes: a checksum (NAME=VALUE) or an ETag, either perhaps of parts of `part` bytes each."""

    checksum: str = ""
    etag: str = ""
    part: int | None = None

    def verifier(self) -> Verifier:
        return checksums.Verifier(self.checksum, self.part) if self.checksum else _ByEtag(self.etag, self.part)

    def fault(self, blocks: Iterable[Body]) -> str:
        verifier = self.verifier()
        for block in blocks:
            verifier.add(block)
        return verifier.fault()


class Proofs:
    """Safe for threads: what they share are facts about buckets, of which none is needed in time. All methods raise Refused."""

    def __init__(self, store: Store, patience: Patience) -> None:
        self._store = store
        self._patience = patience
        self._proven: set[str] = set()
        self._opaque: set[str] = set()

    def read(self, bucket: str, item: StoredObject) -> Body:
        """A whole object, of a size for one request."""
        if item.checksum and not checksums.of_parts(item.checksum):
            # Our own engine gets it with the bytes, and compares them.
            body, verified = self._store.read_whole(bucket, item, self._patience)
        else:
            body, verified = self._store.read(bucket, item, 0, item.size, self._patience), False
        return body if verified else self.of_bytes(bucket, item, body)

    def way(self, bucket: str, item: StoredObject) -> str:
        """How such an object's bytes are to be looked at while s3fetch brings them."""
        if not item.size:
            return BY_NOTHING
        if item.checksum and not checksums.of_parts(item.checksum):
            return BY_ANSWER
        tells = item.checksum or self._md5(bucket, item) or (bucket not in self._opaque and proof.parts(item.etag))
        return BY_MD5 if tells else BY_NOTHING

    def opaque(self, bucket: str) -> bool:
        """Are ETags there known to be no digests?"""
        return bucket in self._opaque

    def trust(self, bucket: str) -> None:
        """An ETag there was the MD5 of an object's bytes."""
        self._proven.add(bucket)

    def of_bytes(self, bucket: str, item: StoredObject, body: Body) -> Body:
        """A whole object's bytes as they should be, if these are not so."""
        digest = self._md5(bucket, item)
        if digest and not Claim(etag=digest).fault([body]):
            self._proven.add(bucket)
            return body
        kept = [body]

        def again() -> None:
            kept[0] = self._store.read(bucket, item, 0, item.size, self._patience)

        claim = self.claim(bucket, item)
        if claim is None:
            return body
        if self._settle(bucket, item, claim, lambda: kept, again) and claim.checksum and digest and kept[0] is body:
            self._opaque.add(bucket)
        return kept[0]

    def of_file(self, bucket: str, item: StoredObject, file: int, again: Again, hot: Hot | None = None) -> None:
        """Returns when the file (a descriptor) has the object's bytes. If `hot` saw them come, it is only read if they look wrong."""
        if hot and hot.etag and bucket not in self._opaque and hot.etag == bare_etag(item.etag):
            self._proven.add(bucket)
            return
        claim = self.claim(bucket, item)
        if claim is not None and not (hot and claim.checksum and claim.checksum == hot.checksum):
            self._settle(bucket, item, claim, lambda: _blocks(file), lambda: again(self._anew(bucket, item)))

    def of_stream(self, bucket: str, item: StoredObject, claim: Claim, fault: str) -> None:
        """Bytes that are given out already, so that they cannot be fetched again, were found to have that fault."""
        anew = self._anew(bucket, item)

        def blocks() -> Iterator[Body]:
            return (anew(first, min(RANGE, item.size - first)) for first in range(0, item.size, RANGE))

        # An ETag need not be a digest, nor parts of one size: that shows when the object is read once more.
        if (claim.checksum and claim.part is None) or self._settle(bucket, item, claim, blocks, lambda: None):
            raise self._refusal(bucket, item, fault)

    def claim(self, bucket: str, item: StoredObject) -> Claim | None:
        """None: nothing tells what the bytes must be."""
        if item.checksum and (found := self._by_checksum(bucket, item)):
            return found
        if digest := self._md5(bucket, item):
            return Claim(etag=digest)
        if bucket in self._opaque or not (count := proof.parts(item.etag)):
            return None
        part = self._part(bucket, item, count)
        return Claim(etag=bare_etag(item.etag), part=part) if part else None

    def _by_checksum(self, bucket: str, item: StoredObject) -> Claim | None:
        found = self._store.head(bucket, item.key, self._patience)
        if not found.checksum or bare_etag(found.etag) != bare_etag(item.etag):
            return None
        if not checksums.of_parts(found.checksum):
            return Claim(checksum=found.checksum)
        part = self._part(bucket, item, checksums.parts(found.checksum) or 0)
        return Claim(checksum=found.checksum, part=part) if part else None

    def _part(self, bucket: str, item: StoredObject, count: int) -> int | None:
        """Bytes of each of the parts that the object came in. They need not be of one size; those that clients make are."""
        first = self._store.about(bucket, item.key, part=1)
        return first.size if first is not None and proof.fits(item.size, first.size, count) else None

    def _md5(self, bucket: str, item: StoredObject) -> str | None:
        return None if bucket in self._opaque else proof.plain(item.etag)

    def _anew(self, bucket: str, item: StoredObject) -> Callable[[int, int], Body]:
        return lambda first, length: self._store.read(bucket, item, first, length, self._patience)

    def _settle(
        self,
        bucket: str,
        item: StoredObject,
        claim: Claim,
        blocks: Callable[[], Iterable[Body]],
        again: Callable[[], None],
    ) -> bool:
        """Fetches the bytes again until they are as claimed. False: the claim turned out to say nothing."""
        faults: list[str] = []
        while fault := claim.fault(blocks()):
            if claim.etag and not faults and self._encrypted(bucket, item):
                self._opaque.add(bucket)
                return False
            faults.append(fault)
            if len(faults) > READINGS:
                if len(set(faults)) == 1 and self._says_nothing(bucket, item, claim):
                    return False
                raise self._refusal(bucket, item, fault)
            self._store.came_damaged(f"s3://{bucket}/{item.key}")
            again()
        if claim.etag:
            self._proven.add(bucket)
        return True

    def _encrypted(self, bucket: str, item: StoredObject) -> bool:
        """With a key by which the ETag is no digest?"""
        about = self._store.about(bucket, item.key)
        return about is not None and about.opaque

    def _says_nothing(self, bucket: str, item: StoredObject, claim: Claim) -> bool:
        """The same bytes each time: may the claim not be about them? An ETag may be no digest, and parts of other sizes than the first."""
        if claim.checksum:
            return claim.part is not None and not self._even(
                bucket, item, claim.part, checksums.parts(claim.checksum) or 0
            )
        if claim.part is not None:
            return bucket not in self._proven or not self._even(bucket, item, claim.part, proof.parts(item.etag) or 0)
        if bucket in self._proven:
            return False
        self._opaque.add(bucket)
        log.warning("ETags in bucket %s are no digests: what has no checksum is checked for its length only", bucket)
        return True

    def _even(self, bucket: str, item: StoredObject, part: int, count: int) -> bool:
        """Are all parts but the last of the size of the first, as far as S3 says? One request each, and only where all else fails."""
        said = (self._store.about(bucket, item.key, part=number) for number in range(2, count))
        return all(about is None or about.size == part for about in said)

    def _refusal(self, bucket: str, item: StoredObject, fault: str) -> Refused:
        found = StoreFault("damaged", fault)
        return Refused(judge(found, Target("read", bucket, item.key), self._store.who), found)


def _blocks(file: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(BLOCK))
    at = 0
    while count := os.preadv(file, [buffer], at):
        yield buffer[:count]
        at += count
