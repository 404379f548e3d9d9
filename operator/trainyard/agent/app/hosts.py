"""What is known of the other hosts: asked now and then, with a memory of since when one does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from trainyard.agent.adapters import clock
from trainyard.agent.app import peers
from trainyard.agent.app.settings import Settings
from trainyard.agent.core.finish import Peer
from trainyard.agent.core.lifecycle import Over
from trainyard.agent.errors import PeerFault
from trainyard.api.plan import Host, Plan


class Hosts:
    """algo-1 asks all others, the others ask algo-1."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._me = settings.host
        self._leader = plan.hosts[0].name
        rank = plan.rank(settings.host)
        self._hosts = plan.hosts[1:] if rank == 0 else plan.hosts[:1]
        self._peers = peers.Peers(plan, settings.port, settings.timing.connect)
        self._timing = settings.timing
        self._asked = 0.0
        self._failing: dict[str, float] = {}
        self.states: dict[str, dict[str, Any]] = {}

    async def look(self) -> None:
        """Asks all, if it is time again."""
        if not self._hosts or clock.now() - self._asked < self._timing.peer_poll:
            return
        await asyncio.gather(*(self._ask(host) for host in self._hosts))
        self._asked = clock.now()

    async def tell_committed(self, answer: dict[str, Any]) -> None:
        """The news, to all: they ask as well, so that one that is missed hears it a moment later."""
        body = json.dumps(answer).encode()

        async def tell(host: Host) -> None:
            with contextlib.suppress(PeerFault):
                await asyncio.to_thread(self._peers.ask, host, "POST", peers.COMMITTED, body)

        await asyncio.gather(*(tell(host) for host in self._hosts))

    def heard(self, host: str, state: dict[str, Any]) -> None:
        """News that came unasked."""
        self.states[host] = self.states.get(host, {}) | state

    def view(self) -> dict[str, Peer]:
        now = clock.now()
        return {host.name: self._peer(host.name, now) for host in self._hosts}

    @property
    def leader(self) -> dict[str, Any]:
        """What algo-1 said last, `missing` included; empty on algo-1 itself, and before it said anything."""
        said = self.states.get(self._leader, {})
        return {"missing": []} | said if said else {}

    @property
    def failed(self) -> list[str]:
        """Hosts whose training is known to have failed."""
        return [name for name, state in self.states.items() if state.get("failed")]

    @property
    def unreachable(self) -> list[str]:
        return sorted(self._failing)

    def _peer(self, name: str, now: float) -> Peer:
        state = self.states.get(name, {})
        since = self._failing.get(name)
        return Peer(
            over=Over(state.get("over", Over.NO)),
            lost=since is not None and now - since >= self._timing.peer_lost,
            prepared=bool(state.get("prepared")),
            done=bool(state.get("result")),
            without_me=self._me in state.get("missing", []),
        )

    async def _ask(self, host: Host) -> None:
        try:
            state = await asyncio.to_thread(self._peers.ask, host, "GET", peers.STATE)
        except PeerFault:
            self._failing.setdefault(host.name, clock.now())
        else:
            self._failing.pop(host.name, None)
            self.heard(host.name, state)
