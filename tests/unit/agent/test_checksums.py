"""Which of a store's checksums is taken, and what it finds."""

from __future__ import annotations

import base64
import hashlib
import zlib
from email.message import Message

import pytest

from trainyard.agent.adapters import checksums


def answer(**headers: str) -> Message:
    made = Message()
    for name, value in headers.items():
        made[f"x-amz-checksum-{name}"] = value
    return made


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.mark.parametrize(
    ("algorithms", "kind", "found"),
    [
        ([], "", ""),
        (["CRC64NVME"], "FULL_OBJECT", ""),
        (["CRC32"], "FULL_OBJECT", "CRC32"),
        (["CRC32"], "", "CRC32"),
        (["CRC32"], "COMPOSITE", ""),
        (["SHA1", "SHA256", "CRC32C"], "FULL_OBJECT", "SHA256"),
    ],
)
def test_a_listing_says_whether_there_is_one_to_verify(algorithms: list[str], kind: str, found: str) -> None:
    assert checksums.listed(algorithms, kind) == found


def test_that_of_parts_is_none_of_the_whole() -> None:
    assert checksums.answered(answer(crc32="AAAAAA==", type="COMPOSITE")) == ""
    assert checksums.answered(answer(sha256="AAAAAA==-3")) == ""
    assert checksums.answered(answer(crc64nvme="AAAAAA==")) == ""
    assert checksums.answered(answer(CRC32="AAAAAA==", type="FULL_OBJECT")) == "CRC32=AAAAAA=="


@pytest.mark.parametrize("name", ["CRC32", "SHA1", "SHA256"])
def test_bytes_are_verified_in_whatever_pieces_they_come(name: str) -> None:
    digest = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256}.get(name)
    value = base64.b64encode(digest(b"abcdef").digest()).decode() if digest else crc32(b"abcdef")
    verifier = checksums.Verifier(f"{name}={value}")
    for piece in (b"ab", b"", memoryview(b"cdef")):
        verifier.add(piece)
    assert verifier.fault() == ""
    verifier.add(b"x")
    assert verifier.fault().startswith(f"its {name} is ")
    assert verifier.fault().endswith(f", and S3 has {value}")


def test_without_a_value_nothing_is_verified() -> None:
    for wanted in ("", "CRC32"):
        verifier = checksums.Verifier(wanted)
        verifier.add(b"anything")
        assert verifier.fault() == ""
