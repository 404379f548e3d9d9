"""An apiserver that knows pod logs alone, as a kubelet serves them: the newest file, from `sinceTime` in whole seconds."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from kubernetes.aio.client.configuration import Configuration

from trainyard.controller.adapters.cluster import Cluster
from trainyard.controller.core.loglines import moment, parse_stamp

_PATH = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/log")


@dataclass
class Log:
    """`lines` are the newest file's; a follower is told of what is appended, and left when the container has ended."""

    lines: list[bytes] = field(default_factory=list)
    rotated: int = 0
    ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, text: str | bytes, at: int) -> None:
        """`at` in nanoseconds since 1970."""
        line = text.encode() if isinstance(text, str) else text
        stamp = moment(at).strftime("%Y-%m-%dT%H:%M:%S").encode() + b".%09dZ" % (at % 10**9)
        self.raw(stamp + b" " + line)

    def raw(self, line: bytes) -> None:
        self.lines.append(line)
        self._tell()

    def end(self) -> None:
        self.ended = True
        self._tell()

    def _tell(self) -> None:
        told, self.changed = self.changed, asyncio.Event()
        told.set()

    def rotate(self) -> None:
        self.rotated += len(self.lines)
        self.lines = []


@dataclass
class Asked:
    """One request. `finished`: it was answered to the end."""

    pod: str
    follow: bool
    since: str | None
    finished: bool = False


class Kubelet:
    """`answers` are HTTP statuses and messages for pods that have no log to give; `asked` is every request so far."""

    def __init__(self) -> None:
        self.logs: dict[str, Log] = {}
        self.answers: dict[str, tuple[int, str]] = {}
        self.asked: list[Asked] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Cluster]:
        """And a client of it."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        configuration = Configuration()
        configuration.host = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        cluster = Cluster(configuration)
        await cluster.open()
        try:
            yield cluster
        finally:
            await cluster.close()
            self.break_off()
            self._server.close()
            await asyncio.gather(*self._answering, return_exceptions=True)

    @property
    def open(self) -> int:
        """Streams at this moment."""
        return sum(not asked.finished for asked in self.asked)

    def log(self, pod: str) -> Log:
        return self.logs.setdefault(pod, Log())

    def break_off(self) -> None:
        """Every connection is cut in the middle of its answer."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        asked = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            url = urlsplit(head.split(b" ", 2)[1].decode())
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            match = _PATH.fullmatch(url.path)
            assert match is not None, url
            assert (query["container"], query["timestamps"]) == ("training", "true")
            asked = Asked(match[2], query["follow"] == "true", query.get("sinceTime"))
            self.asked.append(asked)
            if (answer := self.answers.get(asked.pod)) is not None:
                body = f'{{"kind":"Status","message":"{answer[1]}"}}'
                writer.write(f"HTTP/1.1 {answer[0]} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                await writer.drain()
            else:
                await self._stream(asked, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            if asked is not None:
                asked.finished = True
            self._writers.discard(writer)
            writer.close()

    async def _stream(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        log = self.log(asked.pod)
        sent = log.rotated
        since = parse_stamp(asked.since.encode()) if asked.since else None
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        gone = asyncio.ensure_future(reader.read(1))  # the client has gone when this returns
        try:
            while not gone.done():
                changed = log.changed
                for line in log.lines[max(sent - log.rotated, 0) :]:
                    at = parse_stamp(line.partition(b" ")[0])
                    if since is None or at is None or at >= since:
                        writer.write(b"%x\r\n%s\n\r\n" % (len(line) + 1, line))
                sent = log.rotated + len(log.lines)
                await writer.drain()
                if log.ended or not asked.follow:
                    break
                waiting = asyncio.ensure_future(changed.wait())
                await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        finally:
            gone.cancel()
