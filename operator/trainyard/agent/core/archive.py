"""The archive's order and form: who wins a path, what a tar header says, how large the parts are."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

MIB = 1024 * 1024
BLOCK = 512
MOST_PARTS = 9_500  # of 10,000: a growing file must not run out of them
SMALLEST_PART = 8 * MIB
OVERLAP_LIMIT = 48 * MIB  # up to here one part travels while the next one fills
LARGEST_PART = 128 * MIB
END_OF_ARCHIVE = b"\0" * (2 * BLOCK)


@dataclass(frozen=True)
class PartPlan:
    """`size` bytes a part, and how many may be on their way at once. What is held in memory: size x (in_flight + 1)."""

    size: int
    in_flight: int


def part_plan(total: int) -> PartPlan | None:
    """Parts for an archive of files with `total` bytes; None when no plan within memory fits (about 1.2 TiB)."""
    # Random data grows by less than 1 % in gzip, and every file adds headers: 2 % covers both.
    size = max(SMALLEST_PART, -(-int(total * 1.02) // MOST_PARTS))
    size = -(-size // MIB) * MIB
    if size > LARGEST_PART:
        return None
    in_flight = 5 if size == SMALLEST_PART else 3 if size <= SMALLEST_PART * 2 else 1 if size <= OVERLAP_LIMIT else 0
    return PartPlan(size, in_flight)


def header(path: str, *, size: int, mode: int, mtime: int, directory: bool = False) -> bytes:
    """A tar header for `path`, owned by 0/0; POSIX extended where the name needs it."""
    info = tarfile.TarInfo(f"{path}/" if directory else path)
    info.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    info.size = 0 if directory else size
    info.mode = mode & 0o777
    info.mtime = max(0, mtime)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """What fills the last block of a file of `size` bytes."""
    return b"\0" * (-size % BLOCK)


class Ruling(StrEnum):
    """What becomes of a path that a further host brings."""

    TAKE = "take"
    COMPARE = "compare"  # a lower rank has it: equal bytes are fine, others are dropped with a warning
    SKIP = "skip"  # a directory that is there already
    CLASH = "clash"  # a file here, a directory there: the lower rank wins


class Paths(Protocol):
    """A set of files, each with its digest, and one of directories."""

    def digest(self, path: str) -> str | None: ...

    def is_directory(self, path: str) -> bool: ...

    def add_file(self, path: str, sha256: str) -> None: ...

    def add_directory(self, path: str) -> None: ...


class Merge:
    """Which paths are taken so far, by hosts in rank order."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._parent = ""
        """Known to be a directory: files of one come together."""

    def rule(self, path: str, directory: bool) -> Ruling:
        if self._paths.is_directory(path):
            return Ruling.SKIP if directory else Ruling.CLASH
        if self._paths.digest(path) is not None:
            return Ruling.CLASH if directory else Ruling.COMPARE
        return Ruling.CLASH if any(self._paths.digest(parent) is not None for parent in parents(path)) else Ruling.TAKE

    def took(self, path: str, sha256: str | None) -> None:
        """Records a file (with its digest) or a directory (None)."""
        if sha256 is None:
            self._paths.add_directory(path)
        else:
            self._paths.add_file(path, sha256)
        if (parent := path.rpartition("/")[0]) != self._parent:
            for each in parents(path):
                self._paths.add_directory(each)
            self._parent = parent

    def digest(self, path: str) -> str | None:
        return self._paths.digest(path)


def parents(path: str) -> list[str]:
    """`a/b/c` -> [`a`, `a/b`]."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
