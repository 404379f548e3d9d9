"""A few lines of HTTP for probes and metrics, on the operator's own loop: if that is stuck, nobody answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

# path -> (status, content type, body)
Answer = tuple[int, str, bytes]
Routes = Mapping[str, Callable[[], Answer]]
_REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}
_TIMEOUT_SECONDS = 5.0


def text(status: int, body: str) -> Answer:
    return status, "text/plain; charset=utf-8", body.encode()


async def serve(port: int, routes: Routes) -> asyncio.Server:
    """GET of the exact paths in `routes`, on all interfaces; one request for each connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                parts = head.split(b" ", 2)
                route = routes.get(parts[1].split(b"?", 1)[0].decode("latin-1")) if len(parts) == 3 else None
                status, kind, body = route() if route is not None else text(404, "not here\n")
                writer.write(
                    f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    return await asyncio.start_server(answer, None, port)
