"""What is known of a job beyond its objects. Losing it, by a restart, delays things and never breaks them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from trainyard.api.report import Report
from trainyard.controller.adapters.cache import Key
from trainyard.controller.core.hindrance import Hindrance
from trainyard.controller.core.snapshot import Missed, Refusal


@dataclass
class Memory:
    """`written`: the loop's time of the last status write; `held_back`: since when a record waits for a better one.
    `shadowed`: None until it was looked for.
    `unadopted`: it has ended, and its plan could not be given to it; without that the operator clears up when the job is deleted."""

    uid: str
    refusal: Refusal | None = None
    missed: Missed | None = None
    hindrance: Hindrance | None = None
    unadopted: bool = False
    blocked_since: dict[tuple[str, str], datetime] = field(default_factory=dict)
    shadowed: tuple[str, ...] | None = None
    reports: dict[str, Report] = field(default_factory=dict)
    written: float = -1e9
    held_back: float | None = None


class Memories:
    """By job key; a job of the same name with another uid starts afresh."""

    def __init__(self) -> None:
        self._memories: dict[Key, Memory] = {}

    def of(self, key: Key, uid: str) -> Memory:
        found = self._memories.get(key)
        if found is None or found.uid != uid:
            found = self._memories[key] = Memory(uid)
        return found

    def forget(self, key: Key) -> None:
        self._memories.pop(key, None)
