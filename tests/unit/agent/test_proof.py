"""ETags as digests of objects and of their parts."""

from __future__ import annotations

import hashlib

import pytest

from trainyard.agent.core.proof import Digest, fits, of_parts, parts, plain

MIB = 1024 * 1024


def md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()


@pytest.mark.parametrize(
    ("etag", "whole", "count"),
    [
        ('"d41d8cd98f00b204e9800998ecf8427e"', "d41d8cd98f00b204e9800998ecf8427e", None),
        ('"3bc7e4a69b8151ad81d8d2b290dc4eca-12"', None, 12),
        ('"3bc7e4a69b8151ad81d8d2b290dc4eca-0"', None, None),
        ('W/"d41d8cd98f00b204e9800998ecf8427e"', "d41d8cd98f00b204e9800998ecf8427e", None),
        ("3bc7e4a69b8151ad81d8d2b290dc4eca-2", None, 2),
        ('"CNDu1ry0kOECEAE="', None, None),
        ("", None, None),
    ],
)
def test_an_etag_of_another_form_says_nothing(etag: str, whole: str | None, count: int | None) -> None:
    assert (plain(etag), parts(etag)) == (whole, count)


def test_the_etags_of_parts_make_that_of_the_object() -> None:
    composite = Digest(10)
    composite.add(memoryview(bytes(25)))
    etags = [f'"{md5(bytes(size)).hex()}"' for size in (10, 10, 5)]
    assert of_parts(etags) == composite.etag()
    assert of_parts([*etags, '"opaque"']) is None


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 25])
@pytest.mark.parametrize("block", [1, 7, 100])
def test_a_digest_grows_with_blocks_of_any_size(size: int, block: int) -> None:
    data = bytes(range(size))
    whole, composite = Digest(None), Digest(10)
    for first in range(0, size, block):
        for digest in (whole, composite):
            digest.add(memoryview(data[first : first + block]))
    assert whole.etag() == md5(data).hex()
    pieces = [data[first : first + 10] for first in range(0, size, 10)]
    assert composite.etag() == f"{md5(b''.join(map(md5, pieces))).hex()}-{len(pieces)}"


@pytest.mark.parametrize(
    ("size", "part", "count", "can"),
    [(20 * MIB, 8 * MIB, 3, True), (16 * MIB, 8 * MIB, 2, True), (20 * MIB, 20 * MIB, 3, False), (5, 0, 1, False)],
)
def test_parts_of_one_size_must_add_up(size: int, part: int, count: int, can: bool) -> None:
    assert fits(size, part, count) is can
