"""Is there a directory at a path of a volume, as the kubelet will look for it?"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_DENIED = frozenset({errno.EACCES, errno.EPERM})


def fault(volume: Path, path: str) -> str:
    """Why training cannot be given the directory `path` of `volume`; empty: nothing is known to be in the way.

    The kubelet follows links as long as they stay in the volume. It makes what is missing: nobody would notice. Who may not look
    says nothing: the volume's server may let the training program's user."""
    root = os.path.realpath(volume)
    place = volume / path
    try:
        found = os.path.realpath(place, strict=True)
        if found != root and not found.startswith(f"{root}/"):
            return "is, or lies behind, a symbolic link that leads out of it"
        return "" if Path(found).is_dir() else "is not a directory"
    except OSError as error:
        if error.errno in _DENIED:
            return ""
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return (
                "does not exist, or leads out of it by a symbolic link" if _linked(volume, place) else "does not exist"
            )
        return f"cannot be looked at: {os.strerror(error.errno or 0)}"


def _linked(volume: Path, place: Path) -> bool:
    try:
        return any(each.is_symlink() for each in (place, *place.parents) if volume in each.parents)
    except OSError:
        return False
