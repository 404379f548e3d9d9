"""The Services of jobs on several hosts, looked at now and then: without theirs the hosts do not find each other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trainyard.api.reasons import Reason
from trainyard.controller.adapters.cluster import SERVICES, Cluster
from trainyard.controller.adapters.errors import ClusterError, Throttled, Unreachable
from trainyard.controller.adapters.events import Events
from trainyard.controller.app.state import State
from trainyard.controller.core import children, naming
from trainyard.controller.core.job import Job

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    state: State
    cluster: Cluster
    events: Events
    clock: Callable[[], datetime]

    async def mend(self) -> None:
        """Makes those again that somebody has deleted. What fails is looked at the next time; an apiserver that does not answer
        is asked once, and not for every job: whoever compares must not hang here."""
        for _, entry in self.state.jobs:
            job = entry.value
            if job.hosts < 2 or job.terminal or job.deleting:
                continue
            try:
                await self._mend(job.unpack())
            except ClusterError as error:
                _log.info("Service not looked at: %s", error.message, extra={"job": f"{job.namespace}/{job.name}"})
                if isinstance(error, (Unreachable, Throttled)):
                    return

    async def _mend(self, job: Job) -> None:
        owner = next((pod for pod in self.state.pods_of(job).values() if pod.alive and pod.plan_uid), None)
        name = naming.service_name(job.name, job.uid, job.attempt)
        if owner is None or await self.cluster.find(SERVICES, job.namespace, name) is not None:
            return
        plan = {"metadata": {"name": owner.plan, "uid": owner.plan_uid}}
        await self.cluster.create(SERVICES, children.owned(children.service(job), plan))
        text = f"Service {name}, by which the hosts find each other, was not there: it is made again"
        _log.warning("%s", text, extra={"job": f"{job.namespace}/{job.name}", "uid": job.uid})
        self.events.say(
            job.namespace,
            job.name,
            job.uid,
            kind="Warning",
            reason=Reason.SERVICE_MADE_AGAIN,
            message=text,
            now=self.clock(),
        )
