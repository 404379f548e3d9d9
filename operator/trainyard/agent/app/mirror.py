"""`mirror`: the sidecar's helper that keeps a host's checkpoints in S3 while training runs, under a memory limit of its own.

    {"do": "pass"}                  what has changed and is closed to S3, what has vanished is deleted there   -> passed
    {"do": "pass", "last": true}    training has ended: all that is there, and no refusal is the last word     -> passed | failed
    {"do": "take_back"}             abort what an earlier process began                                        -> taken_back
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

from trainyard.agent.app.channel import Channel
from trainyard.agent.app.keeper import Keeper
from trainyard.agent.app.settings import Settings
from trainyard.agent.errors import AgentError, unexpected
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
    plan = Plan.model_validate_json(settings.plan.read_bytes())
    assert plan.checkpoints is not None
    channel = Channel()
    try:
        keeper = Keeper(settings, plan, plan.checkpoints, channel.tell, channel.enough)
        keeper.take_back()
        channel.tell("ready")
        while True:
            _obey(keeper, channel)
    except MemoryError:
        log.exception("memory limit reached")
    except sqlite3.OperationalError:
        log.exception("the ledger of checkpoints cannot be written: is the node's disk full?")
    except sqlite3.DatabaseError:
        # Without it nothing is deleted in S3 that should not be, and everything is uploaded once more.
        log.exception("the ledger of checkpoints is damaged: begun anew")
        settings.ledger.unlink(missing_ok=True)
    os._exit(3)  # a fresh process has a fresh heap


def _obey(keeper: Keeper, channel: Channel) -> None:
    command = channel.commands.get()
    try:
        if command["do"] == "take_back":
            keeper.take_back()
            channel.tell("taken_back")
        else:
            channel.tell("passed", **keeper.keep(last=bool(command.get("last"))))
    except AgentError as error:
        channel.tell("failed", reason=error.reason.value, message=error.message)
    except (MemoryError, sqlite3.DatabaseError):
        raise
    except Exception as error:
        log.exception("a pass over the checkpoints failed")
        failure = unexpected(error)
        if command.get("last"):
            channel.tell("failed", reason=failure.reason.value, message=failure.message)
        else:
            channel.tell("passed", refused=failure.text)
