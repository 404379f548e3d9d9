"""Walking a directory that hostile code wrote, and may still be writing: nothing outside it is ever opened.

Every component is opened below a directory that is already open, never following a link; links are resolved by hand, inside.
Regular files and directories are given out; everything else is listed with the reason why it is not.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainyard.agent.adapters.trail import DIRECTORY, Skip, Trail

DEEPEST = 100
MOST_LINKS = 40
LISTED = 1000
RACY_SECONDS = 0.1
"""The kernel's stamps are some milliseconds apart: a file that changed so recently may change again without a new one."""
# O_NONBLOCK: a FIFO put in a file's place must not hang the walk.
REGULAR = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class RootError(OSError):
    """The directory itself cannot be opened: nothing can be said of what is in it."""


@dataclass(frozen=True)
class Entry:
    """A directory, or a regular file with its size, permission bits and time (seconds) as they were when it was opened."""

    path: str
    directory: bool
    size: int
    mode: int
    mtime: int
    facts: bytes = b""
    """Other for another version of the file; empty for one that was written so recently that its time need not tell."""


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
    """One directory. `seen_as`: its path in the training container, for absolute links. `below`: where it lies below `root`, if
    training can put something else in the place of the directories on the way."""

    def __init__(self, root: Path, seen_as: str, below: str = "") -> None:
        self._root_path = root
        self._below = below
        self._seen_as = seen_as.rstrip("/") + "/"
        self.remarks = Remarks()

    def walk(self) -> Iterator[tuple[Entry, int]]:
        """Entries in bytewise order of names, parents first, with an open descriptor that is closed after each step."""
        try:
            with self.root() as root:
                yield from self._walk(root, root, "", 0)
        except RootError as fault:
            # Training may have removed it, or put a link in its place.
            if fault.errno != errno.ENOENT:
                self.remarks.skip("", f"the directory itself cannot be opened: {fault.strerror}")

    @contextmanager
    def root(self) -> Iterator[int]:
        """The directory itself, open. Raises RootError."""
        try:
            top = os.open(self._root_path, DIRECTORY)
            try:
                with Trail(top, self._below) as trail:
                    for part in filter(None, self._below.split("/")):
                        trail.enter(part)
                    root = os.dup(trail.at)
            finally:
                os.close(top)
        except OSError as error:
            raise RootError(error.errno, error.strerror) from error
        try:
            self._device = os.fstat(root).st_dev
            volume = os.fstatvfs(root)
            self._volume_bytes = volume.f_blocks * volume.f_frsize
            yield root
        finally:
            os.close(root)

    def glance(self, root: int) -> Iterator[tuple[str, os.stat_result | None]]:
        """Files as `walk` gives them, but only looked at, parts of paths in the order of their characters.

        None instead of facts: what lies there, or below it, cannot be told at the moment.
        """
        return self._glance(root, root, "", 0)

    @contextmanager
    def beside(self, root: int, path: str) -> Iterator[int]:
        """The directory that holds `path`, open, reached without any link. Raises OSError."""
        with Trail(root, path) as trail:
            for part in path.split("/")[:-1]:
                trail.enter(part)
            yield trail.at

    @contextmanager
    def opened(self, root: int, path: str) -> Iterator[tuple[int, int, os.stat_result]]:
        """The directory that holds `path`, and that file, both open. Raises OSError and Skip."""
        with self.beside(root, path) as directory:
            descriptor, status = self._open(root, directory, path, path.rpartition("/")[2])
            try:
                yield directory, descriptor, status
            finally:
                os.close(descriptor)

    def survey(self) -> tuple[str, int]:
        """A digest that differs when anything was written since, and the bytes in all files."""
        size = 0
        digest = hashlib.sha256()
        for entry, descriptor in Tree(self._root_path, self._seen_as, self._below).walk():
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

    def _glance(
        self, root: int, directory: int, prefix: str, depth: int
    ) -> Iterator[tuple[str, os.stat_result | None]]:
        names = os.listdir(directory)
        names.sort()  # without a key, which would cost the names' memory once more
        for name in names:
            path = prefix + name
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    self._check(status)
                    yield path, status
                elif stat.S_ISDIR(status.st_mode) and depth == DEEPEST:
                    self.remarks.skip(path, f"lies deeper than {DEEPEST} directories")
                elif stat.S_ISDIR(status.st_mode):
                    below = os.open(name, DIRECTORY, dir_fd=directory)
                    try:
                        self._check(os.fstat(below))
                        yield from self._glance(root, below, f"{path}/", depth + 1)
                    finally:
                        os.close(below)
                else:
                    descriptor, status = self._open(root, directory, path, name)
                    os.close(descriptor)
                    if stat.S_ISREG(status.st_mode):
                        yield path, status
            except Skip as skip:
                self.remarks.skip(path, str(skip))
            except FileNotFoundError:
                continue
            except OSError as error:
                self.remarks.refuse(path, f"cannot be read: {error.strerror}")
                yield path, None

    def _walk(self, root: int, directory: int, prefix: str, depth: int) -> Iterator[tuple[Entry, int]]:
        names: list[Any] = os.listdir(directory)
        # In place, and let go one by one: there may be a million of them.
        for number, name in enumerate(names):
            names[number] = os.fsencode(name)
        names.sort(reverse=True)
        while names:
            name = os.fsdecode(names.pop())
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
                    Entry(
                        path,
                        folder,
                        0 if folder else status.st_size,
                        status.st_mode & 0o777,
                        int(status.st_mtime),
                        _facts(status),
                    ),
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
            target = os.readlink(name, dir_fd=directory)
            try:
                descriptor = self._follow(root, path, target)
            except FileNotFoundError:
                raise Skip(f"is a link to nothing ({target})") from None
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
        self._check(status)
        return status

    def _check(self, status: os.stat_result) -> None:
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise Skip(_kind(status.st_mode))
        if status.st_dev != self._device:
            raise Skip("lies on another file system")
        if status.st_size > self._volume_bytes:
            raise Skip("is a sparse file larger than its volume")

    def _follow(self, root: int, path: str, target: str) -> int:
        """The regular file that a link means, if it is inside."""
        todo = deque(self._inside(target) if target.startswith("/") else path.split("/")[:-1] + target.split("/"))
        links = 1
        with Trail(root, target) as trail:
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


def _facts(status: os.stat_result) -> bytes:
    if 0 <= time.time() - status.st_ctime < RACY_SECONDS:
        return b""
    return repr((status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)).encode()


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return f"is {kinds.get(stat.S_IFMT(mode), 'no regular file')}"
