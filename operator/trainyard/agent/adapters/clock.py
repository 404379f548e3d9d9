"""Clocks: one that runs on through restarts and suspends, for decisions; the wall's, for reports."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

# No interpreter takes longer to get here. A start that seems to lie further back is none that this kernel keeps.
LONGEST_START_SECONDS = 60


def now() -> float:
    """Seconds since this machine booted, alike in all its processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def began() -> float:
    """When this process began: before its imports, which on a busy node take seconds."""
    here = now()
    # Of proc(5)'s fields, those behind the program's name, which may hold anything.
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    start = ticks / os.sysconf("SC_CLK_TCK")
    return start if here - LONGEST_START_SECONDS <= start <= here else here


def wall() -> datetime:
    return datetime.now(UTC)


def wall_at(moment: float) -> datetime:
    """The wall's time at a moment of `now`'s clock."""
    return datetime.fromtimestamp(time.time() - now() + moment, UTC)
