"""gzip by ISA-L at its fastest level: several times the standard library's speed for a few per cent more bytes."""

from __future__ import annotations

from isal import isal_zlib

LEVEL = 1
GZIP_FORMAT = 31


class Gzip:
    """A stream of gzip bytes; the same input gives the same output."""

    def __init__(self) -> None:
        self._stream = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP_FORMAT)

    def add(self, data: bytes | memoryview) -> bytes:
        """What has become ready; may be empty."""
        return bytes(self._stream.compress(data))

    def end(self) -> bytes:
        return bytes(self._stream.flush())
