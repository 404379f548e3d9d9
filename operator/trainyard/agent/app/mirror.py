"""`mirror`: the sidecar's helper that keeps directories of a host in S3 while training runs, under a memory limit of its own.

    {"do": "pass"}                  what has changed to S3, and what has vanished from a mirror is deleted there   -> passed
    {"do": "pass", "last": true}    training has ended: all that is there, and no refusal is the last word         -> passed | failed
    {"do": "take_back"}             abort what an earlier process began                                            -> taken_back
    {"do": "enough"}                at once: what is refused now is tried no more

On the way: `refused` (tried again) and `going` (progress). `failed` of a pass that is not the last: a later attempt has the place.
A pass that finds nothing changed makes no request.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sqlite3
import threading
from typing import Any

from trainyard.agent.app.channel import Channel
from trainyard.agent.app.keeper import Keeper
from trainyard.agent.app.mirrored import CHECKPOINTS, Mirrored, mirrored
from trainyard.agent.app.settings import Settings
from trainyard.agent.errors import AgentError, starved, unexpected
from trainyard.api.plan import Plan

log = logging.getLogger(__name__)
THREAD_STACK = 512 * 1024
MEMORY = 176 * 1024 * 1024
"""Of the data segment, in bytes: with the supervisor and an idle upload process below the container's limit."""


def main(settings: Settings) -> int:
    """Runs until standard input ends."""
    threading.stack_size(THREAD_STACK)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    # Whoever opens a file for writing in the moment of a lease makes the kernel send this.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    plan = Plan.from_json(settings.plan.read_bytes())
    channel = Channel()
    kept = mirrored(settings, plan)
    current = kept[0]
    try:
        keepers = []
        for each in kept:
            current = each
            keepers.append((each, Keeper(settings, plan, each, channel.tell, channel.enough)))
            keepers[-1][1].take_back()
        channel.tell("ready")
        while True:
            command = channel.commands.get()
            if command["do"] == "take_back":
                for _, keeper in keepers:
                    keeper.take_back()
                channel.tell("taken_back")
                continue
            passes = _Passes(bool(command.get("last")))
            behind = []
            for each, keeper in keepers:
                current = each
                behind += [] if passes.do(each, keeper) else [(each, keeper)]
            # All others are there: now what was refused may take all the time there is.
            for each, keeper in behind:
                current = each
                passes.do(each, keeper, stubborn=True)
            channel.tell(passes.event, **passes.said)
    except MemoryError:
        log.exception("memory limit reached")
    except sqlite3.OperationalError:
        log.exception("the ledger of %s cannot be written: is the node's disk full?", current.what)
    except sqlite3.DatabaseError:
        # Without it nothing is deleted in S3 that should not be, and everything is uploaded once more.
        log.exception("the ledger of %s is damaged: begun anew", current.what)
        current.ledger.unlink(missing_ok=True)
    os._exit(3)  # a fresh process has a fresh heap


class _Passes:
    """One pass over each directory: what is wrong with one keeps nobody from the next."""

    def __init__(self, last: bool) -> None:
        self._last = last
        self._failed: dict[str, Any] | None = None
        self._passed: dict[str, Any] = {"seconds": 0.0, "refused": None, "what": "", CHECKPOINTS: None}

    @property
    def event(self) -> str:
        return "failed" if self._failed is not None else "passed"

    @property
    def said(self) -> dict[str, Any]:
        return self._failed if self._failed is not None else self._passed

    def do(self, kept: Mirrored, keeper: Keeper, *, stubborn: bool = False) -> bool:
        """False: of the last pass something was refused that is to be tried once more, as long as it takes."""
        try:
            said = keeper.keep(last=self._last, stubborn=stubborn)
        except AgentError as error:
            self._fail(kept, error)
        except sqlite3.DatabaseError:
            raise
        except Exception as error:
            if starved(error):
                raise MemoryError from error
            log.exception("a pass over %s failed", kept.local_path)
            failure = unexpected(error)
            if self._last:
                self._fail(kept, failure)
            else:
                self._refused(kept, failure.text)
        else:
            if self._last and not stubborn and said["refused"]:
                return False
            self._passed["seconds"] += said["seconds"]
            if text := said["refused"]:
                self._refused(kept, str(text))
            if kept.what == CHECKPOINTS:
                self._passed[CHECKPOINTS] = said
        return True

    def _fail(self, kept: Mirrored, error: AgentError) -> None:
        self._failed = self._failed or {"reason": error.reason.value, "message": error.message, "what": kept.what}

    def _refused(self, kept: Mirrored, text: str) -> None:
        if self._passed["refused"] is None:
            self._passed |= {"refused": text, "what": kept.what}
