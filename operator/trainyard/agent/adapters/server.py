"""A very small HTTP/1.1 server: one request per connection, everything bounded, nothing but the standard library."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

log = logging.getLogger(__name__)
HEAD_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024
PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    local: bool = False
    """It came from this host, or pod."""


@dataclass(frozen=True)
class Reply:
    """`stream`, where given, is the body: its end, or an error of its, ends the connection."""

    status: int = 200
    body: str = ""
    content_type: str = "application/json"
    stream: AsyncGenerator[bytes, None] | None = None


Handler = Callable[[Request], Awaitable[Reply]]


async def serve(handler: Handler, bind: str, port: int) -> list[asyncio.Server]:
    """Listens on `bind`, or on all addresses of both families (of IPv4 alone where there is no IPv6)."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            await _exchange(handler, reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    servers = [await asyncio.start_server(connected, bind or "0.0.0.0", port, limit=HEAD_BYTES)]  # noqa: S104 - the kubelet asks
    if not bind:
        with contextlib.suppress(OSError):
            servers.append(await asyncio.start_server(connected, "::", port, limit=HEAD_BYTES))
    return servers


async def _exchange(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        request = await _read(reader, _is_local(writer))
    if request is None:
        reply = Reply(400)
    else:
        try:
            reply = await handler(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            reply = Reply(500)
    length = "" if reply.stream else f"content-length: {len(reply.body.encode())}\r\n"
    head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\ncontent-type: {reply.content_type}\r\n{length}connection: close\r\n\r\n"
    writer.write(head.encode() + reply.body.encode())
    await writer.drain()
    if reply.stream:
        async with contextlib.aclosing(reply.stream) as blocks:
            async for block in blocks:
                writer.write(block)
                await writer.drain()


def _is_local(writer: asyncio.StreamWriter) -> bool:
    peer = writer.get_extra_info("peername")
    return bool(peer) and ip_address(peer[0]).is_loopback


async def _read(reader: asyncio.StreamReader, local: bool) -> Request | None:
    """None for what is no request, or too large a one."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    try:
        method, target, _version = head[0].split(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        size = int(headers.get("content-length") or 0)
    except ValueError:
        return None
    if not 0 <= size <= BODY_BYTES:
        return None
    parts = urlsplit(target)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, await reader.readexactly(size), local)
