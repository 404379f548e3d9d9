"""Walking a directory that hostile code wrote, and may still be writing: nothing outside it is ever opened.

Every component is opened below a directory that is already open, never following a link; links are resolved by hand, inside.
Regular files and directories are given out; everything else is listed with the reason why it is not.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

DEEPEST = 100
MOST_LINKS = 40
LISTED = 1000
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO put in a file's place must not hang the walk.
REGULAR = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Skip(Exception):  # noqa: N818 - a remark
    """Why an entry is left out."""


@dataclass(frozen=True)
class Entry:
    """A directory, or a regular file with its size, permission bits and time (seconds) as they were when it was opened."""

    path: str
    directory: bool
    size: int
    mode: int
    mtime: int


@dataclass
class Remarks:
    """What could not be given out: (path, why), the first 1,000 of each kind, and how many there were in all."""

    skipped: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    count: int = 0

    def skip(self, path: str, why: str) -> None:
        self.count += 1
        if len(self.skipped) < LISTED:
            self.skipped.append((path, why))

    def refuse(self, path: str, why: str) -> None:
        self.skip(path, why)
        if len(self.unreadable) < LISTED:
            self.unreadable.append(path)


class Tree:
    """One directory. `seen_as`: its path in the training container, for absolute links."""

    def __init__(self, root: Path, seen_as: str) -> None:
        self._root_path = root
        self._seen_as = seen_as.rstrip("/") + "/"
        self.remarks = Remarks()

    def walk(self) -> Iterator[tuple[Entry, int]]:
        """Entries in bytewise order of names, parents first, with an open descriptor that is closed after each step."""
        try:
            root = os.open(self._root_path, DIRECTORY)
        except OSError as error:
            # Training may have removed it, or put a link in its place.
            if error.errno != errno.ENOENT:
                self.remarks.skip("", f"the directory itself cannot be opened: {error.strerror}")
            return
        try:
            status = os.fstat(root)
            self._device = status.st_dev
            volume = os.fstatvfs(root)
            self._volume_bytes = volume.f_blocks * volume.f_frsize
            yield from self._walk(root, root, "", 0)
        finally:
            os.close(root)

    def survey(self) -> tuple[str, int]:
        """A digest that differs when anything was written since, and the bytes in all files."""
        size = 0
        digest = hashlib.sha256()
        for entry, descriptor in Tree(self._root_path, self._seen_as).walk():
            status = os.fstat(descriptor)
            facts = (
                entry.path,
                entry.size,
                status.st_mtime_ns,
                0 if entry.directory else status.st_ctime_ns,
                status.st_ino,
            )
            digest.update(repr(facts).encode("utf-8", "surrogateescape"))
            size += 0 if entry.directory else entry.size
        return digest.hexdigest(), size

    def fingerprint(self) -> str:
        return self.survey()[0]

    def _walk(self, root: int, directory: int, prefix: str, depth: int) -> Iterator[tuple[Entry, int]]:
        for name in sorted(os.listdir(directory), key=os.fsencode):
            path = prefix + name
            try:
                descriptor, status = self._open(root, directory, path, name)
            except Skip as skip:
                self.remarks.skip(path, str(skip))
                continue
            except PermissionError as error:
                self.remarks.refuse(path, f"cannot be read: {error.strerror}")
                continue
            except OSError as error:
                self.remarks.skip(path, f"vanished or changed while it was read: {error.strerror}")
                continue
            try:
                folder = stat.S_ISDIR(status.st_mode)
                yield (
                    Entry(path, folder, 0 if folder else status.st_size, status.st_mode & 0o777, int(status.st_mtime)),
                    descriptor,
                )
                if folder and depth < DEEPEST:
                    yield from self._walk(root, descriptor, f"{path}/", depth + 1)
                elif folder:
                    self.remarks.skip(path, f"lies deeper than {DEEPEST} directories")
            finally:
                os.close(descriptor)

    def _open(self, root: int, directory: int, path: str, name: str) -> tuple[int, os.stat_result]:
        kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if stat.S_ISLNK(kind):
            descriptor = self._follow(root, path, os.readlink(name, dir_fd=directory))
        elif stat.S_ISDIR(kind):
            descriptor = os.open(name, DIRECTORY, dir_fd=directory)
        elif stat.S_ISREG(kind):
            descriptor = os.open(name, REGULAR, dir_fd=directory)
        else:
            raise Skip(_kind(kind))
        try:
            return descriptor, self._checked(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def _checked(self, descriptor: int) -> os.stat_result:
        status = os.fstat(descriptor)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise Skip(_kind(status.st_mode))
        if status.st_dev != self._device:
            raise Skip("lies on another file system")
        if status.st_size > self._volume_bytes:
            raise Skip("is a sparse file larger than its volume")
        return status

    def _follow(self, root: int, path: str, target: str) -> int:
        """The regular file that a link means, if it is inside."""
        todo = deque(self._inside(target) if target.startswith("/") else path.split("/")[:-1] + target.split("/"))
        links = 1
        with _Trail(root, target) as trail:
            while todo:
                part = todo.popleft()
                if part in {"", ".", ".."}:
                    trail.up(part)
                    continue
                kind = os.stat(part, dir_fd=trail.at, follow_symlinks=False).st_mode
                if stat.S_ISLNK(kind):
                    links += 1
                    if links > MOST_LINKS:
                        raise Skip("is a link in a loop")
                    further = os.readlink(part, dir_fd=trail.at)
                    trail.restart(further)
                    todo.extendleft(reversed(self._inside(further)))
                elif stat.S_ISDIR(kind):
                    trail.enter(part)
                elif stat.S_ISREG(kind) and not any(todo):
                    return os.open(part, REGULAR, dir_fd=trail.at)
                else:
                    raise Skip(f"is a link to something that is no file ({target})")
        raise Skip(f"is a link to a directory ({target})")

    def _inside(self, target: str) -> list[str]:
        """A link's target as parts; an absolute one is meant as training sees it, and must lie inside."""
        if not target.startswith("/"):
            return target.split("/")
        if not target.startswith(self._seen_as):
            raise Skip(f"is a link out of the directory ({target})")
        return target[len(self._seen_as) :].split("/")


class _Trail:
    """The way from the root to where a link's resolution stands, as open directories: `..` needs no name."""

    def __init__(self, root: int, target: str) -> None:
        self._root = root
        self._below: list[int] = []
        self._target = target

    @property
    def at(self) -> int:
        return self._below[-1] if self._below else self._root

    def enter(self, name: str) -> None:
        self._below.append(os.open(name, DIRECTORY, dir_fd=self.at))

    def up(self, part: str) -> None:
        """One directory up for `..`; `.` and the empty part go nowhere."""
        if part != "..":
            return
        if not self._below:
            raise Skip(f"is a link out of the directory ({self._target})")
        os.close(self._below.pop())

    def restart(self, target: str) -> None:
        """Back to the root if a further link is an absolute one."""
        while target.startswith("/") and self._below:
            os.close(self._below.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        for each in self._below:
            os.close(each)
        if isinstance(error, FileNotFoundError):
            raise Skip(f"is a link to nothing ({self._target})") from None


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return f"is {kinds.get(stat.S_IFMT(mode), 'no regular file')}"
