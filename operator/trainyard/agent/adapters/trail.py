"""A way down from an open directory, one open directory after the other: no link is followed, and `..` needs no name."""

from __future__ import annotations

import os
from typing import Self

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Skip(Exception):  # noqa: N818 - a remark
    """Why an entry is left out."""


class Trail:
    """From the root to where the resolution of a path, or of a link to `target`, stands."""

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

    def __exit__(self, *_: object) -> None:
        for each in self._below:
            os.close(each)
