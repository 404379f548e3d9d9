"""A directory into a sink, as a tar stream or as objects; and several hosts' streams as one, the lowest host winning a path."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol, cast

from trainyard.agent.adapters.frames import Unframed
from trainyard.agent.adapters.inventory import Taken
from trainyard.agent.adapters.tree import Entry, Tree
from trainyard.agent.app.settings import SEEN_AS
from trainyard.agent.core.archive import END_OF_ARCHIVE, Merge, Ruling, header, padding
from trainyard.agent.errors import PeerFault
from trainyard.agent.ports import Body

CHUNK = 1024 * 1024
TRAILER = "/trainyard-trailer"  # absolute: no file of a tree can have this name
Write = Callable[[Body], object]
"""Keeps nothing of what it is given: the memory is used again."""


@dataclass
class Notes:
    """What the manifest says beside the files: left-out entries as {tree, host, path, why}, and warnings. `skips` counts all of the first.

    `unreadable` and `unfit`: files that are missing, and ought not to be; the second for a name or a size that S3 has not.
    """

    skipped: list[dict[str, str]] = field(default_factory=list)
    skips: int = 0
    unreadable: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def incomplete(self) -> bool:
        return bool(self.unreadable or self.unfit)


class Sink(Protocol):
    """Where the files go, one after the other. All but `unfit` raise Refused."""

    def unfit(self, path: str, size: int, /) -> str | None:
        """Why there can be no such file."""
        ...

    def has(self, path: str, size: int, facts: bytes, /) -> str | None:
        """The SHA-256 of that very version of a file, if it is there already."""
        ...

    def directory(self, path: str, mode: int, mtime: int, /) -> None: ...

    def begin(self, path: str, size: int, mode: int, mtime: int, /) -> None:
        """A file: `size` bytes follow, and then `end`."""
        ...

    def write(self, data: Body, /) -> object: ...

    def end(self, sha256: str, facts: bytes, /) -> None:
        """`facts`: what tells the file's versions apart; empty if nothing does."""
        ...


class TarStream:
    """A sink."""

    def __init__(self, write: Write) -> None:
        self.write = write
        self._size = 0

    def unfit(self, _path: str, _size: int) -> str | None:
        return None

    def has(self, _path: str, _size: int, _facts: bytes) -> str | None:
        return None

    def directory(self, path: str, mode: int, mtime: int) -> None:
        self.write(header(path, size=0, mode=mode, mtime=mtime, directory=True))

    def begin(self, path: str, size: int, mode: int, mtime: int) -> None:
        self._size = size
        self.write(header(path, size=size, mode=mode, mtime=mtime))

    def end(self, _sha256: str, _facts: bytes) -> None:
        self.write(padding(self._size))

    def close(self) -> None:
        self.write(END_OF_ARCHIVE)


def copy_file(descriptor: int, size: int, write: Write) -> tuple[str, str | None]:
    """Exactly `size` bytes of an open file, zeros where it ends early; their digest, and what happened to the file meanwhile."""
    digest = hashlib.sha256()
    before = os.fstat(descriptor)
    left = size
    memory = memoryview(bytearray(min(CHUNK, size)))  # one for all: new memory costs as much as what is put into it
    while left:
        data = memory[:left]
        count = os.readv(descriptor, [data])
        if count:
            data = data[:count]
        else:
            data[:] = bytes(len(data))
        digest.update(data)
        write(data)
        left -= len(data)
    after = os.fstat(descriptor)
    changed = None
    if after.st_size != size:
        changed = f"changed its size while it was read; kept as {size} bytes"
    elif after.st_mtime_ns != before.st_mtime_ns:
        changed = "was written to while it was read; kept as it was found, which may be no version of it"
    return digest.hexdigest(), changed


