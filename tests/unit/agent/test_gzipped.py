"""Compression by several threads: one stream, whole or refused."""

from __future__ import annotations

import gzip
import random
import threading

import pytest

from trainyard.agent.adapters.gzipped import Gzip


def packed(*pieces: bytes) -> bytes:
    found: list[bytes] = []
    stream = Gzip(found.append)
    for each in pieces:
        stream.add(each)
    stream.end()
    return b"".join(found)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 20) + 17])
def test_what_was_added_comes_out_and_the_same_gives_the_same(size: int) -> None:
    body = random.Random(1).randbytes(size // 2) + bytes(size - size // 2)
    pieces = [body[first : first + 300_000] for first in range(0, size, 300_000)]
    assert gzip.decompress(packed(*pieces)) == body
    assert packed(*pieces) == packed(*pieces)


def test_what_cannot_be_written_is_raised_to_who_adds() -> None:
    def refuse(data: bytes) -> None:
        if len(data) > 1000:
            raise ConnectionError("no")

    stream = Gzip(refuse)

    def add() -> None:
        for _ in range(50):
            stream.add(random.Random(1).randbytes(1 << 20))
        stream.end()

    with pytest.raises(ConnectionError, match="no"):
        add()
    stream.abandon()


def test_what_is_abandoned_is_dropped_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    found: list[bytes] = []
    stream = Gzip(found.append)
    stream.add(bytes(10 << 20))
    stream.abandon()
    assert set(threading.enumerate()) == before
    with pytest.raises((EOFError, gzip.BadGzipFile)):
        gzip.decompress(b"".join(found))
