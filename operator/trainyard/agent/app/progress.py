"""How far staging is, for the sidecar's report."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from trainyard.agent.adapters import clock, files
from trainyard.api.report import Phase

PROGRESS_SECONDS = 2.0


class Progress:
    """Counts, and tells the sidecar through a file: at once on a new phase, else every few seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._phase = Phase.STAGING
        self._written = 0.0
        self._lock = threading.Lock()
        self.objects = 0
        self.bytes = 0
        self._listed = 0
        self._came = 0
        self._coming = 0
        self._message: str | None = None
        self.more: Callable[[], dict[str, int]] = dict
        """Further counts to tell."""
        self.enter(Phase.STAGING)

    def add(self, objects: int, size: int) -> None:
        with self._lock:
            self.objects += objects
            self.bytes += size
            self._write_now_and_then()

    def back_to(self, objects: int, size: int) -> None:
        """What came since then is done again."""
        with self._lock:
            self.objects, self.bytes = objects, size

    def saw(self) -> None:
        """One more object was listed."""
        self._listed += 1
        if self._listed % 1000 == 0:
            with self._lock:
                self._write_now_and_then()

    def came(self, size: int) -> None:
        """In one more second of transfer."""
        with self._lock:
            self._came += size
            self._coming += 1
            self._write_now_and_then()

    def enter(self, phase: Phase, message: str | None = None) -> None:
        with self._lock:
            self._phase = phase
            self._write(message)

    def blocked(self, text: str | None) -> None:
        """What keeps the data from coming, while it does. The first word stays: the next ones differ in the object's name only."""
        with self._lock:
            if bool(text) != bool(self._message):
                self._write(text)

    def _write_now_and_then(self) -> None:
        if time.monotonic() - self._written >= PROGRESS_SECONDS:
            self._write(self._message)

    def _write(self, message: str | None = None) -> None:
        self._written = time.monotonic()
        self._message = message
        content = {
            "phase": self._phase.value,
            "entered": clock.now(),
            "objects": self.objects,
            "bytes": self.bytes,
            "listed": self._listed,
            "came": self._came,
            "coming": self._coming,
            "message": message,
        } | self.more()
        files.write_whole(self._path, json.dumps(content))
