"""A file of lines of which any can be read, by number: there may be more than memory should hold."""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterable
from pathlib import Path

BATCH = 10_000
PLACE = struct.Struct("<Q")


class Lines:
    """The lines lie in `path`, where each of them ends in a file beside it. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places = path.with_name(f"{path.name}.index")

    def write(self, lines: Iterable[bytes]) -> int:
        """Replaces what there was, by lines without line breaks. Gives their number."""
        at = count = 0
        batch = array("Q")
        with self._path.open("wb") as file, self._places.open("wb") as places:
            for count, line in enumerate(lines, 1):  # noqa: B007 - the last one is the number of all
                at += file.write(line) + file.write(b"\n")
                batch.append(at)
                if len(batch) == BATCH:
                    batch.tofile(places)
                    batch = array("Q")
            batch.tofile(places)
        return count

    def open(self) -> OpenLines:
        return OpenLines(self._path, self._places)


class OpenLines:
    def __init__(self, path: Path, places: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._places = os.open(places, os.O_RDONLY | os.O_CLOEXEC)

    def __getitem__(self, number: int) -> bytes:
        """A line, from 0, without its line break."""
        start = PLACE.unpack(os.pread(self._places, 8, 8 * (number - 1)))[0] if number else 0
        end = PLACE.unpack(os.pread(self._places, 8, 8 * number))[0]
        return os.pread(self._file, end - start - 1, start)

    def close(self) -> None:
        os.close(self._file)
        os.close(self._places)
