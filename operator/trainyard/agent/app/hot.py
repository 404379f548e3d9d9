"""What an object's ranges say of its bytes, looked at when they came: a file need not be read again to be verified."""

from __future__ import annotations

import base64
import hashlib
import threading

from trainyard.agent.adapters import checksums
from trainyard.agent.core import crc, proof
from trainyard.agent.ports import Body, StoredObject


class Hot:
    """Of one object that comes in ranges of `size` bytes, in any order. Safe for threads. One that came twice counts once."""

    def __init__(self, item: StoredObject, size: int) -> None:
        self._crc32 = item.checksum == "CRC32"
        # Parts as large as the ranges are: so most clients upload, and if one has not, the digest shows that.
        count = proof.parts(item.etag)
        self._md5 = not self._crc32 and count is not None and proof.fits(item.size, size, count)
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[int, int | bytes]] = {}

    def saw(self, first: int, body: Body) -> None:
        found: int | bytes
        if self._crc32:
            found = checksums.crc32(body)
        elif self._md5:
            found = hashlib.md5(body, usedforsecurity=False).digest()
        else:
            return
        with self._lock:
            self._seen[first] = (len(body), found)

    @property
    def checksum(self) -> str:
        """Of the whole object, once all of it was seen, as NAME=VALUE; empty where none is known."""
        if not self._crc32:
            return ""
        whole = 0
        for _, (length, found) in sorted(self._seen.items()):
            assert isinstance(found, int)
            whole = crc.joined(whole, found, length)
        return f"CRC32={base64.b64encode(whole.to_bytes(4, 'big')).decode()}"

    @property
    def etag(self) -> str:
        """The same as an ETag without quotes."""
        if not self._md5:
            return ""
        digests = b"".join(found for _, (_, found) in sorted(self._seen.items()) if isinstance(found, bytes))
        return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(self._seen)}"
