"""How fast bytes come or go: a word of it while that is slow."""

from __future__ import annotations

SLOW = 100_000
"""Bytes a second: no S3 that is well, and no line that data is meant to come over, is below."""
STEPS = (30, 10, 3, 1)


class Pace:
    """Of totals that grow. The word has steps, so that it does not change with every look."""

    def __init__(self, window: float) -> None:
        """`window`: seconds of transfer that are looked at together."""
        self._window = window
        self._bytes = 0
        self._seconds = 0.0
        self.slow: str | None = None
        """Such as "about 3 kB/s"."""

    def look(self, size: int, seconds: float) -> str | None:
        """What is slow now. `size` bytes in `seconds` of transfer, from the beginning. Less than before: another process has begun anew."""
        if size < self._bytes or seconds < self._seconds:
            self._bytes, self._seconds = 0, 0.0
        passed = seconds - self._seconds
        if passed >= self._window and passed:
            self.slow = _told((size - self._bytes) / passed)
            self._bytes, self._seconds = size, seconds
        return self.slow


def _told(rate: float) -> str | None:
    if rate >= SLOW:
        return None
    return next((f"about {step} kB/s" for step in STEPS if rate >= step * 1000), "less than 1 kB/s")
