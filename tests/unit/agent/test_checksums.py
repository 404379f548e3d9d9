"""Which of a store's checksums is taken, and what it finds."""

from __future__ import annotations

import base64
import hashlib
from email.message import Message

import pytest

from trainyard.agent.adapters import checksums


def answer(**headers: str) -> Message:
    made = Message()
    for name, value in headers.items():
        made[f"x-amz-checksum-{name}"] = value
    return made


@pytest.mark.parametrize(
    ("algorithms", "kind", "found"),
    [
        ([], "", ""),
        (["CRC64NVME"], "FULL_OBJECT", "CRC64NVME"),
        (["CRC128"], "FULL_OBJECT", ""),
        (["CRC128"], "COMPOSITE", ""),
        (["CRC32"], "FULL_OBJECT", "CRC32"),
        (["CRC32"], "", "CRC32"),
        (["CRC32"], "COMPOSITE", "CRC32-"),
        (["SHA1", "SHA256", "CRC32C"], "FULL_OBJECT", "CRC32C"),
    ],
)
def test_a_listing_says_whether_there_is_one_to_verify(algorithms: list[str], kind: str, found: str) -> None:
    assert checksums.listed(algorithms, kind) == found


def test_an_answer_says_which_and_of_what() -> None:
    assert checksums.answered(answer(crc32="AAAAAA==", type="COMPOSITE")) == ""  # and does not say of how many parts
    assert checksums.answered(answer(sha256="AAAAAA==-3")) == "SHA256=AAAAAA==-3"
    assert checksums.answered(answer(crc32c="AAAAAA==-3", type="COMPOSITE")) == "CRC32C=AAAAAA==-3"
    assert checksums.answered(answer(crc64nvme="AAAAAA==", crc32="AAAAAA==-3")) == "CRC64NVME=AAAAAA=="
    assert checksums.answered(answer(CRC32="AAAAAA==", type="FULL_OBJECT")) == "CRC32=AAAAAA=="
    assert checksums.answered(answer(crc128="AAAAAA==")) == ""


@pytest.mark.parametrize(
    ("text", "of_parts", "count"),
    [
        ("", False, None),
        ("CRC32", False, None),
        ("CRC32=AA==", False, None),
        ("CRC32-", True, None),
        ("CRC32=AA==-12", True, 12),
        ("CRC32=AA==-0", True, None),
        ("CRC32=AA==-x", True, None),
    ],
)
def test_the_number_of_parts_stands_at_the_end(text: str, of_parts: bool, count: int | None) -> None:
    assert (checksums.of_parts(text), checksums.parts(text)) == (of_parts, count)


# What the catalogues of such algorithms give for this text.
CHECK = b"123456789"
CHECKED = {"CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "CRC64NVME": "rosUhgp5mIg="}
SHA = {name: base64.b64encode(hashlib.new(name, CHECK).digest()).decode() for name in ("SHA1", "SHA256")}
NAMES = sorted(CHECKED | SHA)


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_verified_in_whatever_pieces_they_come(name: str) -> None:
    value = (CHECKED | SHA)[name]
    verifier = checksums.Verifier(f"{name}={value}")
    for piece in (CHECK[:2], b"", memoryview(CHECK)[2:7], bytearray(CHECK[7:])):
        verifier.add(piece)
    assert verifier.fault() == ""
    verifier.add(b"x")
    assert verifier.fault().startswith(f"its {name} is ")
    assert verifier.fault().endswith(f", and S3 has {value}")


def _digest(name: str, data: bytes) -> bytes:
    if name.startswith("SHA"):
        return hashlib.new(name, data).digest()
    found = checksums.Verifier(f"{name}=none")
    found.add(data)
    return base64.b64decode(found.fault().split()[3].rstrip(","))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "part"), [(10, 4), (8, 4), (3, 4), (4, 4), (1, 1)])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_that_of_parts_is_the_one_of_theirs(name: str, size: int, part: int, step: int) -> None:
    body = bytes(range(size))
    digests = [_digest(name, body[first : first + part]) for first in range(0, size, part)]
    value = f"{base64.b64encode(_digest(name, b''.join(digests))).decode()}-{len(digests)}"
    for damage, fault in ((b"", False), (b"\xff", True)):
        verifier = checksums.Verifier(f"{name}={value}", part)
        whole = damage + body[len(damage) :]
        for first in range(0, size, step):
            verifier.add(whole[first : first + step])
        assert bool(verifier.fault()) is fault


def test_that_of_parts_of_unknown_size_verifies_nothing() -> None:
    verifier = checksums.Verifier("CRC32=AAAAAA==-2")
    verifier.add(b"anything")
    assert verifier.fault() == ""


def test_without_a_value_nothing_is_verified() -> None:
    for wanted in ("", "CRC32"):
        verifier = checksums.Verifier(wanted)
        verifier.add(b"anything")
        assert verifier.fault() == ""
