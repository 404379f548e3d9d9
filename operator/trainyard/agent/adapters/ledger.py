"""What of a directory is in S3, in a database on disk: there may be a million files, and a successor of this process goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

BATCH = 1000
# A crash of the process loses nothing, and the disk does not outlive the node: nobody waits for it.
SCHEMA = """
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS files (key BLOB PRIMARY KEY, stored BLOB, pending BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (key BLOB, kind TEXT, signature BLOB, steady INTEGER, position INTEGER);
"""
Row = tuple[bytes, bytes | None, bytes | None]
Note = tuple[bytes, str, bytes, bool, int]
"""Key, kind, signature, whether it is steady, and its place in the order in which it is to be dealt with."""


class Ledger:
    """Keys and signatures are the caller's. Raises sqlite3.DatabaseError for a file that is no ledger."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(SCHEMA)

    def close(self) -> None:
        self._database.close()

    def adopt(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        """(key, signature) of what is in S3, and nothing else is."""
        with self.together():
            self._database.execute("DELETE FROM files")
            self._database.executemany("INSERT INTO files VALUES (?, ?, NULL)", stored)

    def rows(self) -> Iterator[Row]:
        """(key, stored, pending) in the order of keys."""
        return iter(self._database.execute("SELECT key, stored, pending FROM files ORDER BY key"))

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is done within is written at once."""
        with self._database:
            self._database.execute("BEGIN")
            yield

    def count(self) -> int:
        """How many files are in S3."""
        count: int = self._database.execute("SELECT count(*) FROM files WHERE stored IS NOT NULL").fetchone()[0]
        return count

    def note(self, notes: Iterable[Note]) -> None:
        """The changes of one look, in the place of those of the last one."""
        with self.together():
            self._database.execute("DELETE FROM changes")
            following = iter(notes)
            while batch := list(islice(following, BATCH)):
                self._database.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?)", batch)

    def noted(self, kind: str) -> Iterator[tuple[bytes, bytes, bool]]:
        """(key, signature, steady) of the changes of one kind, in their order. What is stored meanwhile changes nothing."""
        select = "SELECT key, signature, steady FROM changes WHERE kind = ? ORDER BY position, key"
        for key, facts, steady in self._database.execute(select, (kind,)):
            yield key, facts, bool(steady)

    def store(self, key: bytes, signature: bytes) -> None:
        """That version is in S3 now."""
        self._database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, NULL)", (key, signature))

    def pend(self, key: bytes, signature: bytes | None) -> None:
        """That is there, but not yet in S3; None: what is in S3 is there."""
        self._database.execute(
            "INSERT INTO files VALUES (?1, NULL, ?2) ON CONFLICT (key) DO UPDATE SET pending = ?2", (key, signature)
        )

    def forget(self, key: bytes) -> None:
        self._database.execute("DELETE FROM files WHERE key = ?", (key,))
