"""Kubernetes Events: best effort, said once, and never so many that they hurt."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from trainyard.api import names
from trainyard.controller.adapters.cluster import EVENTS, Cluster, Raw
from trainyard.controller.adapters.errors import ClusterError

_log = logging.getLogger(__name__)
_REMEMBERED, _PENDING = 2048, 1000
_MESSAGE_CHARS = 1024
# What is Normal stands in the status as well: it leaves half of the burst to the Warnings.
RATE_PER_SECOND, BURST = 10.0, 100.0


class Events:
    """`monotonic` is in seconds and only measures the rate."""

    def __init__(self, cluster: Cluster, reporter: str, monotonic: Callable[[], float]) -> None:
        self._cluster = cluster
        self._reporter = reporter
        self._monotonic = monotonic
        self._said: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._tokens, self._refilled = BURST, monotonic()
        self._pending: asyncio.Queue[Raw] = asyncio.Queue(_PENDING)

    async def run(self) -> None:
        """Writes what was said, so that no job waits for it. Never returns."""
        while True:
            await self._write(await self._pending.get())

    def _allowed(self, kind: str) -> bool:
        now = self._monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._refilled) * RATE_PER_SECOND)
        self._refilled = now
        if self._tokens < (1 if kind == "Warning" else BURST / 2):
            return False
        self._tokens -= 1
        return True

    def say(self, namespace: str, name: str, uid: str, *, kind: str, reason: str, message: str, now: datetime) -> None:
        """`kind` is Normal or Warning. The same words about the same object are not repeated."""
        said = (uid, reason, message)
        if said in self._said or self._pending.full() or not self._allowed(kind):
            return
        self._said[said] = None
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        event: Raw = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name[:200]}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": names.API_VERSION,
                "kind": "TrainingJob",
                "namespace": namespace,
                "name": name,
                "uid": uid,
            },
            "type": kind,
            "reason": reason,
            "message": message[:_MESSAGE_CHARS],
            "source": {"component": names.FIELD_MANAGER},
            "reportingComponent": names.FIELD_MANAGER,
            "reportingInstance": self._reporter,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }
        self._pending.put_nowait(event)

    async def _write(self, event: Raw) -> None:
        try:
            await self._cluster.create(EVENTS, event)
        except ClusterError as error:
            _log.info("event not written: %s", error.message)
