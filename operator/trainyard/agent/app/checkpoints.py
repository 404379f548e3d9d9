"""The supervisor's end of the mirror process: when it is to look at the directories, and whether the last look is done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from trainyard.agent.adapters import clock
from trainyard.agent.app.helper import Helper
from trainyard.agent.app.mirrored import CHECKPOINTS
from trainyard.agent.app.settings import Settings
from trainyard.agent.core.lifecycle import Over
from trainyard.agent.errors import readable
from trainyard.api.reasons import Reason
from trainyard.api.report import CheckpointReport

log = logging.getLogger(__name__)
REST = 4
"""After a look the process rests for so many times as long as the look took: it must not cost training a core."""


class Checkpoints(Helper):
    """`lost`: (reason, message) once it is certain that S3 lacks something, and nobody tries any more; `lost_what`: of what."""

    ROLE = "mirror"

    def __init__(self, settings: Settings, answered: Callable[[], None], interval: float) -> None:
        """`interval`: how old, in seconds, may be what S3 lacks."""
        super().__init__(settings, answered)
        self._interval = interval
        self._what = ""
        """What the refusal is about; empty: all of it."""
        self._owed = False
        self._due = 0.0
        self._pass_began = 0.0
        self._last: Over = Over.NO
        """How sure training's end was when the present or latest last pass was asked for."""
        self._done: Over = Over.NO
        """The same of the one that is done."""
        self._said: dict[str, Any] = {}
        self._in_step_at: datetime | None = None
        self.lost: tuple[str, str] | None = None
        self.lost_what = ""

    @property
    def busy(self) -> bool:
        return self._owed

    async def attend(self, now: float, over: Over, until: float | None, *, hurry: bool) -> bool:
        """To be called all the time from training's begin on. True once nothing more is to come, or while training runs.

        `until`: when a last pass has had its time. `hurry`: the host may not be there for much longer.
        """
        if over is Over.NO and self._last is Over.HINT:
            self.lost = None  # the end was none
        if over is Over.NO:
            self._done = Over.NO
        if self.lost is not None or (over is not Over.NO and (self._done.final or self._done is over)):
            if over.final:
                await self.close()  # its memory is the upload process's now
            return True
        overdue = -1.0 if until is None else now - until
        silent = self.quiet(now) >= self._settings.timing.quiet
        if over.final and (silent or overdue >= self._settings.timing.worker_stuck):
            await self._give_up()
        elif silent:
            await self._take_back()
            self._what = ""
            self._refused("the mirror process did not answer; it was started again")
        elif self._owed and (overdue >= 0 if self._last is not Over.NO else over is not Over.NO):
            # Its time is over, or the last pass waits for this one and will try again what it is refused.
            await self.enough()
        elif self._owed:
            pass
        elif over is not Over.NO or now >= (self._pass_began + self._pause(hurry) if hurry else self._due):
            await self._ask(now, over, hurry)
        return over is Over.NO

    def report(self) -> CheckpointReport:
        """Of checkpoints alone."""
        said = self._said
        trouble = self.lost[1] if self.lost is not None else self.refusal
        if (self.lost_what if self.lost is not None else self._what) not in {"", CHECKPOINTS}:
            trouble = None
        return CheckpointReport(
            files=said.get("files", 0),
            uploaded=said.get("uploaded", 0),
            uploaded_bytes=said.get("bytes", 0),
            deleted=said.get("deleted", 0),
            left_out=said.get("leftOut", 0),
            open_files=said.get("open", 0),
            last_pass_at=self._in_step_at,
            trouble=readable(trouble) if trouble else None,
        )

    def _pause(self, hurry: bool) -> float:
        # A file that is only known to be closed because it stays as it is needs two looks within the interval.
        pause = self._interval / 2
        return min(pause, self._settings.timing.checkpoint_hurry) if hurry else pause

    async def _ask(self, now: float, over: Over, hurry: bool) -> None:
        await self.warm()
        if self._process is None:
            return
        self._owed = True
        self._last = over
        self._pass_began = now
        self._due = now + self._pause(hurry)
        await self._command({"do": "pass", "last": over is not Over.NO})

    async def _give_up(self) -> None:
        """Ends the process, whose time is over; another one takes back what it began."""
        why = self.refusal or "the mirror process did not get to its end in time"
        self._lose(
            Reason.ARTIFACT_UPLOAD_FAILED.value, f"InternalServerError: Artifact upload failed:{why}", self._what
        )
        await self._take_back()

    def _stopped(self) -> None:
        self._owed = False

    def _died(self) -> None:
        self._what = ""

    def _hear(self, event: dict[str, Any]) -> bool:
        name = event.pop("event")
        match name:
            case "refused":
                self._what = str(event["what"])
                self._refused(str(event["message"]))
            case "going":
                self._progress()
            case "taken_back" if self._taking_back:
                self._taking_back.set()
            case "passed":
                self._passed(event)
            case "failed":
                self._owed = False
                self._lose(str(event["reason"]), str(event["message"]), str(event["what"]))
        return name in {"passed", "failed"}

    def _passed(self, event: dict[str, Any]) -> None:
        self._owed = False
        self._done = self._last
        self._said |= event["checkpoints"] or {}
        self._due = max(self._due, clock.now() + REST * float(event.get("seconds", 0)))
        self._what = str(event.get("what", ""))
        if refused := event.get("refused"):
            self._refused(str(refused))
        else:
            self._progress()
        if not refused or self._what != CHECKPOINTS:
            self._in_step_at = clock.wall_at(self._pass_began)

    def _lose(self, reason: str, message: str, what: str = "") -> None:
        log.warning("%s: %s", what or "the mirror", message)
        self.lost = (reason, message)
        self.lost_what = what
