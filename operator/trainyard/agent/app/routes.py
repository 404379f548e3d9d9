"""The sidecar's HTTP face: open for the kubelet's probes, with the attempt's token for operator and peers, and with one
of its own for training."""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING

from trainyard.agent.adapters.server import Reply, Request
from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app import peers
from trainyard.agent.app.lending import Lending
from trainyard.agent.app.settings import SEEN_AS
from trainyard.api import names
from trainyard.api.report import TrainingEnd

if TYPE_CHECKING:
    from trainyard.agent.app.sidecar import Sidecar

BLOCK = 256 * 1024
OK = Reply(body="{}")


class Routes:
    """Requests to answers. What they mean is the sidecar's business."""

    def __init__(self, sidecar: Sidecar, token: str) -> None:
        self._sidecar = sidecar
        self._lending = Lending(sidecar.settings, sidecar.plan)
        self._token = token.encode()
        self._open: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", names.PATH_LIVE): self._live,
            ("GET", names.PATH_PRESTOP): self._prestop,
            ("GET", "/healthz"): lambda _: OK,
            ("GET", "/metrics"): lambda _: Reply(
                body=self._sidecar.metrics(), content_type="text/plain; version=0.0.4"
            ),
        }
        self._closed: dict[tuple[str, str], Callable[[Request], Awaitable[Reply]]] = {
            ("GET", names.PATH_REPORT): self._report,
            ("POST", names.PATH_TRAINING_ENDED): self._training_ended,
            ("POST", peers.BARRIER): self._barrier,
            ("GET", peers.STATE): self._state,
            ("GET", peers.TREE): self._tree,
            ("GET", peers.ARCHIVE): self._archive,
            ("POST", peers.COMMITTED): self._committed,
        }

    async def __call__(self, request: Request) -> Reply:
        where = (request.method, request.path)
        if free := self._open.get(where):
            return free(request)
        if where == ("GET", names.PATH_CREDENTIALS):
            return await self._lending(request)
        guarded = self._closed.get(where)
        if guarded is None:
            return Reply(404)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.encode(), self._token):
            return Reply(401)
        return await guarded(request)

    def _live(self, _request: Request) -> Reply:
        return Reply(200 if self._sidecar.probed() else 503)

    def _prestop(self, _request: Request) -> Reply:
        self._sidecar.prestop()
        return OK

    async def _report(self, _request: Request) -> Reply:
        return Reply(body=self._sidecar.report().to_json())

    async def _training_ended(self, request: Request) -> Reply:
        try:
            self._sidecar.training_ended(TrainingEnd.from_json(request.body))
        except ValueError:
            return Reply(400)
        return OK

    async def _barrier(self, request: Request) -> Reply:
        barrier = self._sidecar.barrier
        barrier.arrived(request.query.get("host", ""))
        missing = barrier.missing
        return Reply(body=json.dumps({"open": not missing, "missing": missing}))

    async def _state(self, _request: Request) -> Reply:
        return Reply(body=json.dumps(self._sidecar.state()))

    async def _tree(self, request: Request) -> Reply:
        name = request.query.get("tree", "")
        if name not in SEEN_AS:
            return Reply(404)
        tree = Tree(self._sidecar.settings.tree(name), SEEN_AS[name])
        fingerprint, size = await asyncio.to_thread(tree.survey)
        return Reply(body=json.dumps({"fingerprint": fingerprint, "size": size}))

    async def _archive(self, request: Request) -> Reply:
        name = request.query.get("tree", "")
        if name not in SEEN_AS:
            return Reply(404)
        return Reply(stream=self._stream(name), content_type="application/x-tar")

    async def _stream(self, tree: str) -> AsyncGenerator[bytes, None]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trainyard.agent", "archive", tree, *self._sidecar.settings.arguments(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, limit=BLOCK,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            while block := await process.stdout.read(BLOCK):
                yield block
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _committed(self, request: Request) -> Reply:
        try:
            answer = json.loads(request.body)
        except ValueError:
            return Reply(400)
        if isinstance(answer, dict):
            self._sidecar.leader_says(answer)
        return OK
