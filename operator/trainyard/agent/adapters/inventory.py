"""Which files of a tree are taken, and which are in S3: on disk, for there may be a million of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

_TAKEN = """
PRAGMA journal_mode = OFF;
CREATE TABLE files (path BLOB PRIMARY KEY, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE directories (path BLOB PRIMARY KEY) WITHOUT ROWID;
BEGIN;
"""
# A crash of the process loses nothing, and the disk does not outlive the node: nobody waits for it.
_SENT = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, size INTEGER, sha256 TEXT, facts BLOB, round INTEGER, seen INTEGER DEFAULT 0
) WITHOUT ROWID;
"""


class Taken:
    """The paths of one archive that is being made: a temporary database, which goes with this object."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TAKEN)

    def close(self) -> None:
        self._database.close()

    def digest(self, path: str) -> str | None:
        """Of the file of that path; None if there is none."""
        row = self._database.execute("SELECT sha256 FROM files WHERE path = ?", (os.fsencode(path),)).fetchone()
        return None if row is None else str(row[0])

    def is_directory(self, path: str) -> bool:
        found = self._database.execute("SELECT 1 FROM directories WHERE path = ?", (os.fsencode(path),))
        return found.fetchone() is not None

    def add_file(self, path: str, sha256: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (os.fsencode(path), sha256))

    def add_directory(self, path: str) -> None:
        self._database.execute("INSERT OR IGNORE INTO directories VALUES (?)", (os.fsencode(path),))


class Sent:
    """What this attempt has written below one URI, by the path there. A successor of this process goes on with it.

    Files are sent in rounds: what is of an earlier one and not of the present is in S3 and should not be.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._open(path)
        except sqlite3.DatabaseError:
            # What it had is sent again.
            path.unlink(missing_ok=True)
            self._open(path)

    def _open(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(_SENT)
        self._round = int(self._database.execute("SELECT coalesce(max(round), 0) FROM files").fetchone()[0])

    def begin(self) -> None:
        """A new round."""
        self._round += 1

    def found(self, path: str) -> tuple[int, str, bytes] | None:
        """Size, SHA-256 and facts of what was sent under that path, in any round."""
        row = self._database.execute("SELECT size, sha256, facts FROM files WHERE path = ?", (os.fsencode(path),))
        found: tuple[int, str, bytes] | None = row.fetchone()
        return found

    def add(self, path: str, size: int, sha256: str, facts: bytes) -> None:
        """It is in S3, and belongs there. `facts`: what tells the file's versions apart; empty if nothing does."""
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, 0)",
            (os.fsencode(path), size, sha256, facts, self._round),
        )

    def adopt(self, sent: Iterable[tuple[str, int]]) -> None:
        """Files (path, size) of an earlier attempt, as of an earlier round."""
        rows = ((os.fsencode(path), size) for path, size in sent)
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR IGNORE INTO files VALUES (?, ?, '', x'', 0, 0)", rows)

    def forget(self, path: str) -> None:
        self._database.execute("DELETE FROM files WHERE path = ?", (os.fsencode(path),))

    def left(self) -> Iterator[str]:
        """Paths of earlier rounds alone. They may be forgotten on the way."""
        select = "SELECT path FROM files WHERE round < ? AND path > ? ORDER BY path LIMIT 1000"
        last = b""
        while page := self._database.execute(select, (self._round, last)).fetchall():
            yield from (os.fsdecode(path) for (path,) in page)
            last = page[-1][0]

    def look(self) -> None:
        """A look at S3 begins: nothing was seen yet."""
        self._database.execute("UPDATE files SET seen = 0 WHERE seen")

    def seen(self, listed: Iterable[tuple[str, int]]) -> list[str]:
        """Marks files (path, size) that were listed; those that are not this round's, or have another size, are given back."""
        foreign = []
        update = "UPDATE files SET seen = 1 WHERE path = ? AND size = ? AND round = ?"
        with self._database:
            self._database.execute("BEGIN")
            for path, size in listed:
                if not self._database.execute(update, (os.fsencode(path), size, self._round)).rowcount:
                    foreign.append(path)
        return foreign

    def unseen(self) -> Iterator[tuple[str, int]]:
        """Files (path, size) of this round that no listing had."""
        select = "SELECT path, size FROM files WHERE round = ? AND NOT seen AND path > ? ORDER BY path LIMIT 1000"
        last = b""
        while page := self._database.execute(select, (self._round, last)).fetchall():
            yield from ((os.fsdecode(path), size) for path, size in page)
            last = page[-1][0]
