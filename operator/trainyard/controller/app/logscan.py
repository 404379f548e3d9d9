"""Follows the logs of training containers for the metrics that jobs define. A job that defines none costs nothing here.

One task for each log. What a slice of lines gives is taken over in one step, so that values and the times up to which logs
were read, which a later operator goes on from, always belong together. Matching is done in threads of its own: RE2 works
without Python's lock, and what little holds it is given up every few milliseconds, so that probes are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from trainyard.api import names
from trainyard.controller.adapters.cache import Key
from trainyard.controller.adapters.cluster import Cluster
from trainyard.controller.adapters.errors import ClusterError, NotFound, Refused, Unreachable
from trainyard.controller.app.live import Live
from trainyard.controller.app.metrics import Metrics
from trainyard.controller.app.workqueue import WorkQueue
from trainyard.controller.core import logmetrics, reading
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.loglines import Definitions, Found, Sample, matcher, moment
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.reading import Reading
from trainyard.controller.core.snapshot import Snapshot

_log = logging.getLogger(__name__)
# Values alone are written to the status this often while the job runs.
STATUS_SECONDS = 60.0
# The last status waits so long for what the logs still hold, counted from the end of training, or from when that was seen.
HOLD_SECONDS = 5.0
# Where more logs are to be followed than streams are allowed, each is read for so long in turn.
TURN_SECONDS = 5.0
# A stream that is silent for so long is opened anew: its connection may be dead.
SILENT_SECONDS = 120.0
FIRST_DELAY, LONGEST_DELAY, REFUSED_DELAY = 0.5, 15.0, 60.0
_THREADS = 2
_GAPS = 64
# A slice that took a thread longer than this makes its job pause as long: nobody's regexes get a core for themselves.
_SLOW_SECONDS = 0.1


@dataclass
class _Log:
    """One container's log. `last`: the time of the last line read, in nanoseconds; `over`: the container has ended, as far as
    is known; `ended`: the last stream came to an end by itself."""

    pod: Pod
    last: int | None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    done: bool = False
    refused: bool = False
    trouble: str = ""
    delay: float = FIRST_DELAY
    task: asyncio.Task[None] | None = None


@dataclass
class _Job:
    """`latest` is over all hosts and attempts. `deadline` is the loop's time after which the last status waits no more."""

    key: Key
    uid: str
    definitions: Definitions
    logs: dict[str, _Log] = field(default_factory=dict)
    latest: dict[str, Sample] = field(default_factory=dict)
    read_until: dict[str, int] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    numberless: set[str] = field(default_factory=set)
    deadline: float | None = None
    # One slice of a job at a time, however many hosts it has: the threads are everybody's.
    matching: asyncio.Lock = field(default_factory=asyncio.Lock)


