"""What one host sends to another arrives as it was sent, or not at all."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest

from trainyard.agent.adapters.frames import HEAD, MOST, Framed, Unframed

PIECES = [b"header", b"", b"content" * 30, b"end"]


def sent(*pieces: bytes) -> bytes:
    made = io.BytesIO()
    stream = Framed(made.write)
    for each in pieces:
        stream.write(each)
    stream.end()
    return made.getvalue()


def pieces(stream: bytes, size: int = 100) -> Iterator[bytes]:
    """All of it, up to its end."""
    source = Unframed(io.BytesIO(stream).read)
    return iter(lambda: source.read(size), b"")


def received(stream: bytes, size: int = 100) -> bytes:
    return b"".join(pieces(stream, size))


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_what_is_sent_is_received_in_pieces_of_any_size(size: int) -> None:
    assert received(sent(*PIECES), size) == b"".join(PIECES)
    assert received(sent(), size) == b""


def test_a_large_piece_travels_in_frames_that_memory_holds() -> None:
    large = random.Random(1).randbytes(2 * MOST + 5)
    asked: list[int] = []
    stream = io.BytesIO(sent(large))

    def read(size: int) -> bytes:
        asked.append(size)
        return stream.read(size)

    source = Unframed(read)
    assert b"".join(iter(lambda: source.read(MOST), b"")) == large
    assert max(asked) == MOST


def test_a_bit_that_flips_anywhere_is_noticed_before_its_byte_is_given_out() -> None:
    stream, whole = sent(*PIECES), b"".join(PIECES)
    for bit in range(8 * len(stream)):
        damaged = bytearray(stream)
        damaged[bit // 8] ^= 1 << bit % 8
        given: list[bytes] = []
        with pytest.raises(ValueError, match=r"it was changed on the way, after byte \d+|it ended too early"):
            given.extend(pieces(bytes(damaged), 10))
        assert whole.startswith(b"".join(given))


def test_a_stream_that_ends_anywhere_before_its_end_is_noticed() -> None:
    stream = sent(*PIECES)
    for length in range(len(stream)):
        with pytest.raises(ValueError, match="it ended too early"):
            received(stream[:length])


def test_frames_that_are_lost_come_twice_or_change_places_are_noticed() -> None:
    stream = sent(b"one", b"two", b"six")
    size = HEAD.size + 3
    first, second, third, end = (stream[at : at + size] for at in range(0, len(stream), size))
    for wrong in ([second, third], [first, first, second, third], [second, first, third], [first, second]):
        with pytest.raises(ValueError, match="it was changed on the way"):
            received(b"".join([*wrong, end]))


def test_no_memory_is_asked_for_because_a_damaged_length_says_so() -> None:
    with pytest.raises(ValueError, match="it was changed on the way, after byte 0"):
        received(HEAD.pack(MOST + 1, 0))
