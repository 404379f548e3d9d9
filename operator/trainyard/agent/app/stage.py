"""The init container: fills /opt/ml/input, marks the attempt, waits for the other hosts. Exit 0 means: training may start.

Exit 1 with a report otherwise, also for AlreadyCommitted and Stopped: the kubelet must not start training then, and the
operator reads from the report what it means.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from trainyard.agent.adapters import clock, files
from trainyard.agent.adapters.podinfo import PodInfo
from trainyard.agent.app import fence
from trainyard.agent.app.download import Downloader, Item, Parents
from trainyard.agent.app.peers import BARRIER, Peers
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.shares import Share, Shares
from trainyard.agent.app.store import Patience, Refused, Store
from trainyard.agent.core import layout, manifest
from trainyard.agent.core.config import config_files
from trainyard.agent.errors import AgentError, PeerFault, StopSignal, unexpected
from trainyard.agent.ports import StoredObject
from trainyard.api.base import split_s3_uri
from trainyard.api.plan import ChannelPlan, Plan
from trainyard.api.report import Phase, Report, Result, StopReason

log = logging.getLogger(__name__)
PROGRESS_SECONDS = 2.0


class Stop:
    """Reasons to give up early: the operator's order, the time limit, SIGTERM."""

    def __init__(self, settings: Settings, plan: Plan, began: float) -> None:
        self._podinfo = PodInfo(settings.podinfo)
        self._limit = began + plan.max_runtime_seconds
        self._signalled = False

    def signalled(self, _signal: int, _frame: object) -> None:
        self._signalled = True

    def check(self) -> None:
        """Raises StopSignal if there is a reason."""
        if self._signalled:
            raise StopSignal(StopReason.DELETED, "The pod was ended while its data was being staged.")
        if order := self._podinfo.stop():
            raise StopSignal(order.reason, order.message)
        if clock.now() >= self._limit:
            raise StopSignal(StopReason.MAX_RUNTIME_EXCEEDED, "maxRuntimeInSeconds was over before training began.")


class Progress:
    """Counts, and tells the sidecar through a file: at once on a new phase, else every few seconds."""

    def __init__(self, path: Path, began: float) -> None:
        self._path = path
        self._began = began
        self._phase = Phase.STAGING
        self._written = 0.0
        self._lock = threading.Lock()
        self.objects = 0
        self.bytes = 0
        self._listed = 0
        self._message: str | None = None
        self.more: Callable[[], dict[str, int]] = dict
        """Further counts to tell."""
        self.enter(Phase.STAGING)

    def add(self, objects: int, size: int) -> None:
        with self._lock:
            self.objects += objects
            self.bytes += size
            self._write_now_and_then()

    def saw(self) -> None:
        """One more object was listed."""
        self._listed += 1
        if self._listed % 1000 == 0:
            with self._lock:
                self._write_now_and_then()

    def enter(self, phase: Phase, message: str | None = None) -> None:
        with self._lock:
            self._phase = phase
            self._write(message)

    def blocked(self, text: str | None) -> None:
        """What keeps the data from coming, while it does. The first word stays: the next ones differ in the object's name only."""
        with self._lock:
            if bool(text) != bool(self._message):
                self._write(text)

    def _write_now_and_then(self) -> None:
        if time.monotonic() - self._written >= PROGRESS_SECONDS:
            self._write(self._message)

    def _write(self, message: str | None = None) -> None:
        self._written = time.monotonic()
        self._message = message
        content = {
            "phase": self._phase.value,
            "began": self._began,
            "entered": clock.now(),
            "objects": self.objects,
            "bytes": self.bytes,
            "listed": self._listed,
            "message": message,
        } | self.more()
        files.write_whole(self._path, json.dumps(content))


