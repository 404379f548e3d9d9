"""What is left of deleted jobs: pods are told to end, upload, and then go with the plan that owns them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trainyard.api import names
from trainyard.controller.adapters.cache import Key
from trainyard.controller.adapters.cluster import CONFIG_MAPS, Cluster
from trainyard.controller.app.apply import Applier
from trainyard.controller.app.state import JOBS, OURS, State
from trainyard.controller.core import read
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.rundown import run_down, rundown

_log = logging.getLogger(__name__)
LOOK_AGAIN_SECONDS = 10.0
# The plan is deleted and its pods' end will be told; on a node that does not answer they may stay for long.
GONE_SECONDS = 60.0


@dataclass(frozen=True)
class Deletion:
    state: State
    cluster: Cluster
    applier: Applier
    clock: Callable[[], datetime]

    async def clear(self, key: Key) -> float | None:
        """One step for all deleted jobs that had this key. Seconds after which to look again; None if nothing is left."""
        groups = self.state.left_behind(key)
        if groups and await self._exists(key, groups):
            return None
        ended = [await self._clear(pods) for pods in groups]
        if not groups:
            return None
        return GONE_SECONDS if all(ended) else LOOK_AGAIN_SECONDS

    async def _clear(self, pods: list[Pod]) -> bool:
        """True once its plan was told to go."""
        if not run_down(pods, self.clock()):
            await self.applier.order(rundown(pods))
            return False
        for namespace, plan, uid in sorted({(pod.namespace, pod.plan, pod.plan_uid) for pod in pods if pod.plan}):
            _log.info(
                "the pods of a deleted job have ended: %s goes", plan, extra={"job": f"{namespace}/{pods[0].job_name}"}
            )
            await self.applier.delete_plan(namespace, plan, uid)
        return True

    async def _exists(self, key: Key, groups: list[list[Pod]]) -> bool:
        """Only the apiserver may say that a job is no more: an order cannot be taken back."""
        raw = await self.cluster.find(JOBS, *key)
        if raw is None:
            return False
        self.state.seen("jobs", raw)
        metadata = read.mapping(raw, "metadata")
        uid, deleting = read.text(metadata, "uid"), read.text(metadata, "deletionTimestamp")
        return not deleting and any(pods[0].job_uid == uid for pods in groups)

    async def plans(self, namespaces: tuple[str, ...]) -> None:
        """Plans without pods whose job, or attempt, is no more: made by an operator that died before it made the pods."""
        for namespace in namespaces:
            async for item in self.cluster.list(CONFIG_MAPS, namespace, OURS, metadata_only=True):
                await self._plan(item)

    async def _plan(self, item: object) -> None:
        metadata = read.mapping(item, "metadata")
        labels = read.texts(metadata, "labels")
        job_uid = labels.get(names.LABEL_JOB_UID, "")
        key = (read.text(metadata, "namespace"), labels.get(names.LABEL_JOB_NAME, ""))
        known = self.state.jobs.get(key)
        attempt = labels.get(names.LABEL_ATTEMPT, "")
        pods = self.state.pods.group((key[0], job_uid))
        uid = read.text(metadata, "uid")
        if not job_uid or any(str(pod.attempt) == attempt for pod in pods):
            return
        if any(entry.value.plan_uid == uid and not entry.value.gone for _, entry in self.state.pods):
            return  # its labels were changed: those of its pods say that it is needed
        if known is not None and known.uid == job_uid:
            if attempt.isdigit() and int(attempt) < known.attempt:
                await self.applier.delete_plan(key[0], read.text(metadata, "name"), uid)
            return
        raw = await self.cluster.find(JOBS, *key)
        if raw is None or read.text(read.mapping(raw, "metadata"), "uid") != job_uid:
            await self.applier.delete_plan(key[0], read.text(metadata, "name"), uid)
