"""`upload`: the sidecar's helper that does the S3 work, under a memory limit of its own.

Started when training starts, so that all is loaded when it ends. Commands are lines of JSON on standard input, events on
standard output; the end of standard input is the end of the process:

    {"do": "prepare", ...Job}   every byte to S3, nothing visible         -> prepared | failed
    {"do": "commit",  ...Job}   prepare what is not, then make it visible -> committed | failed
    {"do": "share",   ...Job}   this host's own files, beside the job's   -> committed | failed
    {"do": "take_back"}         abort what an earlier process began       -> taken_back
    {"do": "enough"}            at once: what is refused now is tried no more

On the way: `refused` (tried again), `waiting` (for another host), `going` (progress), `busy` (reading files). A command has no end of its
own: the supervisor knows the time.
"""

from __future__ import annotations

import logging
import os
import resource
import threading

from trainyard.agent.adapters import files, gzipped, s3http  # noqa: F401 - loaded now, used when training has ended
from trainyard.agent.app.channel import Channel
from trainyard.agent.app.publish import Job, Publisher
from trainyard.agent.app.settings import Settings
from trainyard.agent.errors import AgentError, unexpected
from trainyard.api.plan import Plan

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
        command = channel.commands.get()
        name = str(command["do"])
        try:
            getattr(publisher, name)(Job.parse(command))
        except AgentError as error:
            publisher.abandon()
            channel.tell("failed", of=name, reason=error.reason.value, message=error.message)
        except MemoryError:
            log.exception("memory limit reached")
            os._exit(3)  # a fresh process has a fresh heap
        except Exception as error:
            log.exception("%s failed", name)
            publisher.abandon()
            failure = unexpected(error)
            channel.tell("failed", of=name, reason=failure.reason.value, message=failure.message)
