"""`pipe`: the sidecar's helper that writes Pipe channels into FIFOs, under a memory limit of its own.

Each channel has a thread. For epoch n, from 0 and without end: make the FIFO `<channel>_<n>`, wait for a reader, write the epoch, and
once the reader has closed it make the next one. A reader that closes early has had enough, and the next epoch follows.

A FIFO has no way to say that something went wrong: its end would look like the end of the data. So after a failure it is left open and
silent, and the supervisor is told, which has training ended. Events on standard output, a line of JSON each: `failed`, and `blocked` with
the reason why data does not come, or none when it comes again.
The end of standard input is the end of the process.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from trainyard.agent.adapters import fifo, files
from trainyard.agent.app.catalogue import Catalogue
from trainyard.agent.app.fence import download_failure
from trainyard.agent.app.patience import Patience, Refused
from trainyard.agent.app.proofs import Proofs
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.store import Store
from trainyard.agent.app.stream import Stream
from trainyard.agent.errors import AgentError, starved, unexpected
from trainyard.api.plan import ChannelPlan, Plan

log = logging.getLogger(__name__)
THREAD_STACK = 512 * 1024
AHEAD = 32 * 1024 * 1024
"""Bytes fetched ahead of their readers, of all channels together."""
WORKERS = 16
"""Requests at a time, of each channel."""
MEMORY = 256 * 1024 * 1024
"""Data segment in bytes: what is fetched ahead is there up to three times, as it arrives, as it is put together, and as it waits."""


class Teller:
    """What the supervisor is told, by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocked = False

    def failed(self, error: AgentError) -> None:
        with self._lock:
            self._say(event="failed", reason=error.reason.value, message=error.message)

    def blocked(self, text: str | None) -> None:
        """The first word of many requests that fail, and that one got through. The others differ in the object's name only."""
        with self._lock:
            if bool(text) != self._blocked:
                self._blocked = bool(text)
                self._say(event="blocked", message=text)

    @staticmethod
    def _say(**event: str | None) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


class Feeder:
    """One channel's FIFOs."""

    def __init__(self, settings: Settings, plan: Plan, store: Store, channel: ChannelPlan, teller: Teller) -> None:
        self._settings = settings
        self._channel = channel
        self._catalogue = Catalogue(settings.pipes, channel)
        self._store = store
        self._patience = Patience(
            plan.download_retry_seconds, notify=teller.blocked, quiet=settings.timing.blocked_told
        )
        self._proofs = Proofs(store, self._patience)
        self._ahead = AHEAD // len(plan.piped(settings.host))
        self._pool = ThreadPoolExecutor(WORKERS)

    def run(self) -> None:
        """Never returns."""
        epoch = self._catalogue.epoch
        while True:
            self._feed(epoch)
            epoch += 1

    def _feed(self, epoch: int) -> None:
        path = self._settings.fifo(self._channel, epoch)
        stream = Stream(
            self._store, self._patience, self._pool, self._catalogue, epoch, ahead=self._ahead, proofs=self._proofs
        )
        fifo.make(path, self._settings.staging)
        if epoch:
            self._settings.fifo(self._channel, epoch - 1).unlink(missing_ok=True)
        end = fifo.open_for_writing(path)
        # On disk before the first byte, and before the end: whoever comes after this process knows whether it broke off.
        self._catalogue.enter(epoch, streaming=True)
        try:
            for block in stream.blocks():
                fifo.write(end, block)
        except BrokenPipeError:
            log.info("the reader of %s has left early", path.name)
        stream.close()
        self._catalogue.enter(epoch + 1, streaming=False)
        os.close(end)
        self._wait_for_leave(epoch)

    def _wait_for_leave(self, epoch: int) -> None:
        """Until nobody has it open, or it has had all for long: a program may forget to close it."""
        timing = self._settings.timing
        until = time.monotonic() + timing.fifo_left_open
        while time.monotonic() < until and fifo.is_read(self._settings.fifo(self._channel, epoch)):
            time.sleep(timing.fifo_poll)


def _feed(feeder: Feeder, teller: Teller) -> None:
    """Whatever ends it, the FIFO stays open: see above."""
    try:
        feeder.run()
    except Refused as refused:
        teller.failed(download_failure(refused))
    except AgentError as error:
        teller.failed(error)
    except BaseException as error:
        if starved(error):
            log.exception("memory limit reached")
            os._exit(3)
        log.exception("streaming failed")
        teller.failed(unexpected(error))


def main(settings: Settings) -> int:
    """Runs until standard input ends."""
    threading.stack_size(THREAD_STACK)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    plan = Plan.from_json(settings.plan.read_bytes())
    store = Store(plan.store, settings.credentials, settings.timing, identity=settings.identity)
    files.make_directory(settings.staging, 0o700)
    teller = Teller()
    for channel in plan.piped(settings.host):
        feeder = Feeder(settings, plan, store, channel, teller)
        threading.Thread(target=_feed, args=(feeder, teller), name=channel.name, daemon=True).start()
    sys.stdin.read()
    os._exit(0)
