"""The checksums of objects that S3 stores and gives out, of all kinds that it has: of the whole object, or of the parts it came in.

NAME is one that can be verified, NAME=VALUE its value as S3 writes it. One of parts ends with `-` and, where it is known, their number.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol

from isal import isal_zlib

from trainyard.agent.ports import Body

MODE = {"x-amz-checksum-mode": "ENABLED"}
"""Asks for them."""
COMPOSITE = "COMPOSITE"


class Digest(Protocol):
    def update(self, data: Body, /) -> None: ...

    def digest(self) -> bytes: ...


def crc32(data: Body, before: int = 0) -> int:
    """`before`: that of the bytes which come before these."""
    found: int = isal_zlib.crc32(data, before)
    return found


class _Crc:
    """`next_value` takes data and the value so far."""

    def __init__(self, next_value: Callable[[Body, int], int], size: int) -> None:
        self._next = next_value
        self._size = size
        self._value = 0

    def update(self, data: Body, /) -> None:
        self._value = self._next(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def _crc32() -> Digest:
    return _Crc(isal_zlib.crc32, 4)


def _of_model(name: str, size: int) -> Digest:
    import anycrc  # noqa: PLC0415 - some 60 ms and 4 MB, which most jobs do not need

    return _Crc(anycrc.Model(name).calc, size)


# The cheapest first.
_KNOWN: dict[str, Callable[[], Digest]] = {
    "CRC32": _crc32,
    "CRC64NVME": lambda: _of_model("CRC64-NVME", 8),
    "CRC32C": lambda: _of_model("CRC32C", 4),
    "SHA256": hashlib.sha256,
    "SHA1": hashlib.sha1,
}


class _OfParts:
    """The digest of the digests of parts of `part` bytes each, of which the last one may be smaller."""

    def __init__(self, digest: Callable[[], Digest], part: int) -> None:
        self._new = digest
        self._part = self._left = part
        self._now = digest()
        self._done: list[bytes] = []

    def update(self, data: Body, /) -> None:
        block = memoryview(data)
        while len(block) >= self._left:
            self._now.update(block[: self._left])
            block = block[self._left :]
            self._done.append(self._now.digest())
            self._now, self._left = self._new(), self._part
        self._now.update(block)
        self._left -= len(block)

    def value(self) -> str:
        digests = self._done + ([self._now.digest()] if self._left < self._part else [])
        whole = self._new()
        whole.update(b"".join(digests))
        return f"{_text(whole)}-{len(digests)}"


def _text(digest: Digest) -> str:
    return base64.b64encode(digest.digest()).decode()


def of_parts(checksum: str) -> bool:
    """Is it made of those of parts? Base64 as S3 has it knows no dash."""
    return "-" in checksum


def parts(checksum: str) -> int | None:
    """Of how many parts; None: of the whole object, or nobody says."""
    count = checksum.rpartition("-")[2] if of_parts(checksum) else ""
    return int(count) if count.isdecimal() and int(count) > 0 else None


def listed(algorithms: list[str], kind: str) -> str:
    """Of an object's checksums in a listing the one to verify; empty: none."""
    name = next((name for name in _KNOWN if name in algorithms), "")
    return f"{name}-" if name and kind == COMPOSITE else name


def answered(headers: Mapping[str, str]) -> str:
    """The same of an answer, with its value. That of the whole object is taken before one of its parts. Names are in lower case."""
    found = [
        f"{name}={value}" for name in _KNOWN if (value := headers.get(f"x-amz-checksum-{name.lower()}") or "").strip()
    ]
    if headers.get("x-amz-checksum-type") == COMPOSITE:
        found = [each for each in found if parts(each) is not None]
    return min(found, key=of_parts, default="")


class Verifier:
    """Takes an object's bytes in order. `wanted`: NAME=VALUE, or empty. One of parts is verified if their size is given."""

    def __init__(self, wanted: str, part: int | None = None) -> None:
        self._name, _, self._wanted = wanted.partition("=")
        self._digest: Digest | _OfParts | None = None
        if self._wanted and of_parts(wanted):
            self._digest = _OfParts(_KNOWN[self._name], part) if part else None
        elif self._wanted:
            self._digest = _KNOWN[self._name]()

    def add(self, data: Body) -> None:
        if self._digest is not None:
            self._digest.update(data)

    def fault(self) -> str:
        """What is wrong with the bytes; empty: nothing."""
        if self._digest is None:
            return ""
        found = self._digest.value() if isinstance(self._digest, _OfParts) else _text(self._digest)
        return "" if found == self._wanted else f"its {self._name} is {found}, and S3 has {self._wanted}"
