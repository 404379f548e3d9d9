"""Leadership by one Lease: acquire before anything is written, renew, and stop being leader before another may begin.

Another holder's lease is judged by how long we have watched it stay the same, never by comparing clocks.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from trainyard.controller.adapters.cluster import LEASES, Cluster
from trainyard.controller.adapters.errors import ClusterError, Conflict
from trainyard.controller.core import read

_log = logging.getLogger(__name__)


class LeaseLost(Exception):  # noqa: N818 - a fact, not a fault
    """Not renewed in time: whatever leads must end at once."""


class Lease:
    """Times in seconds. `renew` is how long renewing may fail, less than `duration`, after which others take over."""

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, identity: str, *, duration: int, renew: int, retry: int
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration, self._renew, self._retry = duration, renew, retry
        self._held: dict[str, Any] | None = None
        self._seen: tuple[str, float] = ("", 0.0)
        self.waiting_for = ""

    async def acquire(self) -> None:
        """Returns as the holder."""
        while True:
            try:
                if await self._try():
                    self.waiting_for = ""
                    return
            except ClusterError as error:
                _log.warning("lease %s/%s: %s", self._namespace, self._name, error.message)
            await asyncio.sleep(self._retry)

    async def keep(self) -> None:
        """Renews until it cannot; then raises LeaseLost."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(self._retry)
            try:
                async with asyncio.timeout(max(self._renew - (loop.time() - renewed), 0.1)):
                    await self._put(self._held)
                renewed = loop.time()
            except Conflict as error:
                current = await self._current()
                if current is None or _holder(current) != self._identity:
                    self._held = None
                    raise LeaseLost(f"the lease is held by {_holder(current) if current else 'nobody'}") from error
                self._held = current
            except (ClusterError, TimeoutError) as error:
                _log.warning("lease not renewed: %s", error)
            if loop.time() - renewed > self._renew:
                self._held = None
                raise LeaseLost(f"the lease could not be renewed for {self._renew} s")

    async def release(self) -> None:
        """So that the next one need not wait. Best effort."""
        if self._held is None:
            return
        held, self._held = self._held, None
        held["spec"] = dict(read.mapping(held, "spec")) | {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            async with asyncio.timeout(3):
                await self._cluster.replace(LEASES, held)
        except (ClusterError, TimeoutError) as error:
            _log.info("lease not released: %s", error)

    async def _current(self) -> dict[str, Any] | None:
        try:
            return await self._cluster.find(LEASES, self._namespace, self._name)
        except ClusterError:
            return None

    async def _try(self) -> bool:
        current = await self._cluster.find(LEASES, self._namespace, self._name)
        if current is not None:
            holder, now = _holder(current), asyncio.get_running_loop().time()
            version = read.text(read.mapping(current, "metadata"), "resourceVersion")
            if holder and holder != self._identity:
                self.waiting_for = holder
                if self._seen[0] != version:
                    self._seen = (version, now)
                duration = read.number(read.mapping(current, "spec"), "leaseDurationSeconds") or self._duration
                if now - self._seen[1] < duration:
                    return False
        try:
            await self._put(current)
        except Conflict:
            return False
        return True

    async def _put(self, current: dict[str, Any] | None) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._duration,
            "renewTime": now,
        }
        if current is None:
            manifest = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": spec | {"acquireTime": now, "leaseTransitions": 0},
            }
            self._held = await self._cluster.create(LEASES, manifest)
            return
        before = read.mapping(current, "spec")
        if _holder(current) != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": (read.number(before, "leaseTransitions") or 0) + 1}
        self._held = await self._cluster.replace(LEASES, current | {"spec": dict(before) | spec})


def _holder(lease: dict[str, Any]) -> str:
    return read.text(read.mapping(lease, "spec"), "holderIdentity")
