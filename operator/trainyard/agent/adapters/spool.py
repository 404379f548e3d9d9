"""A list of objects in a file: there may be more than memory should hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from trainyard.agent.ports import StoredObject

BATCH = 500  # objects a line: much cheaper than one


class Spool:
    """Written once, read as often as one likes. Keys need not be UTF-8: JSON escapes them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.bytes = 0
        """Of all objects together."""

    def write(self, items: Iterable[StoredObject]) -> None:
        """Replaces what there was."""
        for _ in self.recorded(items):
            pass

    def recorded(self, items: Iterable[StoredObject]) -> Iterator[StoredObject]:
        """The same, and gives each object on as soon as it is written."""
        self.bytes = 0
        following = iter(items)
        with self._path.open("w", encoding="ascii") as file:
            while batch := list(islice(following, BATCH)):
                file.write(json.dumps([(item.key, item.size, item.etag, item.checksum) for item in batch]))
                file.write("\n")
                file.flush()
                self.bytes += sum(item.size for item in batch)
                yield from batch

    def __iter__(self) -> Iterator[StoredObject]:
        with self._path.open(encoding="ascii") as file:
            for line in file:
                for fields in json.loads(line):
                    yield StoredObject(*fields)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
