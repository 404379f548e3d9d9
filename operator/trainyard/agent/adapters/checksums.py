"""The checksums of whole objects that S3 stores and gives out, as far as they are known here: CRC32, SHA-1, SHA-256."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol

from isal import isal_zlib

from trainyard.agent.ports import Body

MODE = {"x-amz-checksum-mode": "ENABLED"}
"""Asks for them."""


class Digest(Protocol):
    def update(self, data: Body, /) -> None: ...

    def digest(self) -> bytes: ...


def crc32(data: Body) -> int:
    found: int = isal_zlib.crc32(data)
    return found


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Body, /) -> None:
        self._value = isal_zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# The cheapest first.
_KNOWN: dict[str, Callable[[], Digest]] = {"CRC32": _Crc32, "SHA256": hashlib.sha256, "SHA1": hashlib.sha1}


def listed(algorithms: list[str], kind: str) -> str:
    """Of an object's checksums in a listing the one to verify, by name; empty: none. Of parts (COMPOSITE) none can be."""
    if kind == "COMPOSITE":
        return ""
    return next((name for name in _KNOWN if name in algorithms), "")


def answered(headers: Mapping[str, str]) -> str:
    """The same of an answer, as NAME=VALUE. The headers' names are in lower case."""
    if headers.get("x-amz-checksum-type") == "COMPOSITE":
        return ""
    for name in _KNOWN:
        value = headers.get(f"x-amz-checksum-{name.lower()}") or ""
        if value and "-" not in value:  # a dash: of so many parts
            return f"{name}={value}"
    return ""


class Verifier:
    """Takes an object's bytes in order. `wanted`: NAME=VALUE, or empty."""

    def __init__(self, wanted: str) -> None:
        self._name, _, self._value = wanted.partition("=")
        self._digest: Digest | None = _KNOWN[self._name]() if self._value else None

    def add(self, data: Body) -> None:
        if self._digest is not None:
            self._digest.update(data)

    def fault(self) -> str:
        """What is wrong with the bytes; empty: nothing."""
        if self._digest is None:
            return ""
        found = base64.b64encode(self._digest.digest()).decode()
        return "" if found == self._value else f"its {self._name} is {found}, and S3 has {self._value}"
