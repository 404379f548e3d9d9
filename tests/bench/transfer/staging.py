"""`make bench-staging`: how fast a channel is there, beside what one would copy it with by hand.

The agent's `stage` runs as in a pod: from the start of its process to its exit, with listing, sharing, verification, markers and report.
Peers copy the same objects from the same server. Runs take turns. With the first load of objects the moment of the first GET is taken.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hack import tools
from hack.console import guarded
from tests.bench.transfer import agent, loads, measured, peers
from tests.bench.transfer.measured import MIB, Contender, Row, Took, in_turns, pairs
from tests.bench.transfer.servers import HERE, Known, QuickServer, RealServer, Server, Way, cpu, in_memory, serving

AGENT = "agent"
SLOW = frozenset({"aws s3 cp", "boto3"})
"""Of small objects they bring some 300 a second: once is enough, and where the load is another look at the same, none."""
ONE_CORE = " with one core, and another one for the server"
LOADS = (
    *("small", "far", "small-tls", "small-core", "tiny", "mixed"),
    *("large", "large-tls", "large-core", "large-etag", "huge", "versitygw"),
)


@dataclass(frozen=True)
class Load:
    """`count`: the rate that tells is that of objects, not of bytes. `checksum`: S3 has a CRC32 of each object. `without`: peers that
    are left out."""

    title: str
    prefix: str
    objects: Mapping[str, bytes]
    count: bool
    checksum: bool = True
    way: Way = HERE
    without: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        return sum(map(len, self.objects.values()))


def check(load: Load) -> Callable[[Path], None]:
    """Raises AssertionError for a directory that has not exactly the load's bytes."""
    wanted = {key.removeprefix(f"{load.prefix}/"): body for key, body in load.objects.items()}

    def of(directory: Path) -> None:
        found = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
        assert found.keys() == wanted.keys(), f"{len(found)} files instead of {len(wanted)}"
        for name, path in found.items():
            assert path.read_bytes() == wanted[name], f"{name} is not what was put"

    return of


def contenders(server: Server, bucket: str, load: Load, scratch: Path, who: Sequence[str] | None) -> list[Contender]:
    """The agent first. `who`: the peers; None: all."""
    right = check(load)
    directory = scratch / "copied"

    def by(name: str) -> Callable[[], Took]:
        def run() -> Took:
            directory.mkdir()
            before = cpu(server)
            command = peers.downloads(server.url, bucket, load.prefix, directory)[name]
            took = measured.run(command, scratch, env=peers.environment())
            took = measured.served(took, cpu(server) - before)
            right(directory)
            shutil.rmtree(directory)
            return took

        return run

    def ours() -> Took:
        took = agent.stage(server, scratch / "job", bucket, load.prefix, right)
        shutil.rmtree(scratch / "job")
        return took

    names = [name for name in peers.downloads("", "", "", directory) if name not in load.without]
    return [
        Contender(AGENT, ours),
        *(Contender(name, by(name), slow=load.count and name in SLOW) for name in names if who is None or name in who),
    ]


def measure(kind: type[Server], load: Load, runs: int, who: Sequence[str] | None = None) -> dict[str, Row]:
    """Rows by contender, printed as well."""
    with in_memory() as scratch, serving(kind, scratch, load.way) as server:
        server.client.create_bucket(Bucket="bench")
        known: dict[int, Known] = {}
        for body in load.objects.values():
            known.setdefault(id(body), Known.of(body, checksum=load.checksum))
        server.fill("bench", {key: known[id(body)] for key, body in load.objects.items()})
        rows = in_turns(contenders(server, "bench", load, scratch, who), runs)
    print(f"\n{load.title}; {'quicks3' if kind is QuickServer else 'versitygw'}\n{measured.heading()}")
    for row in rows:
        print(measured.line(row, size=load.size, objects=len(load.objects) if load.count else 0))
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
    size, count, gigabytes = (20, 2, 0.1) if short else (256, 8, 4)
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

    def huge() -> Load:
        return Load(f"1 x {gigabytes} GiB", "large", loads.large(1, int(gigabytes * 1024) * MIB), False, without=SLOW)

    def parts() -> Load:
        title = f"{count} x {size} MiB with no checksum but the MD5s of parts"
        return replace(large(), title=title, checksum=False, without=SLOW)

    chosen: dict[str, tuple[type[Server], Callable[[], Load]]] = {
        "small": (QuickServer, small),
        "far": (QuickServer, lambda: small(", 20 ms away", Way(delay=20))),
        "small-tls": (QuickServer, lambda: small(" through TLS", Way(secure=True))),
        "small-core": (QuickServer, lambda: small(ONE_CORE, core)),
        "tiny": (QuickServer, tiny),
        "mixed": (QuickServer, mixed),
        "large": (QuickServer, large),
        "large-tls": (QuickServer, lambda: large(" through TLS", Way(secure=True))),
        "large-core": (QuickServer, lambda: large(ONE_CORE, core)),
        "large-etag": (QuickServer, parts),
        "huge": (QuickServer, huge),
        "versitygw": (RealServer, lambda: replace(small(), without=SLOW)),
    }
    rows = {name: measure(kind, load(), runs, who) for name, (kind, load) in chosen.items() if name in names}
    if {"small", "large"} - rows.keys():
        return {}
    return figures(rows["small"], rows["large"], list(rows.values()))


if __name__ == "__main__":
    guarded(main)
