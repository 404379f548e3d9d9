"""A proxy in front of an HTTP server, S3 or the apiserver, that does to chosen requests what networks and servers do on bad days, byte by byte.

It understands just enough HTTP to know where a request and its answer begin and end: heads, `content-length` and chunks. Whatever
no fault is meant for passes unchanged.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

BLOCK = 16 * 1024
Blocks = AsyncIterator[bytes]


class Reset(Exception):  # noqa: N818 - a command to the proxy itself
    """Ends the client's connection with an RST."""


@dataclass
class Fault:
    """What happens to requests whose `METHOD /path?query` matches `pattern`: the first `skip` pass, then `times` do not (None: all).

    One thing happens, after a `wait` if it has one: a made-up `answer` (status, code) without the server; a `reset` before the
    server sees the request, or after it has done it; or, from byte `at` on, something to the body of the server's answer (`down`)
    or of the request (`up`).
    """

    pattern: str = ""
    times: int | None = 1
    skip: int = 0
    chance: float = 1.0
    answer: tuple[int, str] | None = None
    location: str = ""
    """Where an `answer` sends its client to."""
    reset: Literal["before", "after"] | None = None
    down: Literal["cut", "flip", "stall", "slow"] | None = None
    up: Literal["cut", "flip", "stall", "slow"] | None = None
    at: int = 0
    rate: int = 1000
    """Bytes in a second of a `slow` body."""
    wait: tuple[float, float] = (0, 0)
    """So many seconds, between these two, pass before the answer begins."""
    then: Callable[[], object] = lambda: None
    """Called before it happens."""
    hits: int = 0

    def strikes(self, request: str, dice: float) -> bool:
        if not re.search(self.pattern, request) or dice >= self.chance:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True


@dataclass
class _Head:
    """The first line, and the headers as they came, names in lower case."""

    line: str
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str:
        return next((value for known, value in self.headers if known == name), "")

    def encode(self) -> bytes:
        return "".join([f"{self.line}\r\n", *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]).encode(
            "latin-1"
        )


class _Upstream:
    """The connection to the server. Unlike asyncio's, it can be read from when nothing can be written to it any more."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address)
        self._socket.setblocking(False)
        self._unsent = b""
        self.reader = asyncio.StreamReader(limit=1 << 20)
        self._pump = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with suppress(ConnectionError):
            while data := await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16):
                self.reader.feed_data(data)
        self.reader.feed_eof()

    def write(self, data: bytes) -> None:
        self._unsent += data

    async def drain(self) -> None:
        data, self._unsent = self._unsent, b""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def close(self) -> None:
        self._pump.cancel()
        self._socket.close()


@dataclass
class FaultProxy:
    """Listens on a port of its own, or where it is told to, and forwards to `target` (a URL). Use it as a context manager; `faults` may
    change at any time."""

    target: str
    faults: list[Fault] = field(default_factory=list)
    seed: int = 1
    listen: tuple[str, int] = ("127.0.0.1", 0)
    requests: list[str] = field(default_factory=list)
    """Every request that came, in order."""

    def __enter__(self) -> FaultProxy:
        host, _, port = self.target.removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self._dice = random.Random(self.seed)
        self._pauses = random.Random(self.seed)  # of its own: when they are drawn depends on the clock
        self._listener = socket.create_server(self.listen)
        # Small, so that a slow proxy is seen to be slow.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        self.url = "http://{}:{}".format(*self._listener.getsockname())
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, sock=self._listener, limit=1 << 16)
        await self._over.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, EOFError, asyncio.CancelledError):
            upstream = _Upstream(self._address)
            try:
                while await self._exchange((reader, writer), upstream):
                    pass
            except Reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            finally:
                upstream.close()
        writer.close()

    async def _exchange(self, client: Any, upstream: _Upstream) -> bool:
        """One request and its answer. May there be another one on this connection?"""
        request = await _head(client[0])
        if request is None:
            return False
        named = request.line.rpartition(" ")[0]
        self.requests.append(named)
        fault = next((fault for fault in self.faults if fault.strikes(named, self._dice.random())), Fault())
        fault.then()
        if fault.reset == "before":
            raise Reset
        if fault.answer:
            async for _ in _body(client[0], request):
                pass
            await asyncio.sleep(self._pauses.uniform(*fault.wait))
            client[1].write(_made_up(*fault.answer, fault.location))
            await client[1].drain()
            return True
        upstream.write(request.encode())
        body = _body(client[0], request)
        try:
            await upstream.drain()
            await _pass_on(body, fault.up, fault, upstream)
        except ConnectionError:
            # The server may have answered and hung up before it had read the whole body: the client is heard out.
            async for _ in body:
                pass
        answer = await _head(upstream.reader)
        if answer is None:
            return False
        await asyncio.sleep(self._pauses.uniform(*fault.wait))
        nothing = named.startswith("HEAD") or answer.line.split(" ")[1] in {"204", "304"}
        content = _nothing() if nothing else _body(upstream.reader, answer, answer=True)
        if fault.reset == "after":
            async for _ in content:
                pass
            raise Reset
        client[1].write(answer.encode())
        await _pass_on(content, fault.down, fault, client[1])
        return answer.get("connection").lower() != "close" and request.get("connection").lower() != "close"


async def _head(reader: asyncio.StreamReader) -> _Head | None:
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = text.rstrip("\r\n").split("\r\n")
    return _Head(line, [(name.lower(), value.strip()) for name, _, value in (each.partition(":") for each in rest)])


async def _nothing() -> Blocks:
    for block in ():
        yield block


async def _body(reader: asyncio.StreamReader, head: _Head, *, answer: bool = False) -> Blocks:
    """The bytes as they are on the wire: chunks keep their frames. An answer that says no length ends with its connection."""
    if answer and not head.get("content-length") and not head.get("transfer-encoding"):
        while block := await reader.read(BLOCK):
            yield block
        return
    if head.get("transfer-encoding").lower() == "chunked":
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            yield line + await reader.readexactly(size + 2)
            if not size:
                return
    left = int(head.get("content-length") or 0)
    while left:
        block = await reader.read(min(BLOCK, left))
        if not block:
            raise EOFError
        left -= len(block)
        yield block


async def _pass_on(body: Blocks, what: str | None, fault: Fault, writer: asyncio.StreamWriter | _Upstream) -> None:
    passed = 0
    async for whole in body:
        block = whole
        here = 0 <= fault.at - passed < len(block)
        if what == "flip" and here:
            changed = bytearray(block)
            changed[fault.at - passed] ^= 0x01
            block = bytes(changed)
        if what in {"cut", "stall"} and here:
            writer.write(block[: fault.at - passed])
            await writer.drain()
            if what == "cut":
                raise EOFError
            await asyncio.Event().wait()  # until the proxy ends, or its client has enough
        passed += len(block)
        if what == "slow":
            for first in range(0, len(block), piece := max(1, fault.rate // 20)):
                writer.write(part := block[first : first + piece])
                await writer.drain()
                await asyncio.sleep(len(part) / fault.rate)
        else:
            writer.write(block)
            await writer.drain()


def _made_up(status: int, code: str, location: str) -> bytes:
    text = f"<Error><Code>{code}</Code><Message>made up by the proxy</Message></Error>" if code else ""
    headers = [("content-type", "application/xml"), ("content-length", str(len(text)))]
    return (
        _Head(f"HTTP/1.1 {status} Made Up", headers + ([("location", location)] if location else [])).encode()
        + text.encode()
    )
