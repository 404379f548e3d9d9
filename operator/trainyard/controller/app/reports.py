"""Asks the sidecars of staging and uploading hosts how they are, at most every 10 s each, of those that train the ones that stream
every half minute, and those that keep checkpoints every minute. What they say is shown; nothing rests on it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from trainyard.api import names
from trainyard.api.report import Report
from trainyard.controller.adapters.cache import Key
from trainyard.controller.adapters.sidecars import Sidecars
from trainyard.controller.app.memory import Memories
from trainyard.controller.app.workqueue import WorkQueue
from trainyard.controller.core import evidence, folders
from trainyard.controller.core.observed import Pod, parse_report
from trainyard.controller.core.snapshot import Snapshot

INTERVAL_SECONDS = 10.0
STREAMS_SECONDS, CHECKPOINTS_SECONDS = 30.0, 60.0
# The first question: at once where a decision could use the answer, else late enough that a quick job is never asked.
FIRST_SECONDS = 5.0
TICK_SECONDS = 0.5
AT_ONCE = 64


@dataclass
class _Wanted:
    key: Key
    job_uid: str
    attempt: int
    ip: str
    due: float
    every: float


class Reports:
    def __init__(self, sidecars: Sidecars, memories: Memories, queue: WorkQueue[Key]) -> None:
        self._sidecars = sidecars
        self._memories = memories
        self._queue = queue
        self._wanted: dict[str, _Wanted] = {}
        self._by_job: dict[Key, set[str]] = {}

    def follow(self, key: Key, snapshot: Snapshot) -> None:
        """Ask the hosts of this job that are busy, and no others of it any more."""
        now = asyncio.get_running_loop().time()
        busy = {pod.uid: pod for pod in snapshot.pods if interval(snapshot, pod)} if not snapshot.job.terminal else {}
        for uid in self._by_job.get(key, set()) - busy.keys():
            self._wanted.pop(uid, None)
        for uid, pod in busy.items():
            urgent = evidence.may_be_limit(snapshot, pod)
            known, every = self._wanted.get(uid), interval(snapshot, pod)
            if known is None or known.every > every:
                due = now if urgent else now + FIRST_SECONDS
                self._wanted[uid] = _Wanted(key, snapshot.job.uid, snapshot.job.attempt, pod.ip or "", due, every)
            elif urgent and known.due > now + TICK_SECONDS * 2:
                known.due = now
            else:
                known.every = every
        if busy:
            self._by_job[key] = set(busy)
        else:
            self._by_job.pop(key, None)

    def forget(self, key: Key) -> None:
        for uid in self._by_job.pop(key, set()):
            self._wanted.pop(uid, None)

    async def run(self) -> None:
        """Never returns."""
        loop = asyncio.get_running_loop()
        while True:
            due = [uid for uid, wanted in self._wanted.items() if wanted.due <= loop.time()][:AT_ONCE]
            if due:
                await asyncio.gather(*(self._ask(uid) for uid in due))
            await asyncio.sleep(TICK_SECONDS)

    async def _ask(self, uid: str) -> None:
        wanted = self._wanted.get(uid)
        if wanted is None:
            return
        wanted.due = asyncio.get_running_loop().time() + wanted.every
        token = names.agent_token(wanted.job_uid, wanted.attempt)
        text = await self._sidecars.call("GET", wanted.ip, names.PATH_REPORT, token)
        report = parse_report(text) if text is not None else None
        if report is None or uid not in self._wanted:
            return
        memory = self._memories.of(wanted.key, wanted.job_uid)
        if _gist(memory.reports.get(uid)) != _gist(report):
            memory.reports[uid] = report
            self._queue.add(wanted.key)


def interval(snapshot: Snapshot, pod: Pod) -> float:
    """Seconds between questions; 0: none."""
    if not pod.ip or pod.over or pod.deleting is not None:
        return 0
    if _busy(pod):
        return INTERVAL_SECONDS
    spec = snapshot.job.spec
    if spec is None or pod.container(names.CONTAINER_TRAINING).state != "running":
        return 0
    if any(spec.mode_of(channel) == "Pipe" for channel in spec.input_data_config):
        return STREAMS_SECONDS
    kind = snapshot.instance_type.spec if snapshot.instance_type is not None else None
    may_be_full = kind is not None and kind.storage_class_name is not None
    return CHECKPOINTS_SECONDS if spec.checkpoint_config is not None or folders.kept(spec) or may_be_full else 0


def _busy(pod: Pod) -> bool:
    staging = evidence.downloading_since(pod) is not None and pod.container(names.CONTAINER_TRAINING).state in (
        "absent",
        "waiting",
    )
    return staging or evidence.training_over(pod)


def _gist(report: Report | None) -> tuple[object, ...]:
    """What of a report is worth a pass: not the bytes that grow all the time."""
    if report is None:
        return ()
    kept = report.checkpoints
    checkpoints = (kept.last_pass_at is not None, kept.trouble) if kept is not None else None
    return report.phase, report.reason, report.message, report.stop_reason, report.failure, checkpoints