class Stage:
    """One run. Every method raises AgentError."""

    def __init__(self, settings: Settings, plan: Plan, began: float) -> None:
        self._settings = settings
        self._plan = plan
        self._rank = plan.rank(settings.host)
        self._store = Store(plan.store, settings.credentials, settings.timing, identity=settings.identity)
        self._shares = Shares(settings.scratch, self._rank, len(plan.hosts))
        self.progress = Progress(settings.stage_progress, began)
        self.progress.more = self._counts
        self.stopped: StopReason | None = None
        """Why the job had been stopped, if its result is there already."""

    def run(self) -> Result:
        files.make_ml_tree(self._settings.ml)
        self._configure()
        if (committed := fence.already_committed(self._store, self._plan, self._patience())) is not None:
            self.stopped = manifest.stop_reason(committed)
            return Result.ALREADY_COMMITTED
        if self._rank == 0:
            fence.mark(self._store, self._plan, self._patience())
        self._download([self._share(channel) for channel in self._plan.channels])
        self._barrier()
        self.progress.enter(Phase.STAGED)
        return Result.STAGED

    def _patience(self) -> Patience:
        timing = self._settings.timing
        return Patience(self._plan.download_retry_seconds, notify=self.progress.blocked, quiet=timing.blocked_told)

    def _counts(self) -> dict[str, int]:
        return {"fallbacks": self._store.fallbacks, "damaged": self._store.damaged}

    def _configure(self) -> None:
        for name, content in config_files(self._plan, self._settings.host).items():
            files.write_whole(self._settings.ml / "input/config" / name, content, 0o666)

    def _share(self, channel: ChannelPlan) -> Share:
        """This host's objects of a channel."""
        bucket, prefix = split_s3_uri(channel.s3_uri)

        output_bucket, output = split_s3_uri(self._plan.output_uri)

        def listing() -> Iterator[StoredObject]:
            for item in self._store.objects(bucket, prefix, self._patience()):
                self.progress.saw()
                if bucket != output_bucket or not layout.written_by_job(item.key, prefix, output):
                    yield item

        try:
            share = self._shares.take(channel, bucket, prefix, listing)
        except Refused as refused:
            raise fence.download_failure(refused) from refused
        self.progress.enter(Phase.STAGING)
        if not share.total:
            raise layout.no_objects(channel, bucket, self._plan.store.region, self._plan.store.role)
        return share

    def _items(self, share: Share) -> Iterator[Item]:
        """One by one, each when its directories are there: nobody holds them all."""
        directory = self._settings.ml / "input/data" / share.channel.name
        files.make_directory(directory)
        parents = Parents(directory)
        for each in share.placed():
            parents.make(each.path)
            yield Item(share.bucket, each.source, directory / each.path)

    def _download(self, shares: list[Share]) -> None:
        needed = sum(share.bytes for share in shares)
        items = (item for share in shares for item in self._items(share))
        free = min(files.free_bytes(self._settings.ml), self._plan.volume_bytes or 2**63)
        if needed > free:
            raise layout.disk_full(needed, free, self._settings.host)
        try:
            Downloader(self._store, self._settings.staging, self._patience(), self.progress.add).run(items)
        except Refused as refused:
            raise fence.download_failure(refused) from refused
        except OSError as error:
            if error.errno in {28, 122}:  # ENOSPC, EDQUOT
                raise layout.disk_full(needed, files.free_bytes(self._settings.ml), self._settings.host) from error
            raise
        for share in shares:
            share.remove()

    def _barrier(self) -> None:
        """Returns when every host is staged. Names may resolve late and sidecars restart: keeps asking for ever."""
        if len(self._plan.hosts) == 1:
            return
        peers = Peers(self._plan, self._settings.port, self._settings.timing.connect)
        leader = self._plan.hosts[0]
        self.progress.enter(Phase.WAITING)
        said = ""
        while True:
            try:
                answer = peers.ask(leader, "POST", f"{BARRIER}?host={quote(self._settings.host)}")
                if answer.get("open") is True:
                    return
                missing = f"waiting for {', '.join(map(str, answer.get('missing', [])))}"
            except PeerFault as fault:
                missing = f"waiting for {fault.host}, which cannot be reached yet ({fault.detail})"
            if missing != said:
                said = missing
                self.progress.enter(Phase.WAITING, said)
            time.sleep(self._settings.timing.poll)


class Outcome(threading.Thread):
    """The work, in a thread of its own: a request that hangs must not keep a stop order waiting."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(daemon=True)
        self._stage = stage
        self.result: Result | None = None
        self.error: AgentError | None = None

    def run(self) -> None:
        try:
            self.result = self._stage.run()
        except AgentError as error:
            self.error = error
        except Exception as error:
            log.exception("staging failed")
            self.error = unexpected(error)


def _report(settings: Settings, stage: Stage, stop: Stop) -> Report:
    """Does the work; whatever happens, there is a report."""
    work = Outcome(stage)
    work.start()
    try:
        while work.is_alive():
            stop.check()
            work.join(settings.timing.poll)
    except StopSignal as seen:
        return Report(
            host=settings.host,
            phase=Phase.DONE,
            result=Result.STOPPED,
            stop_reason=seen.reason,
            message=seen.text or None,
        )
    if work.error:
        return _failed(settings.host, work.error)
    if work.result is Result.ALREADY_COMMITTED:
        text = "This job's result is in S3 already; nothing is left to train."
        return Report(host=settings.host, phase=Phase.DONE, result=work.result, message=text, stop_reason=stage.stopped)
    return Report(host=settings.host, phase=Phase.STAGED, result=work.result)


def _failed(host: str, error: AgentError) -> Report:
    return Report(host=host, phase=Phase.DONE, result=Result.FAILED, reason=error.reason.value, message=error.message)


def main(settings: Settings) -> int:
    """The exit code; the report is in the termination message."""
    began = clock.now()
    try:
        settings.scratch.mkdir(parents=True, exist_ok=True)
        plan = Plan.model_validate_json(settings.plan.read_bytes())
        stop = Stop(settings, plan, began)
        signal.signal(signal.SIGTERM, stop.signalled)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        stage = Stage(settings, plan, began)
        report = _report(settings, stage, stop)
        report = report.model_copy(update={"objects": stage.progress.objects, "bytes": stage.progress.bytes})
    except Exception as error:
        log.exception("cannot begin")
        report = _failed(settings.host, unexpected(error))
    files.write_in_place(settings.termination_log, report.to_termination_message())
    log.info("%s", report.to_json())
    code = 0 if report.result is Result.STAGED else 1
    # Requests may still be on their way in threads, which nobody waits for.
    logging.shutdown()
    os._exit(code)
