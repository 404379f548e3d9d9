"""`upload`: the sidecar's helper that does the S3 work, under a memory limit of its own.

Started when training starts, so that all is loaded when it ends. Commands are lines of JSON on standard input, events on
standard output; the end of standard input is the end of the process:

    {"do": "prepare", ...Job}   every byte to S3, nothing visible         -> prepared | failed
    {"do": "commit",  ...Job}   prepare what is not, then make it visible -> committed | failed
    {"do": "share",   ...Job}   this host's own files, beside the job's   -> committed | failed
                                (`joint`: algo-1 has them among the job's)
    {"do": "take_back"}         abort what an earlier process began       -> taken_back
    {"do": "enough"}            at once: what is refused now is tried no more

On the way: `refused` (tried again), `waiting` (for another host), `going` (progress), `busy` (reading files). A command has no end of its
own: the supervisor knows the time.
"""

from __future__ import annotations

import logging
import os
import resource
import sqlite3
import threading
from typing import Any

from trainyard.agent.adapters import files, gzipped, s3http  # noqa: F401 - loaded now, used when training has ended
from trainyard.agent.app.channel import Channel
from trainyard.agent.app.publish import Job, Publisher
from trainyard.agent.app.settings import Settings
from trainyard.agent.errors import AgentError, PlatformFailure, starved, unexpected
from trainyard.api.plan import Plan
from trainyard.api.reasons import Reason

log = logging.getLogger(__name__)
THREAD_STACK = 512 * 1024


def main(settings: Settings) -> int:
    """Runs until standard input ends."""
    threading.stack_size(THREAD_STACK)
    resource.setrlimit(resource.RLIMIT_DATA, (settings.memory, settings.memory))
    plan = Plan.from_json(settings.plan.read_bytes())
    channel = Channel()
    publisher = Publisher(settings, plan, channel.tell, channel.enough)
    channel.tell("ready")
    while True:
        do(channel.commands.get(), publisher, channel, settings.timing.backoff_most)


def do(command: dict[str, Any], publisher: Publisher, channel: Channel, pause: float) -> None:
    """One command. A disk that fails is waited for, with `pause` seconds between two tries, until it has been enough."""
    name = str(command["do"])
    while True:
        try:
            getattr(publisher, name)(Job.parse(command))
        except AgentError as error:
            failure = error
        except (OSError, sqlite3.OperationalError) as error:
            log.exception("%s failed", name)
            failure = PlatformFailure(
                Reason.ARTIFACT_UPLOAD_FAILED,
                f"Artifact upload failed:the agent cannot read or write a file ({error}): is the node's disk full?",
            )
            if not channel.enough.is_set():
                publisher.abandon()
                channel.tell("refused", message=failure.text)
                channel.enough.wait(pause)
                continue
        except Exception as error:
            if starved(error):
                log.exception("memory limit reached")
                os._exit(3)  # a fresh process has a fresh heap
            log.exception("%s failed", name)
            failure = unexpected(error)
        else:
            return
        publisher.abandon()
        channel.tell("failed", of=name, reason=failure.reason.value, message=failure.message)
        return
