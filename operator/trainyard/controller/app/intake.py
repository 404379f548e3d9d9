"""kopf, supervised. It exits on several ordinary API faults and, when it ends, cancels every task of its event loop:
so it has a thread and a loop of its own, is started again when it ends, and nothing of ours runs beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable
from typing import Any

import kopf

from trainyard.controller.adapters.cluster import Cluster
from trainyard.controller.adapters.connection import Connection
from trainyard.controller.app.handlers import NoMemories, build_registry
from trainyard.controller.app.state import Kind

_log = logging.getLogger(__name__)
FIRST_DELAY, LONGEST_DELAY = 0.5, 15.0
# A run that lasted this long was a good one: the next delay is a first one.
GOOD_RUN_SECONDS = 60.0


class Intake:
    """Runs `kopf.operator` until the process ends. Events arrive in the loop that made this object, through `seen`."""

    def __init__(
        self,
        cluster: Cluster,
        namespaces: tuple[str, ...],
        seen: Callable[[Kind, Any, bool], None],
        restarted: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._namespaces = namespaces
        self._seen = seen
        self._restarted = restarted
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def restart(self) -> None:
        """kopf is blind: end this run. If it does not end, liveness will say so."""
        self._stop.set()

    async def run(self) -> None:
        """Never returns."""
        delay = FIRST_DELAY
        while True:
            began = self._loop.time()
            await self._one_run()
            delay = FIRST_DELAY if self._loop.time() - began > GOOD_RUN_SECONDS else min(delay * 2, LONGEST_DELAY)
            self._restarted()
            await asyncio.sleep(delay * random.uniform(0.7, 1.3))  # noqa: S311 - not a secret

    async def _one_run(self) -> None:
        self._stop = stop = threading.Event()
        over = asyncio.Event()

        def work() -> None:
            try:
                asyncio.run(self._operate(stop))
            except Exception as error:
                _log.warning("kopf ended, it is started again: %s: %s", type(error).__name__, error)
            finally:
                with contextlib.suppress(RuntimeError):  # our loop may have ended before
                    self._loop.call_soon_threadsafe(over.set)

        self._thread = threading.Thread(target=work, name="kopf", daemon=True)
        self._thread.start()
        try:
            await over.wait()
        finally:
            stop.set()

    async def _operate(self, stop: threading.Event) -> None:
        registry = build_registry(self._deliver, self._login)
        scope: dict[str, Any] = {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
        scope["identity"] = "trainyard"  # else kopf asks for the user's name, and a container's uid has none
        await kopf.operator(registry=registry, standalone=True, stop_flag=stop, memories=NoMemories(), **scope)

    async def _login(self) -> Connection:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._cluster.connection(), self._loop))

    def _deliver(self, kind: Kind, raw: Any, deleted: bool) -> None:
        self._loop.call_soon_threadsafe(self._seen, kind, raw, deleted)
