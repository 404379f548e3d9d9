"""What is known of an object's bytes from its ranges."""

from __future__ import annotations

import base64
import hashlib
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from trainyard.agent.adapters.fetcher import BY_CRC32, BY_MD5
from trainyard.agent.app.hot import Hot
from trainyard.agent.core import crc
from trainyard.agent.ports import StoredObject


@given(some.binary(max_size=100), some.binary(max_size=100))
def test_the_crcs_of_two_pieces_give_that_of_both(first: bytes, second: bytes) -> None:
    assert crc.joined(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


def seen(item: StoredObject, body: bytes, size: int) -> Hot:
    """All ranges of the body, in any order, one of them twice."""
    hot = Hot(item, size)
    firsts = list(range(0, len(body), size))
    random.Random(1).shuffle(firsts)
    for first in [*firsts, firsts[0]]:
        piece = body[first : first + size]
        if first % (2 * size):
            hot.look(first, piece)
            continue
        crc32 = zlib.crc32(piece).to_bytes(4, "big")
        hot.saw(first, len(piece), {BY_CRC32: crc32, BY_MD5: hashlib.md5(piece).digest()}.get(hot.by, b""))
    return hot


@pytest.mark.parametrize("length", [1, 9, 10, 11, 99, 100])
def test_ranges_in_any_order_give_the_checksum_of_the_whole(length: int) -> None:
    body = bytes(range(length))
    hot = seen(StoredObject("k", length, '"x-1"', "CRC32"), body, 10)
    assert hot.checksum == f"CRC32={base64.b64encode(zlib.crc32(body).to_bytes(4, 'big')).decode()}"
    assert not hot.etag


@pytest.mark.parametrize("length", [9, 10, 11, 100])
def test_ranges_as_large_as_the_parts_give_the_etag(length: int) -> None:
    body = bytes(range(length))
    parts = [hashlib.md5(body[first : first + 10]).digest() for first in range(0, length, 10)]
    etag = f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"
    hot = seen(StoredObject("k", length, f'"{etag}"'), body, 10)
    assert hot.etag == etag
    assert not hot.checksum


def test_parts_of_another_size_say_nothing() -> None:
    hot = seen(StoredObject("k", 100, f'"{"0" * 32}-7"'), bytes(100), 10)
    assert not hot.etag
    assert not hot.checksum


def test_of_a_bucket_whose_etags_are_no_digests_none_is_made() -> None:
    assert Hot(StoredObject("k", 100, f'"{"0" * 32}-10"'), 10).by == BY_MD5
    assert Hot(StoredObject("k", 100, f'"{"0" * 32}-10"'), 10, opaque=True).by == ""
