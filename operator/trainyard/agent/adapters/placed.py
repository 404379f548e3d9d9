"""Which objects are files already: a stage that is started again goes on where it was.

Sixteen bytes for each, of its file, key, version and size. They count only on the machine's present run: after a crash of the machine a
file may be there with less in it than was written.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from trainyard.agent.ports import StoredObject

SIZE = 16
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _digest(*facts: object) -> bytes:
    return hashlib.blake2b(repr(facts).encode("utf-8", "surrogateescape"), digest_size=SIZE).digest()


class Placed:
    """Safe for threads. What an earlier process wrote is known, if it was cut off in the middle of an entry but for that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        boot = _digest(BOOT_ID.read_text() if BOOT_ID.exists() else "")
        content = path.read_bytes() if path.exists() else b""
        entries = [content[first : first + SIZE] for first in range(0, len(content) - SIZE + 1, SIZE)]
        self._known = set(entries[1:]) if entries[:1] == [boot] else set()
        path.write_bytes(boot + b"".join(self._known))
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def has(self, file: str, item: StoredObject) -> bool:
        """Did an earlier process make this file of it, and is it still as long?"""
        if not self._known or _digest(file, item.key, item.etag, item.size) not in self._known:
            return False
        try:
            found = os.stat(file)  # noqa: PTH116 - of a million files, one after the other
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == item.size

    def add(self, files: Iterable[tuple[str, StoredObject]]) -> None:
        os.write(self._file, b"".join(_digest(file, item.key, item.etag, item.size) for file, item in files))

    def clear(self) -> None:
        """None is any more."""
        self._known = set()
        os.ftruncate(self._file, SIZE)
