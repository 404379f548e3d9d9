"""ETags as digests: of an object's bytes, or of the digests of the parts that it was uploaded in.

S3 promises that for objects that are not encrypted with KMS or with a key of one's own, and other servers do alike.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from trainyard.agent.ports import bare_etag

_PLAIN = re.compile(r"[0-9a-f]{32}")
_COMPOSITE = re.compile(r"[0-9a-f]{32}-([1-9][0-9]*)")


def plain(etag: str) -> str | None:
    """The MD5 (hex) that an object's bytes must have; None for an ETag of another form."""
    bare = bare_etag(etag)
    return bare if _PLAIN.fullmatch(bare) else None


def parts(etag: str) -> int | None:
    """How many parts the object was uploaded in; None for an ETag of another form."""
    found = _COMPOSITE.fullmatch(bare_etag(etag))
    return int(found[1]) if found else None


def fits(size: int, part: int, count: int) -> bool:
    """Can an object of `size` bytes have come in `count` parts of `part` bytes, the last one as large or smaller?"""
    return part > 0 and -(-size // part) == count


def of_parts(etags: Sequence[str]) -> str | None:
    """The ETag (without quotes) of an object that was uploaded in parts with these; None where they are no digests."""
    digests = [plain(etag) for etag in etags]
    if None in digests:
        return None
    joined = b"".join(bytes.fromhex(digest) for digest in digests if digest)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(digests)}"


class Digest:
    """Grows with an object's bytes, in order. `part`: bytes in each part; None: it came as a whole."""

    def __init__(self, part: int | None) -> None:
        self._part = part
        self._left = part or 0
        self._now = hashlib.md5(usedforsecurity=False)
        self._done: list[bytes] = []

    def add(self, block: memoryview) -> None:
        while self._part and len(block) >= self._left:
            self._now.update(block[: self._left])
            block = block[self._left :]
            self._done.append(self._now.digest())
            self._now = hashlib.md5(usedforsecurity=False)
            self._left = self._part
        self._left -= len(block)
        self._now.update(block)

    def etag(self) -> str:
        """Without quotes."""
        if self._part is None:
            return self._now.hexdigest()
        digests = self._done + ([self._now.digest()] if self._left < self._part else [])
        return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"
