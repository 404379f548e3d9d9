"""What one run took, and many runs of many contenders in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.transfer import meter

MIB = 1024 * 1024
MB = 1_000_000


@dataclass(frozen=True)
class Took:
    """Seconds, CPU seconds and bytes. `server`: the S3 server's CPU seconds meanwhile. `first`: from the start to the first object's GET."""

    seconds: float
    cpu: float
    rss: int
    server: float = 0.0
    first: float | None = None
    size: int = 0
    """Of what came out, where that differs."""
    hosts: float = 0.0
    """Seconds of all hosts together, where there are many and the others are one's."""
    faults: int = 0
    """Answers of the server that went wrong on purpose."""


@dataclass
class Row:
    """One contender's runs of one load."""

    name: str
    runs: list[Took] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """What was wrong with other runs."""

    def median(self, what: Callable[[Took], float]) -> float:
        return statistics.median(what(took) for took in self.runs)

    @property
    def seconds(self) -> float:
        return self.median(lambda took: took.seconds)

    @property
    def rss(self) -> int:
        return max(took.rss for took in self.runs)

    @property
    def size(self) -> int:
        return max(took.size for took in self.runs)


Run = Callable[[], Took]


@dataclass(frozen=True)
class Contender:
    """`run` brings the load once and raises what it finds wrong. `slow`: once is enough, for it takes minutes. `may_fail`: that it does is
    a result."""

    name: str
    run: Run
    slow: bool = False
    may_fail: bool = False


def in_turns(contenders: Sequence[Contender], runs: int) -> list[Row]:
    """Run round by round, so that a machine whose speed drifts is the same for all; each round another one is the first."""
    rows = [Row(each.name) for each in contenders]
    for number in range(runs):
        turns = deque(zip(contenders, rows, strict=True))
        turns.rotate(-number)
        for each, row in turns:
            if number == 0 or not each.slow:
                _say(f"{each.name}: {_once(each, row)}")
    _say("")
    return rows


def _once(each: Contender, row: Row) -> str:
    try:
        row.runs.append(each.run())
    except (AssertionError, RuntimeError) as error:
        if not each.may_fail:
            raise
        row.failed.append(str(error) or type(error).__name__)
        return "failed"
    return f"{row.runs[-1].seconds:.2f} s"


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def pairs(one: Row, other: Row) -> float:
    """How often `one` fits into `other`: the median of what the runs of one round give. More than 1: `one` is faster."""
    return statistics.median(b.seconds / a.seconds for a, b in zip(one.runs, other.runs, strict=False))


def run(command: Sequence[str | Path], scratch: Path, *, env: Mapping[str, str] | None = None, code: int = 0) -> Took:
    """Runs it to its end. Raises RuntimeError with what it said if it does not exit with `code`."""
    out = scratch / "took.json"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(meter.__file__), out, *command],
        env=os.environ | (env or {}), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode != code:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    found = json.loads(out.read_text())
    return Took(found["seconds"], found["cpu"], found["rss"], first=found["at"])


def heading() -> str:
    return f"{'':36}{'s':>8}{'min':>7}{'max':>7}{'rate':>12}{'CPU s':>8}{'server':>8}{'MiB':>6}"


def line(row: Row, *, size: int, objects: float = 0, more: str = "") -> str:
    """A row of the table; the rate is of objects if there are any, else of bytes. `more`: columns that follow."""
    count = len(row.runs) + len(row.failed)
    failed = f"  failed {len(row.failed)} of {count}: {_short(row.failed[0])}" if row.failed else ""
    if not row.runs:
        return f"{row.name:36}{failed}"
    rate = f"{objects / row.seconds:.0f} obj/s" if objects else f"{size / MB / row.seconds:.0f} MB/s"
    times = [took.seconds for took in row.runs]
    return (
        f"{row.name + ('' if count > 1 else ' *'):36}{row.seconds:8.2f}{min(times):7.2f}{max(times):7.2f}{rate:>12}"
        f"{row.median(lambda took: took.cpu):8.2f}{row.median(lambda took: took.server):8.2f}{row.rss / MIB:6.0f}{more}{failed}"
    )


def _short(text: str) -> str:
    """Its last line: what a program said at the end."""
    return text.strip().splitlines()[-1][:120]


def served(took: Took, server: float, seen: Mapping[str, float] | None = None) -> Took:
    """With what the server spent meanwhile, and with what it has seen: the moment of the first GET (seconds since the epoch), faults."""
    began, first = took.first, (seen or {}).get("first")
    faults = int((seen or {}).get("faults", 0))
    return replace(took, server=server, first=first - began if first and began else None, faults=faults)