class Packer:
    """Fills one sink. `listed` gets a line of JSON for each file: what the manifest says of it."""

    def __init__(self, sink: Sink, listed: IO[str], tree: str, *, taken: Taken | None) -> None:
        """`taken`: for several hosts."""
        self._sink = sink
        self._listed = listed
        self._tree = tree
        self._merge = Merge(taken) if taken is not None else None
        self.notes = Notes()
        self.files = 0
        self.bytes = 0
        self.entries = 0

    def add_tree(self, directory: Path, host: str) -> None:
        """This host's own files. Raises what the sink raises."""
        tree = Tree(directory, SEEN_AS[self._tree])
        for entry, descriptor in tree.walk():
            if entry.directory:
                self._directory(entry.path, entry.mode, entry.mtime)
            elif not self._unfit(host, entry.path, entry.size):
                self._add_file(entry, descriptor, host)
        for path, why in tree.remarks.skipped:
            self._skip(host, path, why)
        self.notes.skips += tree.remarks.count - len(tree.remarks.skipped)
        self.notes.unreadable += [f"{host}:{path}" for path in tree.remarks.unreadable]

    def add_stream(self, read: Callable[[int], bytes], host: str) -> str:
        """Another host's files, as `share` sends them; its fingerprint. Raises PeerFault when the stream breaks off or was damaged."""
        trailer: dict[str, Any] | None = None
        frames = Unframed(read)
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", frames), mode="r|") as archive:  # it is only read from
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]  # else they pile up in memory
                    if member.name == TRAILER:
                        trailer = json.loads(_data(archive, member).read())
                    else:
                        self._add_member(archive, member, host)
            while frames.read(CHUNK):
                pass
        except (tarfile.TarError, http.client.HTTPException, OSError, EOFError, ValueError, zlib.error) as error:
            raise PeerFault(host, f"its files broke off: {type(error).__name__}: {error}") from error
        if trailer is None:
            raise PeerFault(host, "its files broke off before the end")
        for path, why in trailer["skipped"]:
            self._skip(host, path, why)
        self.notes.skips += int(trailer.get("skips", 0)) - len(trailer["skipped"])
        self.notes.unreadable += [f"{host}:{path}" for path in trailer["unreadable"]]
        return str(trailer["fingerprint"])

    def _add_file(self, entry: Entry, descriptor: int, host: str) -> None:
        facts = entry.facts
        digest = self._sink.has(entry.path, entry.size, facts)
        if digest is None:
            self._sink.begin(entry.path, entry.size, entry.mode, entry.mtime)
            digest, changed = copy_file(descriptor, entry.size, self._sink.write)
            if changed:
                self._skip(host, entry.path, changed)
            self._sink.end(digest, b"" if changed else facts)
        self._took(entry.path, digest)
        self._list(entry.path, entry.size, digest, host)

    def _add_member(self, archive: tarfile.TarFile, member: tarfile.TarInfo, host: str) -> None:
        path = member.name.rstrip("/")
        ruling = self._merge.rule(path, member.isdir()) if self._merge else Ruling.TAKE
        if ruling is Ruling.CLASH:
            kinds = "a directory here and a file" if member.isdir() else "a file here and a directory"
            self._warn(f"{host}: {self._tree}/{path} is dropped: {kinds} on a lower-numbered host")
        elif member.isdir():
            if ruling is Ruling.TAKE:
                self._directory(path, member.mode, int(member.mtime))
        elif not self._unfit(host, path, member.size):
            keep = ruling is Ruling.TAKE
            if keep:
                self._sink.begin(path, member.size, member.mode, int(member.mtime))
            digest = hashlib.sha256()
            for data in _blocks(archive, member):
                digest.update(data)
                if keep:
                    self._sink.write(data)
            if keep:
                self._sink.end(digest.hexdigest(), b"")
                self._took(path, digest.hexdigest())
                self._list(path, member.size, digest.hexdigest(), host)
            elif self._merge and self._merge.digest(path) != digest.hexdigest():
                self._warn(
                    f"{host}: {self._tree}/{path} is dropped: a lower-numbered host has other bytes under that name"
                )

    def _directory(self, path: str, mode: int, mtime: int) -> None:
        self.entries += 1
        self._sink.directory(path, mode, mtime)
        self._took(path, None)

    def _unfit(self, host: str, path: str, size: int) -> bool:
        why = self._sink.unfit(path, size)
        if why is None:
            return False
        self._skip(host, path, why)
        if len(self.notes.unfit) < 100:
            self.notes.unfit.append(f"{host}:{path}")
        return True

    def _took(self, path: str, digest: str | None) -> None:
        if self._merge:
            self._merge.took(path, digest)

    def _list(self, path: str, size: int, digest: str, host: str) -> None:
        self.entries += 1
        self.files += 1
        self.bytes += size
        self._listed.write(json.dumps({"path": path, "size": size, "sha256": digest, "host": host}) + "\n")

    def _skip(self, host: str, path: str, why: str) -> None:
        self.notes.skips += 1
        if len(self.notes.skipped) < 1000:
            self.notes.skipped.append({"tree": self._tree, "host": host, "path": path, "why": why})

    def _warn(self, text: str) -> None:
        if len(self.notes.warnings) < 100:
            self.notes.warnings.append(text)


def _data(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    data = archive.extractfile(member)
    if data is None:
        raise tarfile.ReadError(f"{member.name!r} is no file")
    return data


def _blocks(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    data = _data(archive, member)
    left = member.size
    while left:
        block = data.read(min(CHUNK, left))
        if not block:
            raise tarfile.ReadError("unexpected end of data")
        left -= len(block)
        yield block
