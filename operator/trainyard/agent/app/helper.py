"""The supervisor's end of a helper process: starts it, tells it, hears it, starts it again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from trainyard.agent.adapters import clock
from trainyard.agent.app.settings import Settings

log = logging.getLogger(__name__)
LINE_BYTES = 1024 * 1024
MOST_DEATHS = 3


class Helper:
    """One process at a time. What its events mean, and whether its death matters, is the business of who inherits this."""

    ROLE = ""

    def __init__(self, settings: Settings, answered: Callable[[], None]) -> None:
        """`answered` is called when it owes nothing more: what comes next need not wait for the loop's next turn."""
        self._settings = settings
        self._answered = answered
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._may_start = 0.0
        self._deaths = 0
        self._told_enough = False
        self._taking_back: asyncio.Event | None = None
        self._heard = 0.0
        self.refusal: str | None = None
        self.refusals = 0
        self.blocked_since: float | None = None
        """The first refusal, or death of the process, that no progress has followed."""

    @property
    def deaths(self) -> int:
        return self._deaths

    @property
    def busy(self) -> bool:
        """Does it owe an answer?"""
        raise NotImplementedError

    async def warm(self) -> None:
        """Starts the process, unless it runs, or died just now."""
        if self._process is not None or clock.now() < self._may_start:
            return
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trainyard.agent", self.ROLE, *self._settings.arguments(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_BYTES,
        )  # fmt: skip
        self._heard = clock.now()
        self._reader = asyncio.create_task(self._read(self._process))

    async def enough(self) -> None:
        """The next refusal of the present command shall be its last."""
        if not self._told_enough:
            self._told_enough = True
            await self._send({"do": "enough"})

    def quiet(self, now: float) -> float:
        """Seconds for which a busy process has said nothing."""
        return now - self._heard if self._process is not None and self.busy else 0.0

    async def close(self) -> None:
        process, self._process = self._process, None
        self._stopped()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._reader is not None:
            await self._reader

    def _stopped(self) -> None:
        """The process is gone, and with it whatever it was told."""

    def _died(self) -> None:
        """So it is, and it owed an answer."""

    def _hear(self, event: dict[str, Any]) -> bool:
        """One event. Is it the answer to a command?"""
        raise NotImplementedError

    async def _command(self, command: dict[str, object]) -> None:
        """What it is to do next, to a process that runs."""
        self._told_enough = False
        self._heard = clock.now()
        await self._send(command)

    async def _take_back(self) -> None:
        """A process whose time is over is ended; another one takes back what it began, within a while."""
        await self.close()
        self._may_start = 0.0
        self._taking_back = asyncio.Event()
        await self.warm()
        await self._send({"do": "take_back"})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._taking_back.wait(), self._settings.timing.worker_stuck)

    async def _send(self, command: dict[str, object]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # its death is seen by the reader
                self._process.stdin.write(json.dumps(command).encode() + b"\n")
                await self._process.stdin.drain()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            async for line in process.stdout:
                if self._process is process:
                    self._heard = clock.now()
                    if self._hear(json.loads(line)):
                        self._answered()
        code = await process.wait()
        if self._process is not process:
            return  # killed on purpose
        self._process = None
        owed = self.busy
        self._stopped()
        if owed:
            self._deaths += 1
            wait = self._settings.timing.worker_restart * min(30, 2 ** (self._deaths - 1))
            self._may_start = clock.now() + wait
            self.blocked_since = self.blocked_since or clock.now()
            self._died()
            self.refusal = f"the {self.ROLE} process ended with {code}; it is started again"
            log.warning("%s in %s s", self.refusal, wait)

    def _progress(self) -> None:
        self.refusal = None
        if self._deaths < MOST_DEATHS:  # else it only gets as far as it got before
            self.blocked_since = None

    def _refused(self, text: str) -> None:
        self.blocked_since = self.blocked_since or self._heard
        self.refusal = text
        self.refusals += 1
