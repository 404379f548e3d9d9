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


class Worker:
    """`work` is how far it is. A command stays wanted until it is answered: a process that died gets it again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._sent: str | None = None
        self._may_start = 0.0
        self._deaths = 0
        self.work = Work.IDLE
        self.refusal: str | None = None
        self.refusals = 0
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
        self._reader = asyncio.create_task(self._read(self._process))

    async def want(self, command: str, window: float, **fields: object) -> None:
        """Sends a command, once for each process. `window`: seconds in which it must be done."""
        await self.warm()
        if self._process is None or self._process.stdin is None or self._sent == command:
            return
        self._sent = command
        self.work = Work.BUSY
        line = json.dumps({"do": command, "window": max(0.0, window), **fields})
        with contextlib.suppress(OSError):  # its death is seen by the reader
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    def give_up(self, reason: str, message: str) -> None:
        """Ends the process: its time is over."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._end("failed", {"reason": reason, "message": message})

    async def close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            async for line in process.stdout:
                self._hear(json.loads(line))
        code = await process.wait()
        self._process = None
        self._sent = None
        if self.work in {Work.BUSY, Work.PREPARED}:
            self._deaths += 1
            wait = self._settings.timing.worker_restart * min(30, 2 ** (self._deaths - 1))
            self._may_start = clock.now() + wait
            self.work = Work.IDLE
            self.refusal = f"the upload process ended with {code}; it is started again"
            log.warning("%s in %s s", self.refusal, wait)

    def _hear(self, event: dict[str, Any]) -> None:
        match event.pop("event"):
            case "prepared":
                self.work = Work.PREPARED
                self.refusal = None
            case "refused":
                self.refusal = str(event["message"])
                self.refusals += 1
            case "going":
                self.refusal = None
            case ("committed" | "failed") as name:
                self._end(name, event)

    def _end(self, name: str, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.refusal = None
        self.work = Work.COMMITTED if name == "committed" else Work.FAILED
