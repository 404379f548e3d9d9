"""Are a file's bytes those that S3 has? Asked of the object's ETag; what is damaged is fetched again, by our own engine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trainyard.agent.app.store import READINGS, Patience, Refused, Store
from trainyard.agent.core import proof
from trainyard.agent.core.verdict import Target, judge
from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Body, StoredObject, bare_etag

log = logging.getLogger(__name__)
BLOCK = 1024 * 1024
Again = Callable[[Callable[[int, int], Body]], None]
"""Fetches the whole file anew by a function that gives `length` bytes from `first` on."""


@dataclass(frozen=True)
class _Wanted:
    etag: str
    part: int | None


class Proofs:
    """Safe for threads: what they share are facts about buckets, of which none is needed in time."""

    def __init__(self, store: Store, patience: Patience) -> None:
        self._store = store
        self._patience = patience
        self._proven: set[str] = set()
        self._opaque: set[str] = set()

    def of_bytes(self, bucket: str, item: StoredObject, body: Body) -> bool:
        """Are a whole object's bytes right, as far as can be told without asking for more?"""
        digest = proof.plain(item.etag)
        if digest is None or bucket in self._opaque:
            return proof.parts(item.etag) is None or bucket in self._opaque
        found = proof.Digest(None)
        found.add(memoryview(body))
        if found.etag() != digest:
            return False
        self._proven.add(bucket)
        return True

    def of_file(self, bucket: str, item: StoredObject, file: int, again: Again) -> None:
        """Returns when the file (a descriptor) has the object's bytes. Raises Refused where they cannot be had."""
        wanted = self._wanted(bucket, item)
        if wanted is None:
            return
        readings: list[str] = []
        while (found := _etag(file, wanted.part)) != wanted.etag:
            if not readings and self._encrypted(bucket, item):
                self._opaque.add(bucket)
                return
            readings.append(found)
            if len(readings) > READINGS:
                if len(set(readings)) == 1 and self._says_nothing(bucket, wanted):
                    return
                raise self._refusal(bucket, item)
            self._store.damaged += 1
            log.warning("s3://%s/%s came damaged, and is fetched again", bucket, item.key)
            again(lambda first, length: self._store.read(bucket, item, first, length, self._patience, fast=False))
        self._proven.add(bucket)

    def _wanted(self, bucket: str, item: StoredObject) -> _Wanted | None:
        if bucket in self._opaque:
            return None
        if digest := proof.plain(item.etag):
            return _Wanted(digest, None)
        if not (count := proof.parts(item.etag)):
            return None
        first = self._store.about(bucket, item.key, part=1)
        # Parts need not be of one size. Those that clients make are.
        if first is None or not proof.fits(item.size, first.size, count):
            return None
        return _Wanted(bare_etag(item.etag), first.size)

    def _encrypted(self, bucket: str, item: StoredObject) -> bool:
        """With a key by which the ETag is no digest?"""
        about = self._store.about(bucket, item.key)
        return about is not None and about.opaque

    def _says_nothing(self, bucket: str, wanted: _Wanted) -> bool:
        """The same bytes each time: may the ETag be no digest of theirs? Parts may have been of other sizes than the first one."""
        if wanted.part is None:
            if bucket in self._proven:
                return False
            self._opaque.add(bucket)
            log.warning("ETags in bucket %s are no digests: what comes from it is checked for its length only", bucket)
        return True

    def _refusal(self, bucket: str, item: StoredObject) -> Refused:
        fault = StoreFault("damaged", f"ETag {item.etag}, read {READINGS + 1} times")
        return Refused(judge(fault, Target("read", bucket, item.key), self._store.who), fault)


def _blocks(file: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(BLOCK))
    at = 0
    while count := os.preadv(file, [buffer], at):
        yield buffer[:count]
        at += count


def _etag(file: int, part: int | None) -> str:
    digest = proof.Digest(part)
    for block in _blocks(file):
        digest.add(block)
    return digest.etag()
