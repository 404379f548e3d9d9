"""The process: everything is made here, given to each other, started, and ended in order."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from trainyard.api.names import AGENT_PORT
from trainyard.controller.adapters.cache import Key
from trainyard.controller.adapters.cluster import Cluster, connect
from trainyard.controller.adapters.errors import ClusterError
from trainyard.controller.adapters.events import Events
from trainyard.controller.adapters.sidecars import Sidecars
from trainyard.controller.app import http
from trainyard.controller.app.apply import Applier
from trainyard.controller.app.deletion import Deletion
from trainyard.controller.app.intake import Intake
from trainyard.controller.app.lease import Lease, LeaseLost
from trainyard.controller.app.logscan import LogScan
from trainyard.controller.app.memory import Memories
from trainyard.controller.app.metrics import Metrics
from trainyard.controller.app.reconcile import Reconciler
from trainyard.controller.app.reports import Reports
from trainyard.controller.app.resync import Resync
from trainyard.controller.app.services import Services
from trainyard.controller.app.state import Kind, State
from trainyard.controller.app.workqueue import WorkQueue
from trainyard.controller.settings import Settings

_log = logging.getLogger(__name__)
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Blind for this many compares in a row although kopf was started again: give the process up.
BLIND_LIMIT = 3
# For each further host of a job.
LULL_SECONDS, LONGEST_LULL_SECONDS = 0.02, 1.0
# A pass that takes longer than this hangs: no request may take more than 30 s.
STUCK_SECONDS = 300.0
# Of Kubernetes: the feature gate ContainerRestartRules is on from then on. Where it was turned off the fields are dropped, without harm.
RESTART_RULES_SINCE = (1, 35)


def _utc() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class Operator:
    """One process's worth of operator, for one event loop."""

    def __init__(self, settings: Settings, cluster: Cluster, metrics: Metrics) -> None:
        self._settings, self._cluster, self._metrics = settings, cluster, metrics
        self._state, self._memories = State(), Memories()
        self._queue = WorkQueue[Key](self._state.is_new)
        self._sidecars = Sidecars(AGENT_PORT)
        self._reports = Reports(self._sidecars, self._memories, self._queue)
        self._logscan = LogScan(
            cluster,
            self._queue,
            metrics,
            streams=settings.metrics_from_logs_streams,
            series=settings.metrics_from_logs_series,
        )
        metrics.training.source = self._logscan.live.series
        self._events = Events(cluster, settings.identity, time.monotonic)
        applier = Applier(self._state, cluster, self._sidecars, self._queue.add)
        self._deletion = Deletion(self._state, cluster, applier, _utc)
        self._services = Services(self._state, cluster, self._events, _utc)
        self._reconciler = Reconciler(
            state=self._state,
            cluster=cluster,
            applier=applier,
            deletion=self._deletion,
            events=self._events,
            reports=self._reports,
            logscan=self._logscan,
            memories=self._memories,
            metrics=metrics,
            options=settings.options(),
            clock=_utc,
            pressed=lambda: self._queue.is_pressed,
        )
        self._resync = Resync(self._state, cluster, settings.namespaces, metrics, self._queue.add)
        self._intake = Intake(cluster, settings.namespaces, self._seen, metrics.kopf_restarts.inc)
        self._lease = Lease(
            cluster,
            settings.namespace,
            settings.lease_name,
            settings.identity,
            duration=settings.lease_duration_seconds,
            renew=settings.lease_renew_seconds,
            retry=settings.lease_retry_seconds,
        )
        self._primed = False
        self._compared = time.monotonic()
        self._blind = 0
        self._busy: dict[int, float] = {}

    async def run(self) -> None:
        """Until a task of its own fails, the lease is lost, or the caller cancels it."""
        await self._sidecars.open()
        probes = await http.serve(self._settings.health_port, {"/healthz": self._healthz, "/readyz": self._readyz})
        scrapes = await http.serve(self._settings.metrics_port, {"/metrics": self._render})
        try:
            await self._lease.acquire()
            _log.info("holding the lease as %s", self._settings.identity)
            self._metrics.leader.set(1)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._lease.keep(), name="lease")
                await self._prime()
                tasks.create_task(self._intake.run(), name="intake")
                tasks.create_task(self._reports.run(), name="reports")
                tasks.create_task(self._logscan.run(), name="logs")
                tasks.create_task(self._events.run(), name="events")
                tasks.create_task(self._compare_for_ever(), name="resync")
                for number in range(self._settings.workers):
                    tasks.create_task(self._work(number), name=f"worker-{number}")
        finally:
            self._metrics.leader.set(0)
            await self._lease.release()
            probes.close()
            scrapes.close()
            await self._sidecars.close()

    async def _prime(self) -> None:
        while not self._primed:
            try:
                await self._resync.prime()
                able = await self._cluster.version() >= RESTART_RULES_SINCE
                self._reconciler.options = replace(self._reconciler.options, restarts_stage=able)
                self._primed, self._compared = True, time.monotonic()
            except ClusterError as error:
                _log.warning("first lists failed, tried again: %s", error.message)
                await asyncio.sleep(2)
        for key in self._state.job_keys():
            self._queue.add(key)

    def _seen(self, kind: Kind, raw: Any, deleted: bool) -> None:
        metadata = raw.get("metadata") if isinstance(raw, dict) else None
        if not isinstance(metadata, dict):
            return
        key = (str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
        self._state.stores[kind].heard(key)
        for changed in self._state.seen(kind, raw, deleted):
            self._queue.add_after(changed, self._lull(changed) if kind == "pods" else 0.0)

    def _lull(self, key: Key) -> float:
        """Seconds to wait for what the other hosts of a job are about to say: a look at it costs as much as it has hosts."""
        job = self._state.jobs.get(key)
        hosts = job.hosts if job is not None else 0
        return min((hosts - 1) * LULL_SECONDS, LONGEST_LULL_SECONDS) if hosts > 1 else 0.0

    async def _work(self, number: int) -> None:
        """Never returns and never raises: a job that breaks a pass comes back later, alone."""
        while True:
            key = await self._queue.get()
            self._busy[number] = began = time.monotonic()
            result, wait = "ok", None
            try:
                wait = await self._reconciler.reconcile(key)
                self._queue.forgive(key)
            except ClusterError as error:
                result = type(error).__name__.lower()
                wait = self._queue.add_failed(key)
                _log.info("%s: %s; again in %.1f s", result, error.message, wait, extra={"job": f"{key[0]}/{key[1]}"})
            except Exception:
                # A bug of ours must cost one job, not all of them.
                result, wait = "bug", self._queue.add_failed(key)
                _log.exception("pass failed; again in %.1f s", wait, extra={"job": f"{key[0]}/{key[1]}"})
            finally:
                self._busy.pop(number, None)
                self._queue.done(key)
                self._metrics.reconciles.labels(result).inc()
                self._metrics.reconcile_seconds.observe(time.monotonic() - began)
            if result == "ok" and wait is not None:
                self._queue.add_after(key, wait)

    async def _compare_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            await self._compare()
            self._compared = time.monotonic()

    async def _compare(self) -> None:
        try:
            self._judge(await self._resync.compare())
            self._metrics.resync.set_to_current_time()
        except ClusterError as error:
            _log.warning("compare failed: %s", error.message)
        for key in self._state.unfinished():
            self._queue.add(key)
        try:
            await self._deletion.plans(self._settings.namespaces or ("",))
        except ClusterError as error:
            _log.warning("plans without a job not looked for: %s", error.message)
        await self._services.mend()

    def _judge(self, blind: bool) -> None:
        if blind:
            self._blind += 1
            _log.warning("the watch has missed changes for %d compares: it is started again", self._blind)
            self._resync.trust_again()
            self._intake.restart()
        elif self._blind and not self._resync.suspicious:
            self._blind = 0

    def _ailment(self) -> str:
        """Why the process should be replaced, empty if it should not."""
        now, period = time.monotonic(), self._settings.resync_seconds
        if not self._primed:
            return ""
        if now - self._compared > 3 * period + 60:
            return "no full compare for too long"
        if self._blind >= BLIND_LIMIT:
            return "the watch is blind"
        if any(now - began > STUCK_SECONDS for began in self._busy.values()):
            return "a pass hangs"
        return ""

    def _healthz(self) -> http.Answer:
        ailment = self._ailment()
        return http.text(503, ailment + "\n") if ailment else http.text(200, "ok\n")

    def _readyz(self) -> http.Answer:
        """A replica that waits for another's lease is ready: a rollout must not wait for it."""
        if self._primed:
            return http.text(200, "leader\n")
        return (
            http.text(200, f"standby, {self._lease.waiting_for} leads\n")
            if self._lease.waiting_for
            else http.text(503, "starting\n")
        )

    def _render(self) -> http.Answer:
        self._metrics.queue.set(len(self._queue))
        counts = Counter(entry.value.secondary_status or "New" for _, entry in self._state.jobs)
        self._metrics.jobs.clear()
        for status, count in counts.items():
            self._metrics.jobs.labels(status).set(count)
        self._metrics.series_dropped.set(self._logscan.live.dropped)
        return 200, METRICS_TYPE, self._metrics.render()


async def _lead(settings: Settings, cluster: Cluster, metrics: Metrics) -> None:
    """Leads as often as it can. A lost lease ends all work at once, with everything that was known; exiting as well would
    only add the kubelet's back-off to an outage of the apiserver."""
    while True:
        try:
            await Operator(settings, cluster, metrics).run()
        except* LeaseLost as lost:
            _log.error("no longer leading: %s", lost.exceptions[0])
        await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - not a secret


async def run(settings: Settings) -> int:
    """The exit code: 0 after a signal. Whatever else ends it is a fault, and raised."""
    metrics = Metrics()
    cluster = Cluster(await connect(), metrics.request)
    await cluster.open()
    leading = asyncio.ensure_future(_lead(settings, cluster, metrics))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leading.cancel)
    try:
        await leading
    except asyncio.CancelledError:
        _log.info("stopped by a signal")
    finally:
        await cluster.close()
    return 0
