"""Talking to the other hosts' sidecars: one request, one answer, no patience of its own."""

from __future__ import annotations

import http.client
import json
from typing import Any

from trainyard.agent.errors import PeerFault
from trainyard.api.names import agent_token
from trainyard.api.plan import Host, Plan

BARRIER = "/barrier"
STATE = "/peer/state"
TREE = "/peer/tree"
ARCHIVE = "/peer/archive"
COMMITTED = "/peer/committed"


class Peers:
    """Requests to the sidecars of one job's attempt. All methods raise PeerFault."""

    def __init__(self, plan: Plan, port: int, timeout: float) -> None:
        self._port = port
        self._timeout = timeout
        self._headers = {"authorization": f"Bearer {agent_token(plan.job.uid, plan.job.attempt)}"}

    def ask(
        self, host: Host, method: str, target: str, body: bytes | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """A JSON object."""
        response = self.open(host, method, target, body, timeout)
        try:
            answer = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise PeerFault(host.name, f"{type(error).__name__}: {error}") from error
        finally:
            response.close()
        return answer if isinstance(answer, dict) else {}

    def open(
        self, host: Host, method: str, target: str, body: bytes | None = None, timeout: float | None = None
    ) -> http.client.HTTPResponse:
        """An answer to read from; the connection ends with it."""
        connection = http.client.HTTPConnection(host.address, self._port, timeout=timeout or self._timeout)
        try:
            connection.request(method, target, body=body, headers=self._headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise PeerFault(host.name, f"{type(error).__name__}: {error}") from error
        if response.status != 200:
            detail = response.read(200).decode("utf-8", "replace")
            response.close()
            connection.close()
            raise PeerFault(host.name, f"HTTP {response.status}: {detail}")
        return response
