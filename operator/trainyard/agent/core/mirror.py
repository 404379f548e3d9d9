"""A directory and its mirror in S3: what differs, and which files take part. Rules without any I/O.

Files are told apart by keys: their path with NUL for "/", so that the order of bytes is the order in which a walk meets them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from trainyard.agent.core.layout import written_by_job

# SageMaker's markers beside a checkpoint F: F.sagemaker-uploading while it is copied, F.sagemaker-uploaded after that; and
# the end of the name of a file that is not to be copied, for it is a temporary one.
UPLOADING: Final = ".sagemaker-uploading"
UPLOADED: Final = ".sagemaker-uploaded"
IGNORED: Final = ".sagemaker-ignore"
KEY_BYTES = 1024  # the longest key of S3
RACY_SECONDS = 0.1
"""A file that changed so recently may change again without a new time: the kernel's stamps are some milliseconds apart."""

_FACTS = struct.Struct(">qqQ")
GONE: Final = b"gone"
"""In the place of a signature: there is no such file."""


def local(path: str) -> bool:
    """Does the file stay on this side, by its name? It is a marker, or a temporary file that says so."""
    return path.endswith((UPLOADING, UPLOADED, IGNORED))


def unfit(path: str, prefix: str, output: str | None = None) -> str | None:
    """Why `path` cannot be the object `prefix` + `path`, or None. `output`: where in that bucket the job writes, if it does."""
    if not _utf8(path):
        return "has a name that is not UTF-8, as S3's keys are"
    key = prefix + path
    if len(key.encode()) > KEY_BYTES:
        return f"has a name too long for S3: {KEY_BYTES} bytes with the prefix"
    if output is not None and written_by_job(key, prefix, output):
        return "would be an object that belongs to the job's output"
    return None


def _utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def prefix_of(key: str) -> str:
    """The key of an S3 URI as a folder's: what is below it is mirrored, and nothing beside it."""
    return key if key.endswith("/") or not key else f"{key}/"


def to_key(path: str) -> bytes:
    return path.replace("/", "\0").encode("utf-8", "surrogatepass")


def to_path(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass").replace("\0", "/")


def signature(size: int, mtime_ns: int, inode: int) -> bytes:
    """Differs when the file was written, or replaced."""
    return _FACTS.pack(size, mtime_ns, inode)


def mtime_of(facts: bytes) -> int:
    """The time in a signature, in nanoseconds."""
    written: int = _FACTS.unpack(facts)[1]
    return written


Found: TypeAlias = tuple[bytes, bytes | None]
"""A key and the signature of the file that is there; None: what is there, or below it, cannot be told."""


class Known(NamedTuple):
    """A row of the ledger. `stored`: the signature of the version that is in S3, None if none is. `pending`: what was there
    instead at the last look, None if nothing had changed."""

    key: bytes
    stored: bytes | None
    pending: bytes | None


class Kind(StrEnum):
    WRITTEN = "written"  # new, or other than what is in S3
    REMOVED = "removed"  # in S3, and no longer here
    SETTLED = "settled"  # as it is in S3 again, or gone before it got there


@dataclass(frozen=True, slots=True)
class Change:
    """`steady`: it was so at the last look already."""

    key: bytes
    kind: Kind
    signature: bytes = GONE
    steady: bool = False


def compare(known: Iterable[Known], found: Iterable[Found]) -> Iterator[Change]:
    """What differs. Both come in the order of their keys; without a signature, a key hides what is there and below it."""
    hidden = b""
    for row, here in _paired(known, found):
        if here is None:
            if row is not None and not _below(row.key, hidden):
                yield _missing(row)
        elif here[1] is None:
            hidden = here[0]
        elif row is None or here[1] != row.stored:
            yield Change(here[0], Kind.WRITTEN, here[1], steady=row is not None and here[1] == row.pending)
        elif row.pending is not None:
            yield Change(row.key, Kind.SETTLED, here[1])


def _paired(known: Iterable[Known], found: Iterable[Found]) -> Iterator[tuple[Known | None, Found | None]]:
    """Each key once, with what is known of it and what is there."""
    rows = iter(known)
    row = next(rows, None)
    for here in found:
        while row is not None and row.key < here[0]:
            yield row, None
            row = next(rows, None)
        if row is not None and row.key == here[0]:
            yield row, here
            row = next(rows, None)
        else:
            yield None, here
    while row is not None:
        yield row, None
        row = next(rows, None)


def _below(key: bytes, hidden: bytes) -> bool:
    return bool(hidden) and (key == hidden or key.startswith(hidden + b"\0"))


def _missing(row: Known) -> Change:
    if row.stored is None:
        return Change(row.key, Kind.SETTLED)
    return Change(row.key, Kind.REMOVED, steady=row.pending == GONE)
