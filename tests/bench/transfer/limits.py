"""One CPU and 256 MiB, as a container's limits give them: by control groups, of either version of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

MEMORY = 256 * 1024 * 1024
PERIOD = 100_000
"""Microseconds."""
ROOT = Path("/sys/fs/cgroup")
ENTER = 'for group in $0; do echo $$ > "$group/cgroup.procs" || exit 1; done; exec "$@"'
WITHIN = 10.0


class Unlimited(Exception):  # noqa: N818 - nothing is wrong with the load
    """Of this machine; says why."""


@contextmanager
def limited(memory: int = MEMORY, cpus: float = 1) -> Iterator[list[str]]:
    """The beginning of a command that is to have no more. Raises Unlimited."""
    quota = int(PERIOD * cpus)
    if (ROOT / "cgroup.controllers").exists():
        # A group with limits may be beside processes only below the root.
        wanted = {ROOT: {"cpu.max": f"{quota} {PERIOD}", "memory.max": str(memory)}}
    else:
        wanted = {
            _own("cpu"): {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(quota)},
            _own("memory"): {"memory.limit_in_bytes": str(memory)},
        }
    with ExitStack() as stack:
        try:
            groups = [stack.enter_context(_group(parent, limits)) for parent, limits in wanted.items()]
        except OSError as error:
            raise Unlimited(f"no control group can be made here: {error}") from error
        yield ["sh", "-c", ENTER, " ".join(map(str, groups))]


def _own(controller: str) -> Path:
    """The group that we are in; where that is not to be seen, the root."""
    path = ""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, found = line.split(":", 2)
        if controller in names.split(","):
            path = found.strip("/")
    own = ROOT / controller / path
    return own if own.exists() else ROOT / controller


@contextmanager
def _group(parent: Path, limits: dict[str, str]) -> Iterator[Path]:
    """With these limits, until the block ends and nobody is in it any more."""
    group = parent / f"trainyard-bench-{os.getpid()}"
    group.mkdir()
    try:
        for name, value in limits.items():
            (group / name).write_text(value)
        yield group
    finally:
        until = time.monotonic() + WITHIN
        while (group / "cgroup.procs").read_text() and time.monotonic() < until:
            time.sleep(0.02)
        group.rmdir()
