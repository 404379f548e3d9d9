"""One request and its answer on a connection, as HTTP/1.1 has it: what `http.client` does, at a fifth of its time.

That one reads an answer's head by the parser of e-mail, which takes longer than all else that a small object needs. Faults are those of
`http.client`, so that what is known of one is known of the other.
"""

from __future__ import annotations

import http.client
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from trainyard.agent.ports import Body

MOST_HEAD = 64 * 1024
MOST_SAID = 1024 * 1024
"""Of an answer that is no good one."""
RECEIVE = 64 * 1024


@dataclass(frozen=True)
class Reply:
    """`headers` have their names in lower case; of several with one name the last counts. `closing`: nothing can follow on this connection."""

    status: int
    headers: Mapping[str, str]
    body: Body
    closing: bool


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """A request up to its body. Raises ValueError for what would be more than one header."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    text = "\r\n".join(lines)
    if text.count("\r") != len(lines) - 1 or text.count("\n") != len(lines) - 1:
        raise ValueError("a header with a line break")
    return text.encode("latin-1")


def reply(sock: socket.socket, method: str, most: int | None = None) -> Reply:
    """The answer to a request that was sent. Raises OSError and HTTPException. `most`: bytes that a good answer may have: they are in
    memory before anybody can look at them."""
    reader = _Reader(sock)
    while True:
        version, status, headers = reader.head()
        if status >= 200:
            break
    if status >= 300:
        reader.most = MOST_SAID
    elif most is not None:
        reader.most = most
    closing = version != "HTTP/1.1" or "close" in headers.get("connection", "").lower()
    length = headers.get("content-length")
    if method == "HEAD" or status in {204, 304}:
        body: Body = b""
    elif "chunked" in headers.get("transfer-encoding", "").lower():
        body = reader.chunks()
    elif length is not None:
        if not length.isdecimal():
            raise http.client.BadStatusLine(f"content-length: {length[:40]}")
        body = reader.exactly(int(length))
    else:
        body, closing = reader.rest(), True
    # Bytes that nobody asked for: whatever they are, they must not be taken for the next answer.
    return Reply(status, headers, body, closing or reader.more)


class _Reader:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._here = b""
        """Received, and not given out yet."""
        self.most = sys.maxsize
        """Bytes that a body may have."""

    @property
    def more(self) -> bool:
        return bool(self._here)

    def head(self) -> tuple[str, int, dict[str, str]]:
        while (end := self._here.find(b"\r\n\r\n")) < 0:
            if len(self._here) > MOST_HEAD:
                raise http.client.LineTooLong("header")
            data = self._sock.recv(RECEIVE)
            if not data:
                if self._here:
                    raise http.client.IncompleteRead(self._here)
                raise http.client.RemoteDisconnected("Remote end closed connection without response")
            self._here = self._here + data if self._here else data
        if b"\0" in self._here[:end]:
            raise http.client.HTTPException("a header with a NUL character")
        first, *lines = self._here[:end].decode("latin-1").split("\r\n")
        self._here = self._here[end + 4 :]
        version, _, rest = first.partition(" ")
        code = rest[:3]
        if not version.startswith("HTTP/1.") or not code.isdecimal() or len(code) < 3:
            raise http.client.BadStatusLine(first[:80])
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return version, int(code), headers

    def exactly(self, size: int) -> memoryview:
        self._admit(size)
        into = memoryview(bytearray(size))
        at = min(size, len(self._here))
        into[:at] = self._here[:at]
        self._here = self._here[at:]
        while at < size:
            count = self._sock.recv_into(into[at:])
            if not count:
                raise http.client.IncompleteRead(bytes(into[: min(at, RECEIVE)]), size - at)
            at += count
        return into

    def rest(self) -> bytearray:
        body = bytearray(self._here)
        self._here = b""
        self._admit(len(body))
        while data := self._sock.recv(RECEIVE):
            self._admit(len(data))
            body += data
        return body

    def chunks(self) -> bytearray:
        body = bytearray()
        while True:
            size = self._line().partition(b";")[0].strip()
            try:
                count = int(size, 16)
            except ValueError as error:
                raise http.client.IncompleteRead(bytes(body[:RECEIVE])) from error
            if not count:
                break
            body += self.exactly(count)
            if self._line():
                raise http.client.IncompleteRead(bytes(body[:RECEIVE]))
        while self._line():  # trailers, up to an empty line
            pass
        return body

    def _admit(self, size: int) -> None:
        self.most -= size
        if self.most < 0:
            raise http.client.HTTPException("more bytes come than were asked for")

    def _line(self) -> bytes:
        while (end := self._here.find(b"\r\n")) < 0:
            data = self._sock.recv(RECEIVE)
            if not data or len(self._here) > MOST_HEAD:
                raise http.client.IncompleteRead(self._here[:RECEIVE])
            self._here += data
        line, self._here = self._here[:end], self._here[end + 2 :]
        return line
