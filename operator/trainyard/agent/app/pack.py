"""A directory as a tar stream; and several hosts' streams as one, the lowest host winning a path."""

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
from typing import IO, Any

from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app.settings import SEEN_AS
from trainyard.agent.core.archive import END_OF_ARCHIVE, Merge, Ruling, header, padding
from trainyard.agent.errors import PeerFault

CHUNK = 1024 * 1024
TRAILER = "/trainyard-trailer"  # absolute: no file of a tree can have this name
Write = Callable[[bytes], object]


@dataclass
class Notes:
    """What the manifest says beside the files: left-out entries as {tree, host, path, why}, and warnings."""

    skipped: list[dict[str, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def copy_file(descriptor: int, size: int, write: Write) -> tuple[str, bool]:
    """Exactly `size` bytes of an open file, zeros where it ends early; its digest, and whether the size had stayed."""
    digest = hashlib.sha256()
    left = size
    steady = True
    while left:
        data = os.read(descriptor, min(CHUNK, left))
        if not data:
            steady = False
            data = bytes(min(CHUNK, left))
        digest.update(data)
        write(data)
        left -= len(data)
    write(padding(size))
    return digest.hexdigest(), steady and os.fstat(descriptor).st_size == size


class Packer:
    """Writes one archive. `listed` gets a line of JSON for each file: what the manifest says of it."""

    def __init__(self, write: Write, listed: IO[str], tree: str, *, merging: bool) -> None:
        self._write = write
        self._listed = listed
        self._tree = tree
        self._merge = Merge() if merging else None
        self.notes = Notes()
        self.files = 0
        self.entries = 0

    def add_tree(self, directory: Path, host: str) -> None:
        """This host's own files. Raises what `write` raises."""
        tree = Tree(directory, SEEN_AS[self._tree])
        for entry, descriptor in tree.walk():
            self._head(entry.path, entry.size, entry.mode, entry.mtime, entry.directory)
            if entry.directory:
                self._took(entry.path, None)
                continue
            digest, steady = copy_file(descriptor, entry.size, self._write)
            if not steady:
                self._skip(host, entry.path, f"changed its size while it was read; kept as {entry.size} bytes")
            self._took(entry.path, digest)
            self._list(entry.path, entry.size, digest, host)
        for path, why in tree.remarks.skipped:
            self._skip(host, path, why)
        self.notes.unreadable += [f"{host}:{path}" for path in tree.remarks.unreadable]

    def add_stream(self, stream: IO[bytes], host: str) -> str:
        """Another host's files, as `share` sends them; its fingerprint. Raises PeerFault when the stream breaks off."""
        trailer: dict[str, Any] | None = None
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]  # else they pile up in memory
                    if member.name == TRAILER:
                        trailer = json.loads(_data(archive, member).read())
                    else:
                        self._add_member(archive, member, host)
        except (tarfile.TarError, http.client.HTTPException, OSError, EOFError, ValueError, zlib.error) as error:
            raise PeerFault(host, f"its files broke off: {type(error).__name__}: {error}") from error
        if trailer is None:
            raise PeerFault(host, "its files broke off before the end")
        for path, why in trailer["skipped"]:
            self._skip(host, path, why)
        self.notes.unreadable += [f"{host}:{path}" for path in trailer["unreadable"]]
        return str(trailer["fingerprint"])

    def end(self) -> None:
        self._write(END_OF_ARCHIVE)

    def _add_member(self, archive: tarfile.TarFile, member: tarfile.TarInfo, host: str) -> None:
        path = member.name.rstrip("/")
        ruling = self._merge.rule(path, member.isdir()) if self._merge else Ruling.TAKE
        if ruling is Ruling.CLASH:
            kinds = "a directory here and a file" if member.isdir() else "a file here and a directory"
            self._warn(f"{host}: {self._tree}/{path} is dropped: {kinds} on a lower-numbered host")
        elif member.isdir():
            if ruling is Ruling.TAKE:
                self._head(path, 0, member.mode, int(member.mtime), True)
                self._took(path, None)
        else:
            keep = ruling is Ruling.TAKE
            if keep:
                self._head(path, member.size, member.mode, int(member.mtime), False)
            digest = hashlib.sha256()
            for data in _blocks(archive, member):
                digest.update(data)
                if keep:
                    self._write(data)
            if keep:
                self._write(padding(member.size))
                self._took(path, digest.hexdigest())
                self._list(path, member.size, digest.hexdigest(), host)
            elif self._merge and self._merge.digest(path) != digest.hexdigest():
                self._warn(
                    f"{host}: {self._tree}/{path} is dropped: a lower-numbered host has other bytes under that name"
                )

    def _head(self, path: str, size: int, mode: int, mtime: int, directory: bool) -> None:
        self.entries += 1
        self._write(header(path, size=size, mode=mode, mtime=mtime, directory=directory))

    def _took(self, path: str, digest: str | None) -> None:
        if self._merge:
            self._merge.took(path, digest)

    def _list(self, path: str, size: int, digest: str, host: str) -> None:
        self.files += 1
        self._listed.write(json.dumps({"path": path, "size": size, "sha256": digest, "host": host}) + "\n")

    def _skip(self, host: str, path: str, why: str) -> None:
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