class LogScan:
    """`streams`: how many logs are followed at a time; `series`: how many values the metrics endpoint shows at most."""

    def __init__(self, cluster: Cluster, queue: WorkQueue[Key], metrics: Metrics, *, streams: int, series: int) -> None:
        self._cluster, self._queue, self._metrics = cluster, queue, metrics
        self._places, self._waiting = asyncio.Semaphore(streams), 0
        self.live = Live(series)
        self._jobs: dict[Key, _Job] = {}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="metrics")

    # -- what a pass over a job asks

    def follow(self, key: Key, snapshot: Snapshot, decision: Decision) -> None:
        """Read the logs of this job's training containers from now on, those of earlier attempts to their end."""
        if snapshot.job.terminal or snapshot.job.deleting:
            self.forget(key)
            return
        pods = {pod.uid: pod for pod in logmetrics.logs_to_read(snapshot)}
        job = self._jobs.get(key)
        if job is not None and job.uid != snapshot.job.uid:
            self.forget(key)
            job = None
        if job is None and not pods:
            return
        if job is None:
            job = self._jobs[key] = _Job(key, snapshot.job.uid, logmetrics.definitions(snapshot))
        for uid, pod in pods.items():
            self._begin(job, pod, snapshot)
            if pod.container(names.CONTAINER_TRAINING).terminated:
                job.logs[uid].over.set()
        for uid in job.logs.keys() - pods.keys():
            self._leave(job, uid)
        ending = decision.act is Act.FINISH or all(log.over.is_set() for log in job.logs.values())
        if ending and job.deadline is None:
            job.deadline = asyncio.get_running_loop().time() + HOLD_SECONDS

    def _begin(self, job: _Job, pod: Pod, snapshot: Snapshot) -> None:
        if pod.uid not in job.logs:
            log = job.logs[pod.uid] = _Log(pod, logmetrics.read_before(snapshot, pod))
            log.task = asyncio.create_task(self._read(job, log), name=f"log {pod.name}")
            job.deadline = None

    def _leave(self, job: _Job, uid: str) -> None:
        """Of a pod that has gone, or of an earlier attempt: read what there is, then let it go."""
        log = job.logs[uid]
        log.over.set()
        if log.done:
            del job.logs[uid]
            job.read_until.pop(log.pod.name, None)

    def reading(self, key: Key, uid: str) -> Reading | None:
        job = self._jobs.get(key)
        if job is None or job.uid != uid:
            return None
        expired = job.deadline is not None and asyncio.get_running_loop().time() >= job.deadline
        unread = [log for log in job.logs.values() if not log.done and (log.refused or expired)]
        return Reading(
            metrics=reading.as_data(job.latest),
            read_until={pod: moment(at) for pod, at in job.read_until.items()},
            final=bool(job.logs) and all(log.done for log in job.logs.values()),
            gaps=tuple(job.gaps),
            unread=tuple(
                f"{log.pod.host}: {log.trouble or 'it has more lines than could be read in time'}"
                for log in sorted(unread, key=lambda log: log.pod.rank)
            ),
            numberless=tuple(sorted(job.numberless - job.latest.keys())),
        )

    def hold(self, key: Key) -> float | None:
        """Seconds that the last status is to wait for the logs; None if there is nothing to wait for."""
        job = self._jobs.get(key)
        if job is None or job.deadline is None or all(log.done or log.refused for log in job.logs.values()):
            return None
        left = job.deadline - asyncio.get_running_loop().time()
        return left if left > 0 else None

    def forget(self, key: Key) -> None:
        job = self._jobs.pop(key, None)
        if job is None:
            return
        self.live.forget(key)
        for log in job.logs.values():
            if log.task is not None:
                log.task.cancel()

    # -- the work

    async def run(self) -> None:
        """Never returns. With it end all streams."""
        try:
            await asyncio.Event().wait()
        finally:
            for key in list(self._jobs):
                self.forget(key)
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _read(self, job: _Job, log: _Log) -> None:
        try:
            while not log.done:
                await self._once(job, log)
        except Exception:
            # A bug of ours costs this log.
            log.trouble = "an error of the operator's own, which its log has"
            _log.exception("log %s not read", log.pod.name, extra={"job": "/".join(job.key), "uid": job.uid})
            return
        if all(other.done for other in job.logs.values()):
            self._queue.add(job.key)

    async def _once(self, job: _Job, log: _Log) -> None:
        """One stream, and what follows from how it ended."""
        over, before = log.over.is_set(), log.last
        try:
            async with self._place():
                log.ended = await self._stream(job, log, follow=not over)
            if log.refused:
                self._queue.add(job.key)
            log.trouble, log.refused = "", False
        except NotFound:
            # Pods that are deleted end first, and with them their stream; else nobody will ever know the rest.
            if not log.ended:
                self._miss(job, reading.cut_off(log.pod.host, log.last))
            log.done = True
            return
        except ClusterError as error:
            log.ended, log.trouble = False, error.message
            if isinstance(error, Refused) and error.status in (401, 403) and not log.refused:
                log.refused = True
                self._queue.add(job.key)
        if log.last != before:
            log.delay = FIRST_DELAY
        # The apiserver ends an answer in good order also when the kubelet broke off: only one that brings nothing new is the end.
        if log.ended and over:
            log.done = log.last == before
        elif log.ended or log.trouble:
            await self._pause(log, over)

    async def _pause(self, log: _Log, over: bool) -> None:
        """Longer and longer while nothing comes. The end of the container ends it, and after that it stays short: the last
        status waits."""
        wait, log.delay = log.delay, min(log.delay * 2, LONGEST_DELAY)
        wait = REFUSED_DELAY if log.refused else min(wait, FIRST_DELAY * 2) if over else wait
        wait *= random.uniform(0.7, 1.3)  # noqa: S311 - not a secret
        if log.refused or over:
            await asyncio.sleep(wait)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await log.over.wait()

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the streams that are allowed; those who wait are served in their order."""
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        self._metrics.log_streams.inc()
        try:
            yield
        finally:
            self._metrics.log_streams.dec()
            self._places.release()

    async def _stream(self, job: _Job, log: _Log, *, follow: bool) -> bool:
        """False if it was left before its end: for the last look, as silence may be a dead connection, or for others."""
        clock = asyncio.get_running_loop().time
        began, asked = clock(), log.last
        heard, first, strange = began, None, ""
        since = moment(asked) if asked is not None else None
        lines = self._cluster.log(log.pod.namespace, log.pod.name, names.CONTAINER_TRAINING, since=since, follow=follow)
        async with contextlib.aclosing(lines):
            async for some in lines:
                if some:
                    found = await self._match(job, log, some)
                    if first is None and found.first is not None:
                        first = found.first
                        self._miss(job, reading.gap(log.pod.host, asked, first))
                    self._take(job, log, found)
                    heard, strange = clock(), strange or found.strange
                elif follow and (log.over.is_set() or clock() - heard > SILENT_SECONDS):
                    return False
                if self._waiting and clock() - began > TURN_SECONDS:
                    return False
        if first is None and strange:
            raise Unreachable(strange)
        if first is None and not follow:
            self._miss(job, reading.gap(log.pod.host, asked, None))
        return True

    async def _match(self, job: _Job, log: _Log, lines: list[bytes]) -> Found:
        loop = asyncio.get_running_loop()
        async with job.matching:
            found, seconds = await loop.run_in_executor(self._pool, _scan, job.definitions, lines, log.pod.rank)
            self._metrics.log_lines.inc(len(lines))
            if seconds > _SLOW_SECONDS:
                await asyncio.sleep(seconds)
        return found

    def _take(self, job: _Job, log: _Log, found: Found) -> None:
        if found.last is not None:
            log.last = job.read_until[log.pod.name] = found.last
        job.numberless |= found.numberless
        self.live.take(job.key, log.pod.host, found.samples)
        for name, sample in found.samples.items():
            known = job.latest.get(name)
            if (newer := reading.later(known, sample)) is not known:
                job.latest[name] = newer
                self._queue.add_after(job.key, STATUS_SECONDS)

    def _miss(self, job: _Job, text: str) -> None:
        if text and text not in job.gaps and len(job.gaps) < _GAPS:
            job.gaps.append(text)
            self._queue.add(job.key)


def _scan(definitions: Definitions, lines: list[bytes], rank: int) -> tuple[Found, float]:
    """And the seconds of a processor that it took."""
    began = time.thread_time()
    return matcher(definitions).scan(lines, rank), time.thread_time() - began
