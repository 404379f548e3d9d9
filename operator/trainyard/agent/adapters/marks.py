"""Empty files in a directory that is training's: made and removed below an open directory, whatever lies in their place."""

from __future__ import annotations

import contextlib
import os

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def put(directory: int, name: str) -> None:
    """Any user may remove it. Nothing happens where it is there already, or cannot be made: it is a courtesy."""
    with contextlib.suppress(OSError):
        descriptor = os.open(name, NEW, 0o666, dir_fd=directory)
        try:
            os.fchmod(descriptor, 0o666)
        finally:
            os.close(descriptor)


def drop(directory: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)
