"""The full compare: what the apiserver has against what the watches told. Heals what was missed, and notices blind watches."""

from __future__ import annotations

import logging
from collections.abc import Callable

from trainyard.controller.adapters.cache import Key, Store, newer
from trainyard.controller.adapters.cluster import PODS, Cluster
from trainyard.controller.adapters.errors import Expired
from trainyard.controller.app.metrics import Metrics
from trainyard.controller.app.state import JOBS, KINDS, OURS, Kind, State
from trainyard.controller.core import read
from trainyard.controller.core.job import Job
from trainyard.controller.core.observed import Pod

_log = logging.getLogger(__name__)
_TRIES = 3


class Resync:
    """`changed(key)` is called for each job whose objects turned out to be other than the watch had told."""

    def __init__(
        self,
        state: State,
        cluster: Cluster,
        namespaces: tuple[str, ...],
        metrics: Metrics,
        changed: Callable[[Key], None],
    ) -> None:
        self._state = state
        self._cluster = cluster
        self._namespaces = namespaces or ("",)
        self._metrics = metrics
        self._changed = changed

    async def prime(self) -> None:
        """Everything once, before anything is decided: a pod that is merely unseen must never look lost."""
        for kind, resource, selector, namespaced in KINDS:
            for namespace in self._namespaces if namespaced else ("",):
                async for item in self._cluster.list(resource, namespace, selector):
                    self._state.seen(kind, item)
        _log.info(
            "%d jobs, %d pods, %d instance types, %d roles",
            len(self._state.jobs),
            len(self._state.pods),
            len(self._state.types),
            len(self._state.roles),
        )

    async def compare(self) -> bool:
        """True if the watch is blind: something that the last compare found is still unheard of."""
        suspects = [(store, key) for store in (self._state.jobs, self._state.pods) for key in store.suspects]
        await self._kind("jobs")
        await self._kind("pods")
        return any(key in store.suspects for store, key in suspects)

    async def _kind(self, kind: Kind) -> None:
        store: Store[Job] | Store[Pod] = self._state.jobs if kind == "jobs" else self._state.pods
        listed, before = await self._versions(kind), {key for key, _ in store}
        for key, version in listed.items():
            entry = store.entry(key)
            if entry is None or newer(version, entry.version):
                await self._ask(kind, store, key, version)
        for key in before - listed.keys():
            if (entry := store.entry(key)) is not None and not (isinstance(entry.value, Pod) and entry.value.gone):
                await self._ask(kind, store, key, entry.version)

    async def _versions(self, kind: Kind) -> dict[Key, str]:
        resource, selector = (JOBS, "") if kind == "jobs" else (PODS, OURS)
        for attempt in range(_TRIES):
            found: dict[Key, str] = {}
            try:
                for namespace in self._namespaces:
                    async for item in self._cluster.list(resource, namespace, selector, metadata_only=True):
                        metadata = read.mapping(item, "metadata")
                        found[read.text(metadata, "namespace"), read.text(metadata, "name")] = read.text(
                            metadata, "resourceVersion"
                        )
                return found
            except Expired:
                # The list changed too much between two pages: from the start.
                if attempt == _TRIES - 1:
                    raise
        return {}

    async def _ask(self, kind: Kind, store: Store[Job] | Store[Pod], key: Key, version: str) -> None:
        """The watch may be a moment behind: it is suspected now and found blind only if it stays silent until the next compare."""
        store.suspects[key] = version
        raw = await self._cluster.find(JOBS if kind == "jobs" else PODS, *key)
        keys = self._state.seen(kind, raw) if raw is not None else self._gone(kind, key)
        if keys:
            self._metrics.missed.inc()
        else:
            store.heard(key)
        for changed in keys:
            self._changed(changed)

    def _gone(self, kind: Kind, key: Key) -> set[Key]:
        if kind == "jobs":
            return {key} if self._state.jobs.drop(key) else set()
        pod = self._state.pods.get(key)
        if pod is None:
            return set()
        self._state.pod_is_gone(pod)
        return {(pod.namespace, pod.job_name)} if pod.job_name else set()

    def trust_again(self) -> None:
        """The watches begin anew, and with them the suspicion."""
        self._state.jobs.suspects.clear()
        self._state.pods.suspects.clear()
