"""`make bench-staging`: how fast a channel is there, beside what one would copy it with by hand.

The agent's `stage` runs as in a pod: from the start of its process to its exit, with listing, sharing, verification, markers and report.
Peers copy the same objects from the same server. Runs take turns. With the first load of objects the moment of the first GET is taken.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from hack import tools
from hack.console import guarded
from tests.bench.transfer import agent, limits, loads, measured, peers, sharded
from tests.bench.transfer.channels import Load, check
from tests.bench.transfer.measured import MIB, Contender, Row, Took, in_turns, pairs
from tests.bench.transfer.servers import (
    HERE,
    QuickServer,
    RealServer,
    Server,
    Way,
    cpu,
    emptied,
    in_memory,
    on_disk,
    serving,
)

AGENT = "agent"
SLOW = frozenset({"aws s3 cp", "boto3"})
"""Of small objects they bring some 300 a second: once is enough, and where the load is another look at the same, none."""
ONE_CORE = " with one core, and another one for the server"
LIMITED = " within one CPU and 256 MiB, to a disk"
UNRELIABLE = ", {:.0f} % of answers a 503 or a reset connection"
LOADS = (
    *("small", "far", "small-tls", "small-core", "small-limited", "small-faults", "tiny", "mixed", "sharded"),
    *("large", "large-tls", "large-core", "large-limited", "large-faults", "large-etag", "one", "versitygw"),
)


def contenders(
    server: Server, bucket: str, load: Load, scratch: Path, who: Sequence[str] | None, *, within: Sequence[str] = ()
) -> list[Contender]:
    """The agent first. `who`: the peers; None: all. `within`: the beginning of every command."""
    right = check(load)
    clear = emptied if load.limited else shutil.rmtree
    directory = scratch / "copied"

    def by(name: str) -> Callable[[], Took]:
        def run() -> Took:
            directory.mkdir()
            server.stats()
            before = cpu(server)
            command = peers.downloads(server.url, bucket, load.prefix, directory)[name]
            try:
                took = measured.run([*within, *command], scratch, env=peers.environment())
                took = measured.served(took, cpu(server) - before, server.stats())
                right(directory)
            finally:
                clear(directory)
            return took

        return run

    def ours() -> Took:
        took = agent.stage(server, scratch / "job", bucket, load.prefix, right, within=within)
        clear(scratch / "job")
        return took

    names = [name for name in peers.downloads("", "", "", directory) if name not in load.without]
    hard = load.limited or load.way.faults > 0
    return [
        Contender(AGENT, ours),
        *(
            Contender(name, by(name), slow=load.count and name in SLOW, may_fail=hard)
            for name in names
            if who is None or name in who
        ),
    ]


def measure(kind: type[Server], load: Load, runs: int, who: Sequence[str] | None = None) -> dict[str, Row]:
    """Rows by contender, printed as well; none where the machine cannot limit what processes take."""
    try:
        with ExitStack() as stack:
            within = stack.enter_context(limits.limited()) if load.limited else []
            memory = stack.enter_context(in_memory())
            server = stack.enter_context(serving(kind, memory, load.way))
            load.fill(server, "bench")
            scratch = stack.enter_context(on_disk()) if load.limited else memory
            rows = in_turns(contenders(server, "bench", load, scratch, who, within=within), runs)
    except limits.Unlimited as error:
        print(f"\n{load.title}: left out, for {error}")
        return {}
    faults = load.way.faults > 0
    print(f"\n{load.title}; {'quicks3' if kind is QuickServer else 'versitygw'}")
    print(measured.heading() + ("  faults" if faults else ""))
    for row in rows:
        seen = f"{row.median(lambda took: took.faults):8.0f}" if faults and row.runs else ""
        print(measured.line(row, size=load.size, objects=len(load.objects) if load.count else 0, more=seen))
    return {row.name: row for row in rows}


def figures(small: Mapping[str, Row], large: Mapping[str, Row], rows: Sequence[Mapping[str, Row]]) -> dict[str, float]:
    """For programs. Of the rows the agent's memory; of small objects the agent's first GET."""
    best = min((row for name, row in large.items() if name != AGENT), key=lambda row: row.seconds)
    firsts = [took.first for took in small[AGENT].runs if took.first is not None]
    return {
        "small_vs_s5cmd": round(pairs(small[AGENT], small["s5cmd"]), 2),
        "large_vs_best": round(pairs(large[AGENT], best), 2),
        "first_get_s": round(sorted(firsts)[len(firsts) // 2], 3) if firsts else 0.0,
        "peak_rss_mib": round(max(row[AGENT].rss for row in rows) / MIB),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small loads, to try it out: its figures mean nothing")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", nargs="*", help="only these, by name")
    parser.add_argument("--loads", nargs="*", default=LOADS)
    options = parser.parse_args()
    for tool in (tools.QUICKS3, tools.VERSITYGW, tools.S5CMD, tools.RCLONE, tools.AWSCLI):
        tools.ensure(tool)
    runs = 1 if options.short else options.runs
    print(json.dumps(run(options.loads, runs, short=options.short, who=options.peers)))


def run(names: Sequence[str], runs: int, *, short: bool, who: Sequence[str] | None = None) -> dict[str, float]:
    """`who`: the peers, of which s5cmd is needed for the figures. Gives those if `small` and `large` are among the loads."""
    few, many, photographs = (200, 300, 100) if short else (10_000, 100_000, 4_000)
    size, count, gigabytes = (20, 2, 0.1) if short else (256, 8, 10)
    core = Way(apart=True)

    def small(how: str = "", way: Way = HERE) -> Load:
        return Load(
            f"{few} x 16 KiB{how}", "small", loads.small(few), True, way=way, without=SLOW if how else frozenset()
        )

    def tiny() -> Load:
        return Load(f"{many} x 4 KiB", "small", loads.small(many, 4096), True, without=SLOW)

    def mixed() -> Load:
        return Load(f"{photographs} of 110 KB, log-normal", "mixed", loads.mixed(photographs), True, without=SLOW)

    def large(how: str = "", way: Way = HERE) -> Load:
        title, objects = f"{count} x {size} MiB with a CRC32{how}", loads.large(count, size * MIB)
        return Load(title, "large", objects, False, way=way, without=SLOW if how else frozenset())

    def one() -> Load:
        return Load(f"1 x {gigabytes} GiB", "one", loads.one(int(gigabytes * 1024) * MIB), False, without=SLOW)

    def unreliable(what: Callable[[str, Way], Load], faults: float) -> Load:
        return replace(what(UNRELIABLE.format(100 * faults), Way(faults=faults)), without=frozenset())

    def parts() -> Load:
        title = f"{count} x {size} MiB with no checksum but the MD5s of parts"
        return replace(large(), title=title, checksum=False, without=SLOW)

    chosen: dict[str, tuple[type[Server], Callable[[], Load]]] = {
        "small": (QuickServer, small),
        "far": (QuickServer, lambda: small(", 20 ms away", Way(delay=20))),
        "small-tls": (QuickServer, lambda: small(" through TLS", Way(secure=True))),
        "small-core": (QuickServer, lambda: small(ONE_CORE, core)),
        "small-limited": (QuickServer, lambda: replace(small(LIMITED), limited=True)),
        "small-faults": (QuickServer, lambda: unreliable(small, 0.01)),
        "tiny": (QuickServer, tiny),
        "mixed": (QuickServer, mixed),
        "large": (QuickServer, large),
        "large-tls": (QuickServer, lambda: large(" through TLS", Way(secure=True))),
        "large-core": (QuickServer, lambda: large(ONE_CORE, core)),
        "large-limited": (QuickServer, lambda: replace(large(LIMITED), limited=True)),
        "large-faults": (QuickServer, lambda: unreliable(large, 0.1)),
        "large-etag": (QuickServer, parts),
        "one": (QuickServer, one),
        "versitygw": (RealServer, lambda: replace(small(), without=SLOW)),
    }
    rows = {name: measure(kind, load(), runs, who) for name, (kind, load) in chosen.items() if name in names}
    if "sharded" in names:
        sharded.measure(small(), (1, 4) if short else (1, 8, 64), runs)
    if {"small", "large"} - rows.keys():
        return {}
    return figures(rows["small"], rows["large"], [row for row in rows.values() if row])


if __name__ == "__main__":
    guarded(main)
