"""The supervisor's end of the `pipe` process: starts it, starts it again where nothing is lost by that, and knows when something is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from typing import Any

from trainyard.agent.adapters import clock
from trainyard.agent.app.catalogue import Catalogue
from trainyard.agent.app.settings import Settings
from trainyard.agent.core.lifecycle import Over
from trainyard.api.plan import Plan

log = logging.getLogger(__name__)
LINE_BYTES = 64 * 1024
MOST_DEATHS = 6
"""In a row, each soon after its start: a further one would be no different."""
LIVED_SECONDS = 60


class Pipes:
    """`failure`: why training was not given what it should have been, ready to be shown; it must end, and has failed.
    `blocked`: why data does not come at the moment."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._settings = settings
        self._catalogues = [Catalogue(settings.pipes, channel) for channel in plan.piped(settings.host)]
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._started = self._may_start = 0.0
        self._deaths = 0
        self._closed = False
        self.failure: str | None = None
        self.blocked: str | None = None

    async def attend(self, over: Over, *, staged: bool) -> None:
        """To be called all the time."""
        if over.final:
            await self.close()
        elif staged:
            await self._tend()

    async def _tend(self) -> None:
        """While training may read."""
        if not self._catalogues or self._process is not None or self.failure or self._closed:
            return
        if clock.now() < self._may_start:
            return
        # Also after the whole container was started again: its end ended the stream for the reader.
        if cut := [catalogue.channel.name for catalogue in self._catalogues if catalogue.streaming]:
            self.failure = (
                f"InternalServerError: Data download failed:the stream of channel {', '.join(cut)} broke off, as the agent's process"
                " that wrote it ended; training cannot have had all of its data"
            )
            return
        if self._deaths >= MOST_DEATHS:
            self.failure = (
                f"InternalServerError: Data download failed:the agent's process that streams Pipe channels ended {self._deaths} times as"
                " soon as it was started; see the logs of container sidecar"
            )
            return
        self._started = clock.now()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trainyard.agent", "pipe", *self._settings.arguments(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_BYTES,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read(self._process))

    async def close(self) -> None:
        """Training is over: nobody reads."""
        if self._closed:
            return
        self._closed = True
        process, self._process = self._process, None
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
                self._hear(json.loads(line))
        code = await process.wait()
        self.blocked = None
        if self._process is process:
            self._process = None
            self._deaths = 1 if clock.now() - self._started >= LIVED_SECONDS else self._deaths + 1
            wait = self._settings.timing.worker_restart * min(30, 2 ** (self._deaths - 1))
            self._may_start = clock.now() + wait
            log.warning("the pipe process ended with %s", code)

    def _hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "blocked":
            self.blocked = event["message"]
        else:
            self.failure = self.failure or str(event["message"])
