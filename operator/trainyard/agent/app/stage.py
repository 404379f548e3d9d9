"""The init container: fills /opt/ml/input, restores checkpoints, marks the attempt, waits for the other hosts. Exit 0: training may start.

Exit 1 with a report otherwise, also for AlreadyCommitted and Stopped: the kubelet must not start training then, and the
operator reads from the report what it means.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from urllib.parse import quote

from trainyard.agent.adapters import clock, files
from trainyard.agent.adapters.podinfo import PodInfo
from trainyard.agent.app import fence, memory
from trainyard.agent.app.input import Input
from trainyard.agent.app.patience import Patience
from trainyard.agent.app.peers import BARRIER, Peers
from trainyard.agent.app.progress import Progress
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.store import Store
from trainyard.agent.core import manifest
from trainyard.agent.core.config import config_files
from trainyard.agent.errors import AgentError, PeerFault, StopSignal, unexpected
from trainyard.api.plan import Plan
from trainyard.api.report import Phase, Report, Result, StopReason

log = logging.getLogger(__name__)


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


class Stage:
    """One run. Every method raises AgentError."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._settings = settings
        self._plan = plan
        self._rank = plan.rank(settings.host)
        self._store = Store(plan.store, settings.credentials, settings.timing, identity=settings.identity)
        self.progress = Progress(settings.stage_progress)
        self.progress.more = self._counts
        self._input = Input(settings, plan, self._store, self._patience(), self.progress)
        self.stopped: StopReason | None = None
        """Why the job had been stopped, if its result is there already."""

    def run(self) -> Result:
        files.make_ml_tree(self._settings.ml)
        for folder in self._plan.folders:
            files.make_directories(self._settings.ml, folder.directory)
        self._configure()
        if (committed := fence.already_committed(self._store, self._plan, self._patience())) is not None:
            self.stopped = manifest.stop_reason(committed)
            return Result.ALREADY_COMMITTED
        if self._rank == 0:
            fence.mark(self._store, self._plan, self._patience())
        self._input.bring()
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
    try:
        settings.scratch.mkdir(parents=True, exist_ok=True)
        plan = Plan.from_json(settings.plan.read_bytes())
        # The time limit's clock is the sidecar's, which ran before the user's image was pulled.
        stop = Stop(settings, plan, memory.load(settings, clock.now()).began)
        signal.signal(signal.SIGTERM, stop.signalled)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        stage = Stage(settings, plan)
        report = _report(settings, stage, stop)
        report = report.but(objects=stage.progress.objects, bytes=stage.progress.bytes)
    except Exception as error:
        log.exception("cannot begin")
        report = _failed(settings.host, unexpected(error))
    files.write_in_place(settings.termination_log, report.to_termination_message())
    log.info("%s", report.to_json())
    code = 0 if report.result is Result.STAGED else 1
    # Requests may still be on their way in threads, which nobody waits for.
    logging.shutdown()
    os._exit(code)
