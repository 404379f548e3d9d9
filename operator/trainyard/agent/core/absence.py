"""When a host whose files are fetched is given up: pure, the time is given."""

from __future__ import annotations

from dataclasses import dataclass

MOST_BREAKS = 10


@dataclass
class _Host:
    since: float | None = None
    """Its first failure since it last delivered anything."""
    delivered: bool = False
    breaks: int = 0


class Absences:
    """Each host has its own clock, and whatever it delivers stops that. But a stream that breaks every time gets nowhere."""

    def __init__(self, patience: float) -> None:
        """`patience` in seconds."""
        self._patience = patience
        self._hosts: dict[str, _Host] = {}

    def delivered(self, host: str) -> None:
        """Bytes came from it."""
        seen = self._hosts.setdefault(host, _Host())
        seen.since = None
        seen.delivered = True

    def failed(self, host: str, now: float) -> bool:
        """It did not answer, or broke off. Is it to be given up?"""
        seen = self._hosts.setdefault(host, _Host())
        if seen.delivered:
            seen.breaks += 1
            seen.delivered = False
        if seen.since is None:
            seen.since = now
        return now - seen.since >= self._patience or seen.breaks >= MOST_BREAKS

    def came(self, host: str) -> None:
        """All of it is here."""
        self._hosts.pop(host, None)
