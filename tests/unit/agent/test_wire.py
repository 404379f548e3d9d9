"""An answer on a socket, however it comes."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

from trainyard.agent.adapters import wire

PLAIN = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "a"\r\n\r\nhello'


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    yield ours, theirs
    ours.close()
    theirs.close()


def answered(
    ends: tuple[socket.socket, socket.socket],
    said: bytes,
    *,
    method: str = "GET",
    step: int = 0,
    most: int | None = None,
) -> wire.Reply:
    """The reply to what the other side says, `step` bytes at a time, and hangs up."""
    ours, theirs = ends

    def say() -> None:
        for first in range(0, len(said), step or len(said) or 1):
            theirs.sendall(said[first : first + (step or len(said))])
        theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=say)
    thread.start()
    try:
        return wire.reply(ours, method, most)
    finally:
        thread.join()


@pytest.mark.parametrize("step", [0, 1, 7])
def test_an_answer_is_read_in_whatever_pieces_it_comes(ends: tuple[socket.socket, socket.socket], step: int) -> None:
    found = answered(ends, PLAIN, step=step)
    assert (found.status, bytes(found.body), found.headers["etag"], found.closing) == (200, b"hello", '"a"', False)


@pytest.mark.parametrize("step", [0, 1])
def test_chunks_are_put_together(ends: tuple[socket.socket, socket.socket], step: int) -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: t\r\n\r\n"
    found = answered(ends, said, step=step)
    assert (bytes(found.body), found.closing) == (b"hello", False)


def test_an_answer_without_a_length_ends_with_its_connection(ends: tuple[socket.socket, socket.socket]) -> None:
    found = answered(ends, b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert (bytes(found.body), found.closing) == (b"hello", True)


@pytest.mark.parametrize(
    ("said", "method"),
    [
        (PLAIN[:-5], "HEAD"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "GET"),
    ],
    ids=["HEAD", "204", "304"],
)
def test_what_has_no_body_is_not_waited_for(
    ends: tuple[socket.socket, socket.socket], said: bytes, method: str
) -> None:
    found = answered(ends, said, method=method)
    assert (bytes(found.body), found.closing) == (b"", False)


def test_an_answer_may_be_announced(ends: tuple[socket.socket, socket.socket]) -> None:
    assert bytes(answered(ends, b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN).body) == b"hello"


@pytest.mark.parametrize(
    "said",
    [PLAIN + b"more", PLAIN.replace(b"ETag", b"Connection: close\r\nETag"), PLAIN.replace(b"1.1", b"1.0")],
    ids=["bytes that nobody asked for", "says so", "old"],
)
def test_a_connection_is_not_used_again(ends: tuple[socket.socket, socket.socket], said: bytes) -> None:
    found = answered(ends, said)
    assert (bytes(found.body), found.closing) == (b"hello", True)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (b"", http.client.RemoteDisconnected),
        (b"HTTP/1.1 200", http.client.IncompleteRead),
        (PLAIN[:-1], http.client.IncompleteRead),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", http.client.IncompleteRead),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhelXX0\r\n\r\n", http.client.IncompleteRead),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", http.client.IncompleteRead),
        (b"SSH-2.0-OpenSSH\r\n\r\n", http.client.BadStatusLine),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", http.client.BadStatusLine),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", http.client.BadStatusLine),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, http.client.LineTooLong),
        (PLAIN.replace(b'"a"', b'"a\0"'), http.client.HTTPException),
    ],
    ids=[
        "nothing",
        "no head",
        "short",
        "no end",
        "no break",
        "no size",
        "other",
        "no status",
        "no length",
        "endless",
        "NUL",
    ],
)
def test_what_is_no_whole_answer_is_a_fault(
    ends: tuple[socket.socket, socket.socket], said: bytes, fault: type[Exception]
) -> None:
    with pytest.raises(fault):
        answered(ends, said)


@pytest.mark.parametrize(
    "said",
    [
        PLAIN,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ],
    ids=["length", "chunks", "to the end"],
)
def test_more_than_was_asked_for_is_refused_before_it_is_in_memory(
    ends: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    with pytest.raises(http.client.HTTPException, match="more bytes"):
        answered(ends, said, most=4)


def test_what_a_refusal_says_may_be_longer_than_what_was_asked_for(ends: tuple[socket.socket, socket.socket]) -> None:
    found = answered(ends, PLAIN.replace(b"200 OK", b"404 Not Found"), most=1)
    assert (found.status, bytes(found.body)) == (404, b"hello")


def test_a_request_is_one_request() -> None:
    assert (
        wire.head("GET", "/k", {"host": "h", "range": "bytes=0-1"})
        == b"GET /k HTTP/1.1\r\nhost: h\r\nrange: bytes=0-1\r\n\r\n"
    )
    with pytest.raises(ValueError, match="line break"):
        wire.head("GET", "/k", {"if-match": '"a"\r\nx: y'})
