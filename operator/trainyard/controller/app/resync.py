"""The full compare: what the apiserver has against what the watches told. Heals what was missed, and notices blind watches."""

from __future__ import annotations

import logging
from collections.abc import Callable

from trainyard.controller.adapters.cache import Key, newer
from trainyard.controller.adapters.cluster import Cluster, Resource
from trainyard.controller.adapters.errors import Expired
from trainyard.controller.app.metrics import Metrics
from trainyard.controller.app.state import KINDS, Kind, State
from trainyard.controller.core import read
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
        suspects = [(store, key) for store in self._state.stores.values() for key in store.suspects]
        for kind, resource, selector, namespaced in KINDS:
            listed = await self._versions(resource, selector, self._namespaces if namespaced else ("",))
            await self._kind(kind, resource, listed)
        return any(key in store.suspects for store, key in suspects)

    async def _kind(self, kind: Kind, resource: Resource, listed: dict[Key, str]) -> None:
        store = self._state.stores[kind]
        for key, version in listed.items():
            entry = store.entry(key)
            if entry is None or newer(version, entry.version):
                await self._ask(kind, resource, key, version)
        for key, entry in store:
            if key not in listed and not (isinstance(entry.value, Pod) and entry.value.gone):
                await self._ask(kind, resource, key, entry.version)
        for key in store.suspects.keys() - listed.keys():
            # A watch cannot be blamed for what there is nothing to tell about.
            store.heard(key)

    async def _versions(self, resource: Resource, selector: str, namespaces: tuple[str, ...]) -> dict[Key, str]:
        for attempt in range(_TRIES):
            found: dict[Key, str] = {}
            try:
                for namespace in namespaces:
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

    async def _ask(self, kind: Kind, resource: Resource, key: Key, version: str) -> None:
        """The watch may be a moment behind: it is suspected now and found blind only if it stays silent until the next compare.

        Only what is there can prove it blind: a deletion between two runs of kopf is told by nobody.
        """
        store = self._state.stores[kind]
        store.suspects[key] = version
        known, raw = store.entry(key), await self._cluster.find(resource, *key)
        keys = set[Key]()
        if raw is not None:
            keys = self._state.seen(kind, raw)
        elif known is not None:
            keys = self._state.gone(kind, key, known.uid)
        if keys:
            self._metrics.missed.inc()
        if raw is None or not keys:
            store.heard(key)
        for changed in keys:
            self._changed(changed)

    @property
    def suspicious(self) -> bool:
        return any(store.suspects for store in self._state.stores.values())

    def trust_again(self) -> None:
        """The watches begin anew, and with them the suspicion."""
        for store in self._state.stores.values():
            store.suspects.clear()
