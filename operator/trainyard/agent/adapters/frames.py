"""A stream between two hosts of which no byte is used before it is known to be right.

What lies between hosts - a mesh's proxy, an overlay network, a network card - may take a connection apart, and then TCP vouches for nothing.
So the stream comes in frames: a length, the CRC32 of all bytes up to the frame's end, from the first frame's on, and the bytes. A frame
without bytes is the end. As the CRC goes on, a frame that is lost or comes twice is noticed too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from trainyard.agent.adapters import checksums
from trainyard.agent.ports import Body

HEAD = struct.Struct("!II")
MOST = 256 * 1024
"""Bytes of one frame: what a receiver holds in memory, and waits for before it has anything."""


class Framed:
    """Bytes into frames into `write`, which keeps nothing of what it is given."""

    def __init__(self, write: Callable[[Body], object]) -> None:
        self._write = write
        self._crc = 0

    def write(self, data: Body) -> None:
        view = memoryview(data)
        for first in range(0, len(view), MOST):
            self._put(view[first : first + MOST])

    def end(self) -> None:
        """Without it the stream is no whole one."""
        self._put(b"")

    def _put(self, data: Body) -> None:
        self._crc = checksums.crc32(data, self._crc)
        self._write(HEAD.pack(len(data), self._crc))
        self._write(data)


class Unframed:
    """The other direction. Raises ValueError for bytes that are not those that were sent, and where some are missing."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """`read` returns fewer bytes than it is asked for only at the end."""
        self._read = read
        self._crc = 0
        self._passed = 0
        self._block = memoryview(b"")
        self._ended = False

    def read(self, size: int) -> bytes:
        """Up to so many; none at the end."""
        if not self._block and not self._ended:
            self._block = memoryview(self._next())
            self._ended = not self._block
        data, self._block = self._block[:size], self._block[size:]
        return bytes(data)

    def _next(self) -> bytes:
        length, crc = HEAD.unpack(self._exactly(HEAD.size))
        if length > MOST:
            raise self._changed()
        data = self._exactly(length)
        self._crc = checksums.crc32(data, self._crc)
        if self._crc != crc:
            raise self._changed()
        self._passed += length
        return data

    def _exactly(self, size: int) -> bytes:
        data = self._read(size)
        if len(data) < size:
            raise ValueError("it ended too early")
        return data

    def _changed(self) -> ValueError:
        return ValueError(f"it was changed on the way, after byte {self._passed}")
