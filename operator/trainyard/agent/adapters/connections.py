"""A pool of HTTP connections to one endpoint, and what their failures are called."""

from __future__ import annotations

import fcntl
import http.client
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from trainyard.agent.adapters.sigv4 import encode_key
from trainyard.agent.errors import StoreFault

BLOCK = 128 * 1024
# A name server that is away, or fails, is EAI_AGAIN. Not every C library has NODATA.
NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


@dataclass(frozen=True)
class Endpoint:
    """Where requests go: scheme, host (with its port where that is not the scheme's own) and a path that precedes all others."""

    secure: bool
    host: str
    base: str = ""

    @staticmethod
    def parse(url: str) -> Endpoint:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"the S3 endpoint {url!r} is not of the form http(s)://HOST[:PORT]")
        return Endpoint(parts.scheme == "https", parts.netloc.rpartition("@")[2], parts.path.rstrip("/"))

    def address(self, bucket: str, key: str, *, virtual: bool) -> tuple[str, str]:
        """Host and encoded path of an object; without a key, of its bucket. `virtual`: the bucket is part of the host name."""
        if virtual:
            return f"{bucket}.{self.host}", f"{self.base}/{encode_key(key)}"
        return self.host, f"{self.base}/" + encode_key(f"{bucket}/{key}" if key else bucket)


def fault_of(error: Exception) -> StoreFault:
    """A connection's failure as facts."""
    detail = f"{type(error).__name__}: {error}".rstrip(": ")
    match error:
        case socket.gaierror():
            return StoreFault("nowhere" if error.errno in NO_SUCH_NAME else "dns", detail)
        case ConnectionRefusedError():
            return StoreFault("refused", detail)
        case TimeoutError():
            return StoreFault("timeout", detail)
    if type(error).__name__ == "SSLCertVerificationError":
        return StoreFault("tls", detail)
    return StoreFault("connection", detail)


Moved = Callable[[int, float], None]
"""Told how many bytes have arrived on the other side, and in how many seconds."""


class Sending:
    """A body on its way. What the kernel has taken may be megabytes, and on a slow line minutes, ahead of what has arrived."""

    def __init__(self, sock: socket.socket, moved: Moved) -> None:
        self._sock = sock
        self._moved = moved
        self._given = 0
        self._arrived = 0
        self._since = time.monotonic()

    def gave(self, count: int) -> None:
        """So much more to the kernel."""
        self._given += count
        self._look(_unsent(self._sock))

    def wait(self, patience: float) -> None:
        """Returns when the other side has all of it, or has something to say. Raises TimeoutError after `patience` seconds in which
        nothing arrived."""
        answer = select.poll()
        answer.register(self._sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        left, since = _unsent(self._sock), time.monotonic()
        while left and not answer.poll(200):
            now = _unsent(self._sock)
            if now < left:
                left, since = now, time.monotonic()
                self._look(left)
            elif time.monotonic() - since > patience:
                raise TimeoutError("timed out")
        self._look(_unsent(self._sock))  # what it says may be that it takes no more

    def _look(self, left: int) -> None:
        # Head and encryption are among what is left: it may be more than was given.
        arrived, now = max(self._arrived, self._given - left), time.monotonic()
        self._moved(arrived - self._arrived, now - self._since)
        self._arrived, self._since = arrived, now


def _unsent(sock: socket.socket) -> int:
    """Bytes that the kernel has taken and the other side has not."""
    count: int = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]
    return count


class Pool:
    """Idle connections, the latest used first. Safe for threads; at most as many as are in use at once."""

    def __init__(self, connect_timeout: float, read_timeout: float, admits: Callable[[str], bool]) -> None:
        self._admits = admits
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._idle: dict[tuple[bool, str], list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def connection(self, secure: bool, host: str, *, fresh: bool) -> Iterator[tuple[http.client.HTTPConnection, bool]]:
        """A connected connection, and whether it was used before. It goes back if all went well and it may live on."""
        found = None if fresh else self._take(secure, host)
        connection = found or self._connect(secure, host)
        try:
            yield connection, found is not None
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:
            with self._lock:
                self._idle.setdefault((secure, host), []).append(connection)

    def _take(self, secure: bool, host: str) -> http.client.HTTPConnection | None:
        with self._lock:
            idle = self._idle.get((secure, host))
            return idle.pop() if idle else None

    def _connect(self, secure: bool, host: str) -> http.client.HTTPConnection:
        make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = make(host, timeout=self._connect_timeout, blocksize=BLOCK)
        connection.connect()
        # Asked of the address that was connected to, whatever the name resolves to at other times; nothing was sent yet.
        if not self._admits(address := connection.sock.getpeername()[0]):
            connection.close()
            raise StoreFault("forbidden", address)
        connection.sock.settimeout(self._read_timeout)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
