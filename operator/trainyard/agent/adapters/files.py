"""Small files that must never be seen half-written, and directories that every user may write to."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

ANY_USER = 0o777
STICKY = 0o1777
ML_DIRECTORIES = ("input", "input/config", "input/data", "model", "output", "output/data", "checkpoints")


def make_directory(path: Path, mode: int = ANY_USER) -> None:
    """Makes `path` (its parent exists) with that mode whatever the umask; one that is there only gets the mode, if we may.

    Raises OSError for anything else of that name, a link among them.
    """
    path.mkdir(exist_ok=True)
    with contextlib.suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_mode & 0o7777 != mode:
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)


def make_directories(top: Path, path: str) -> None:
    """The same for `path` below `top`, which exists, and for those on the way that are missing."""
    *parts, last = path.split("/")
    for part in parts:
        top /= part
        if not top.is_dir():
            make_directory(top)
    make_directory(top / last)


def empty(directory: Path) -> None:
    """Removes what is in it."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)  # noqa: PTH108 - of an entry there is only its path


def make_ml_tree(ml: Path) -> None:
    """What training finds under /opt/ml. Not output/intermediate: the toolkit uploads it only where it made it itself."""
    ml.mkdir(parents=True, exist_ok=True)
    for name in ML_DIRECTORIES:
        make_directory(ml / name)
    make_directory(ml / "tmp", STICKY)


def write_whole(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Replaces `path` at once and for good: readers see the old content or the new, also after a crash."""
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(path)


def write_in_place(path: Path, content: str) -> None:
    """For a file that is mounted by itself, as the termination log is: it cannot be replaced."""
    with path.open("w") as file:
        file.write(content)
        file.flush()
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty for a file that is missing, empty or half there."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_text(path: Path, characters: int) -> str | None:
    """The beginning of a text file that training wrote, whatever bytes it holds; None if there is no regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return os.read(descriptor, 4 * characters).decode("utf-8", "replace")[:characters]
    except OSError:
        return None
    finally:
        os.close(descriptor)


def free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def has_files(directory: Path) -> bool:
    """Is there anything but directories below? Symbolic links count and are not followed."""
    return any(files for _, _, files in os.walk(directory))
