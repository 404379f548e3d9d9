"""kopf's part: it watches, and every event becomes one call. No handler decides, waits, or leaves a mark on an object."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories  # kopf takes one, and shows it nowhere else

from trainyard.controller.adapters.cluster import Resource
from trainyard.controller.adapters.connection import Connection
from trainyard.controller.app.state import KINDS, Kind

Deliver = Callable[[Kind, Any, bool], None]
_BACKOFFS = (0.2, 1.0, 2.0, 5.0, 10.0)


class Backoffs:
    """Between the tries of one request, with jitter; iterated anew for each. After the last one the supervisor takes over."""

    def __iter__(self) -> Iterator[float]:
        return iter([delay * random.uniform(0.7, 1.3) for delay in _BACKOFFS])  # noqa: S311 - not a secret


class _NoDiffs(kopf.DiffBaseStorage):
    """Nothing of ours asks what has changed: kopf need not copy every object to find out."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None: ...


class _NoProgress(kopf.ProgressStorage):
    """Handlers of events have no progress that could be kept."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None: ...
    def purge(self, **_: Any) -> None: ...
    def touch(self, **_: Any) -> None: ...

    def clear(self, *, essence: Any) -> Any:
        return essence


class NoMemories(ResourceMemories):
    """Handlers of events share nothing between two of them: kopf need not keep a record of every object."""

    async def recall(self, raw_body: Any, *, ephemeral: bool = True, **more: Any) -> Any:
        return await super().recall(raw_body, ephemeral=ephemeral, **more)


def build_registry(deliver: Deliver, login: Callable[[], Awaitable[Connection]]) -> kopf.OperatorRegistry:
    """A registry of its own for each run. `deliver(kind, object, deleted)` is called in kopf's thread."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def authenticate(**_: Any) -> kopf.ConnectionInfo:
        connection = await login()
        return kopf.ConnectionInfo(
            server=connection.server,
            ca_path=connection.ca_path,
            insecure=connection.insecure,
            scheme="Bearer" if connection.token else None,
            token=connection.token,
            certificate_path=connection.certificate_path,
            private_key_path=connection.key_path,
            proxy_url=connection.proxy,
        )

    @kopf.on.startup(registry=registry)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False  # Events are written after the status, by ourselves
        settings.peering.standalone = True  # leadership is our Lease's
        settings.scanning.disabled = True  # no rights to list CRDs or namespaces
        settings.networking.request_timeout = 30
        settings.networking.connect_timeout = 10
        settings.networking.error_backoffs = Backoffs()
        settings.watching.connect_timeout = 10
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 310
        settings.queueing.worker_limit = None
        settings.queueing.idle_timeout = 0.1  # a worker keeps its last event
        settings.execution.max_workers = 1  # no synchronous handlers
        settings.persistence.diffbase_storage = _NoDiffs()
        settings.persistence.progress_storage = _NoProgress()
        settings.process.ultimate_exiting_timeout = None  # kopf may end its thread, not our process
        for _kind, resource, selector, _namespaced in KINDS:
            if selector:
                settings.watching.label_selectors[resource.group, resource.version, resource.plural] = selector

    for kind, resource, _selector, _namespaced in KINDS:
        _on_event(registry, deliver, kind, resource)
    return registry


def _on_event(registry: kopf.OperatorRegistry, deliver: Deliver, kind: Kind, resource: Resource) -> None:
    @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=kind)
    async def seen(event: Any, **_: Any) -> None:
        deliver(kind, event.get("object"), event.get("type") == "DELETED")
