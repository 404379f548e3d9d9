"""RecordIO, as Pipe mode wraps objects in it: one record each, whole."""

from __future__ import annotations

import struct

MAGIC = 0xCED7230A
# The length's upper 3 bits say whether a record goes on in the next one, which none does here.
MOST_BYTES = (1 << 29) - 1


def header(size: int) -> bytes:
    """What precedes a record's `size` bytes: magic and length, little-endian. Raises ValueError for more than MOST_BYTES."""
    if size > MOST_BYTES:
        raise ValueError(f"{size} bytes are more than the {MOST_BYTES} that a RecordIO record holds")
    return struct.pack("<II", MAGIC, size)


def padding(size: int) -> bytes:
    """What follows them: zeros up to a multiple of 4."""
    return bytes(-size % 4)
