"""What core, adapters and app hand each other: plain values, and the one interface to object stores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

Body: TypeAlias = bytes | bytearray | memoryview
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One line of a listing. `etag` as the store gave it, quotes included. `size` is UNKNOWN of one that was only named."""

    key: str
    size: int
    etag: str
    checksum: str = ""
    """Of the whole object, if the store has one that can be verified: its name, or NAME=VALUE."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An object of which no more is known than its name."""

    bucket: str
    key: str


def bare_etag(etag: str) -> str:
    """An ETag as it can be compared: servers quote it in one place and not in another, and proxies mark it as weak."""
    return etag.removeprefix("W/").strip('"')


@dataclass(frozen=True, slots=True)
class About:
    """What a store says of an object, or of one part of it. `opaque`: it is encrypted so that its ETag is no digest of its bytes."""

    size: int
    opaque: bool


@dataclass(frozen=True, slots=True)
class Small:
    """A whole object. `opaque`: its ETag is no digest of its bytes."""

    body: bytes
    etag: str
    opaque: bool = False


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    token: str = ""
    expires: float | None = None
    """Seconds since the epoch; None: nobody says."""


@dataclass(frozen=True)
class FileBody:
    """A request body that lies in a file: `size` bytes with that SHA-256 (hex)."""

    path: Path
    size: int
    sha256: str

    @staticmethod
    def of(path: Path) -> FileBody:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return FileBody(path, file.tell(), digest)


class ObjectStore(Protocol):
    """What is asked of S3. One attempt per call: whether to try again is decided above. All raise StoreFault."""

    def list_page(self, bucket: str, prefix: str, after: str | None) -> tuple[list[StoredObject], str | None]:
        """Up to 1,000 objects whose key starts with `prefix`, and the token of the next page."""
        ...

    def get(self, bucket: str, key: str, *, first: int = 0, length: int | None = None, etag: str = "") -> Body:
        """`length` bytes from `first` on (None: all), of the version with that ETag. Raises StoreFault."""
        ...

    def get_whole(self, bucket: str, key: str, etag: str) -> tuple[Body, bool]:
        """A whole object of the version with that ETag, and whether it came with a checksum, which it then has."""
        ...

    def get_start(self, bucket: str, key: str, length: int) -> tuple[Body, StoredObject]:
        """Up to `length` bytes of an object, and which one it is."""
        ...

    def head(self, bucket: str, key: str) -> StoredObject:
        """Size, ETag and checksum of one object."""
        ...

    def get_small(self, bucket: str, key: str) -> Small: ...

    def about(self, bucket: str, key: str, *, part: int | None = None) -> About:
        """Of the object, or of the part with that number (from 1) that it was uploaded in."""
        ...

    def put(
        self, bucket: str, key: str, body: Body | FileBody, *, match: str | None = None, sha256: str | None = None
    ) -> None:
        """Writes one object. `match`: only over the version with that ETag; empty: only where none exists. `sha256`: of the body, in hex,
        where it is known already."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Also where none is there."""
        ...

    def start_upload(self, bucket: str, key: str) -> str: ...

    def put_part(self, bucket: str, key: str, upload: str, number: int, body: Body) -> str:
        """The part's ETag."""
        ...

    def complete_upload(self, bucket: str, key: str, upload: str, etags: list[str]) -> None: ...

    def abort_upload(self, bucket: str, key: str, upload: str) -> None: ...

    def list_uploads(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        """Key and id of up to 1,000 unfinished uploads to keys that begin so."""
        ...
