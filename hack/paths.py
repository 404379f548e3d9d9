"""Where things are: the checkout, and the cache outside it that outlives checkouts."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent


def cache() -> Path:
    """The cache directory; made when missing."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trainyard"
    path = Path(os.environ.get("TRAINYARD_CACHE") or fallback).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path
