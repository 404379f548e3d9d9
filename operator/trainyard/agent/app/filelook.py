"""One checkpoint file at one look: what tells its versions apart, whether it is closed, and its bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from trainyard.agent.adapters.leases import being_written
from trainyard.agent.core import mirror

CHUNK = 1024 * 1024


def signature(status: os.stat_result) -> bytes:
    return mirror.signature(status.st_size, status.st_mtime_ns, status.st_ino)


def told(status: os.stat_result) -> bool:
    """Will another signature tell of another version? Of a file that changed just now it need not."""
    return not 0 <= time.time() - status.st_ctime < mirror.RACY_SECONDS


def closed(descriptor: int, status: os.stat_result, *, steady: bool, last: bool) -> bool:
    """May the file be taken for whole? `steady`: it was the same at the look before; `last`: there is no look after this one."""
    written = being_written(descriptor)
    if last or written is True:
        return (
            not written
        )  # also at a last look training may still be there, and half a file is worth less than the one before
    if not told(status):
        return False
    return steady if written is None else True


def copy(descriptor: int, size: int, write: Callable[[bytes], object]) -> bool:
    """The first `size` bytes; False if there are fewer."""
    position = 0
    while position < size:
        data = os.pread(descriptor, min(CHUNK, size - position), position)
        if not data:
            return False
        write(data)
        position += len(data)
    return True
