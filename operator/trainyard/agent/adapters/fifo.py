"""Named pipes that training reads: made whole, opened for writing, watched until the reader has left."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

from trainyard.agent.ports import Body

BUFFER = 1024 * 1024
"""Bytes that the kernel keeps between the two ends: as many as anyone may ask for by default."""


def make(path: Path, aside: Path) -> None:
    """A FIFO that any user may open; one that is there stays, as a reader may be waiting at it. `aside`: on the same file system."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISFIFO(path.lstat().st_mode):
            return
    draft = aside / path.name
    draft.unlink(missing_ok=True)
    os.mkfifo(draft, 0o666)
    draft.chmod(0o666)
    draft.rename(path)


def open_for_writing(path: Path) -> int:
    """Returns once somebody reads. Raises OSError if training has put something else in its place."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EEXIST, "is no FIFO any more", str(path))
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, BUFFER)
    return descriptor


def write(descriptor: int, data: Body) -> None:
    """All of it. Raises BrokenPipeError once nobody reads any more."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def is_read(path: Path) -> bool:
    """Does somebody have it open? Nobody may be writing."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY))
    except OSError:
        return False
    return True
