"""What an object's ranges say of its bytes, looked at when they came: a file need not be read again to be verified."""

from __future__ import annotations

import base64
import hashlib

from trainyard.agent.adapters import checksums
from trainyard.agent.adapters.fetcher import BY_CRC32, BY_MD5, BY_NOTHING
from trainyard.agent.core import crc, proof
from trainyard.agent.ports import Body, StoredObject


class Hot:
    """Of one object that comes in ranges of `size` bytes, in any order, each from one thread."""

    def __init__(self, item: StoredObject, size: int, *, opaque: bool = False) -> None:
        """`opaque`: its ETag is no digest."""
        # Parts as large as the ranges are: so most clients upload, and if one has not, the digest shows that.
        count = None if opaque else proof.parts(item.etag)
        fits = count is not None and proof.fits(item.size, size, count)
        self.by = BY_CRC32 if item.checksum == "CRC32" else BY_MD5 if fits else BY_NOTHING
        """How each range is to be looked at."""
        self._seen: dict[int, tuple[int, bytes]] = {}

    def saw(self, first: int, length: int, digest: bytes) -> None:
        if self.by != BY_NOTHING:
            self._seen[first] = (length, digest)

    def look(self, first: int, body: Body) -> None:
        """The same of bytes that are at hand."""
        if self.by == BY_CRC32:
            self.saw(first, len(body), checksums.crc32(body).to_bytes(4, "big"))
        elif self.by == BY_MD5:
            self.saw(first, len(body), hashlib.md5(body, usedforsecurity=False).digest())

    @property
    def checksum(self) -> str:
        """Of the whole object, once all of it was seen, as NAME=VALUE; empty where none is known."""
        if self.by != BY_CRC32:
            return ""
        whole = 0
        for _, (length, digest) in sorted(self._seen.items()):
            whole = crc.joined(whole, int.from_bytes(digest, "big"), length)
        return f"CRC32={base64.b64encode(whole.to_bytes(4, 'big')).decode()}"

    @property
    def etag(self) -> str:
        """The same as an ETag without quotes."""
        if self.by != BY_MD5:
            return ""
        digests = b"".join(digest for _, (_, digest) in sorted(self._seen.items()))
        return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(self._seen)}"
