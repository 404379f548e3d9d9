"""A stream of bytes as lines of bounded length."""

from __future__ import annotations

# Container runtimes write a longer line in pieces of this size; the kubelet puts them together again.
LINE_BYTES = 16 << 10


class Lines:
    """Never holds more than one line's `limit`; of a longer line the rest is dropped."""

    def __init__(self, limit: int = LINE_BYTES) -> None:
        self._limit = limit
        self._begun = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends."""
        *complete, last = data.split(b"\n")
        if complete:
            complete[0] = self._begun + complete[0]
            self._begun = b""
        self._begun = (self._begun + last)[: self._limit]
        return [line[: self._limit] for line in complete]

    def end(self) -> list[bytes]:
        """What was begun and never completed."""
        begun, self._begun = self._begun, b""
        return [begun] if begun else []
