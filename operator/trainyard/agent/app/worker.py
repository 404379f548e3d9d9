"""The supervisor's end of the upload process: starts it, starts it again when it dies, keeps what it said last."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from typing import Any

from trainyard.agent.adapters import clock
from trainyard.agent.app.settings import Settings
from trainyard.agent.core.finish import Work

log = logging.getLogger(__name__)
LINE_BYTES = 1024 * 1024
MOST_DEATHS = 3


class Worker:
    """`work` is how far it is. A command stays wanted until it is answered: a process that died gets it again."""

    def __init__(self, settings: Settings, blocked_since: float | None = None) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._sent: str | None = None
        self._may_start = 0.0
        self._deaths = 0
        self._told_enough = False
        self._taking_back: asyncio.Event | None = None
        self._heard = 0.0
        self.blocked_since = blocked_since
        """The first refusal, or death of the process, that no progress has followed."""
        self.work = Work.IDLE
        self.refusal: str | None = None
        self.refusals = 0
        self.sent = 0
        """Bytes of artifacts that the present process has sent, repeats included."""
        self.answer: dict[str, Any] = {}
        """The last event of `committed` or `failed`."""

    @property
    def deaths(self) -> int:
        return self._deaths

    async def warm(self) -> None:
        """Starts the process, unless it runs, or died just now."""
        if self._process is not None or clock.now() < self._may_start:
            return
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trainyard.agent", "upload", *self._settings.arguments(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_BYTES,
        )  # fmt: skip
        self._heard = clock.now()
        self._reader = asyncio.create_task(self._read(self._process))

    async def want(self, command: str, **fields: object) -> None:
        """Sends a command, once for each process."""
        await self.warm()
        if self._process is None or self._sent == command:
            return
        self._sent = command
        self._told_enough = False
        self._heard = clock.now()
        self.work = Work.BUSY
        await self._send({"do": command, **fields})

    async def enough(self) -> None:
        """The next refusal of the present command shall be its last."""
        if not self._told_enough:
            self._told_enough = True
            await self._send({"do": "enough"})

    def quiet(self, now: float) -> float:
        """Seconds for which a busy process has said nothing."""
        return now - self._heard if self._process is not None and self.work is Work.BUSY else 0.0

    async def start_over(self) -> None:
        """What was begun was not wanted: it is taken back."""
        await self._kill()
        self.work = Work.IDLE
        self.blocked_since = self.refusal = None
        await self.warm()
        await self._send({"do": "take_back"})

    async def give_up(self, reason: str, message: str) -> None:
        """Ends the process, whose time is over; another one takes back what it began."""
        await self._kill()
        self._may_start = 0.0
        self._taking_back = asyncio.Event()
        await self.warm()
        await self._send({"do": "take_back"})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._taking_back.wait(), self._settings.timing.worker_stuck)
        self._end("failed", {"reason": reason, "message": message})

    async def close(self) -> None:
        await self._kill()

    async def _send(self, command: dict[str, object]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # its death is seen by the reader
                self._process.stdin.write(json.dumps(command).encode() + b"\n")
                await self._process.stdin.drain()

    async def _kill(self) -> None:
        process, self._process = self._process, None
        self._sent = None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._reader is not None:
            await self._reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            async for line in process.stdout:
                if self._process is process:
                    self._hear(json.loads(line))
        code = await process.wait()
        if self._process is not process:
            return  # killed on purpose
        self._process = None
        self._sent = None
        if self.work in {Work.BUSY, Work.PREPARED}:
            self._deaths += 1
            wait = self._settings.timing.worker_restart * min(30, 2 ** (self._deaths - 1))
            self._may_start = clock.now() + wait
            self.work = Work.IDLE
            self.blocked_since = self.blocked_since or clock.now()
            self.refusal = f"the upload process ended with {code}; it is started again"
            log.warning("%s in %s s", self.refusal, wait)

    def _hear(self, event: dict[str, Any]) -> None:
        self._heard = clock.now()
        command = event.pop("of", None)
        match event.pop("event"):
            case "prepared" if self._sent == "prepare":
                self.work = Work.PREPARED
                self._progress()
            case "refused":
                self.blocked_since = self.blocked_since or self._heard
                self.refusal = str(event["message"])
                self.refusals += 1
            case "waiting":
                self.refusal = str(event["message"])
            case "going":
                self._progress()
            case "busy":
                self.sent = int(event["sent"])
            case "taken_back" if self._taking_back:
                self._taking_back.set()
            case "failed" if command == "prepare":
                log.warning("not prepared: %s", event["message"])
                if self._sent == "prepare":
                    self.work = Work.UNPREPARED
                    self.blocked_since = None
            case ("committed" | "failed") as name:
                self._end(name, event)

    def _progress(self) -> None:
        self.refusal = None
        if self._deaths < MOST_DEATHS:  # else it only gets as far as it got before
            self.blocked_since = None

    def _end(self, name: str, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.refusal = None
        self.work = Work.COMMITTED if name == "committed" else Work.FAILED
