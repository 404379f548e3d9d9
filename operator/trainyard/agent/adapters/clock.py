"""Clocks: one that runs on through restarts and suspends, for decisions; the wall's, for reports."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> float:
    """Seconds since this machine booted, alike in all its processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall() -> datetime:
    return datetime.now(UTC)


def wall_at(moment: float) -> datetime:
    """The wall's time at a moment of `now`'s clock."""
    return datetime.fromtimestamp(time.time() - now() + moment, UTC)
