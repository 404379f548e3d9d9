"""The supervisor's end of the upload process: keeps what it was told and what it said last."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from trainyard.agent.app.helper import Helper
from trainyard.agent.app.settings import Settings
from trainyard.agent.core.finish import Work
from trainyard.agent.core.pace import Pace

log = logging.getLogger(__name__)


class Worker(Helper):
    """`work` is how far it is. A command stays wanted until it is answered: a process that died gets it again."""

    ROLE = "upload"

    def __init__(self, settings: Settings, answered: Callable[[], None], blocked_since: float | None = None) -> None:
        super().__init__(settings, answered)
        self._sent: str | None = None
        self.blocked_since = blocked_since
        self.work = Work.IDLE
        self.sent = 0
        """Bytes of artifacts that the present process has sent, repeats included."""
        self.pace = Pace(settings.timing.pace)
        self.answer: dict[str, Any] = {}
        """The last event of `committed` or `failed`."""

    @property
    def busy(self) -> bool:
        # What was prepared is lost with the process.
        return self.work in {Work.BUSY, Work.PREPARED}

    def quiet(self, now: float) -> float:
        return super().quiet(now) if self.work is Work.BUSY else 0.0

    async def want(self, command: str, **fields: object) -> None:
        """Sends a command, once for each process."""
        await self.warm()
        if self._process is None or self._sent == command:
            return
        self._sent = command
        self.work = Work.BUSY
        await self._command({"do": command, **fields})

    async def start_over(self) -> None:
        """What was begun was not wanted: it is taken back."""
        await self.close()
        self.work = Work.IDLE
        self.blocked_since = self.refusal = None
        await self.warm()
        await self._send({"do": "take_back"})

    async def give_up(self, reason: str, message: str) -> None:
        """Ends the process, whose time is over; another one takes back what it began."""
        await self._take_back()
        self._end("failed", {"reason": reason, "message": message})

    def _stopped(self) -> None:
        self._sent = None

    def _died(self) -> None:
        self.work = Work.IDLE

    def _hear(self, event: dict[str, Any]) -> bool:
        command, name = event.pop("of", None), event.pop("event")
        match name:
            case "prepared" if self._sent == "prepare":
                self.work = Work.PREPARED
                self._progress()
            case "refused":
                self._refused(str(event["message"]))
            case "waiting":
                self.refusal = str(event["message"])
            case "going":
                self._progress()
            case "busy":
                self.sent = int(event["sent"])
                self.pace.look(self.sent, float(event["seconds"]))
            case "taken_back" if self._taking_back:
                self._taking_back.set()
            case "failed" if command == "prepare":
                log.warning("not prepared: %s", event["message"])
                if self._sent == "prepare":
                    self.work = Work.UNPREPARED
                    self.blocked_since = None
            case "committed" | "failed":
                self._end(name, event)
        return name in {"prepared", "committed", "failed"}

    def _end(self, name: str, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.refusal = None
        self.work = Work.COMMITTED if name == "committed" else Work.FAILED
