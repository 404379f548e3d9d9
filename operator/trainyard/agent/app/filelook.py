"""One checkpoint file at one look: what tells its versions apart, and whether it is closed."""

from __future__ import annotations

import os
import time

from trainyard.agent.adapters.leases import being_written
from trainyard.agent.core import mirror


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
