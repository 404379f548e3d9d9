"""A channel that many hosts share by key: what each takes for its share, and whether the shares together are the whole.

One host's `stage` follows the other's, for all of them at once would measure the machine. They meet a barrier that is open, so that nobody
waits for who has not begun. Peers cannot share out: s5cmd is told which keys are a host's, and needs no listing.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench.transfer import agent, measured, peers
from tests.bench.transfer.channels import Load, check
from tests.bench.transfer.measured import Contender, Row, Took, in_turns
from tests.bench.transfer.servers import QuickServer, Server, cpu, in_memory, serving
from tests.integration.agent_rig import Job


def shares(load: Load, directories: Sequence[Path], whole: Path) -> None:
    """Moves all shares to `whole`. Raises AssertionError if two of them have the same file, or together they are not the load."""
    for directory in directories:
        for path in [path for path in directory.rglob("*") if path.is_file()]:
            there = whole / path.relative_to(directory)
            assert not there.exists(), f"{there.name} is in two shares"
            there.parent.mkdir(parents=True, exist_ok=True)
            path.rename(there)
    check(load)(whole)


def together(hosts: Sequence[Took]) -> Took:
    """The median host's seconds; CPU seconds of all of them."""
    return Took(
        statistics.median(took.seconds for took in hosts),
        sum(took.cpu for took in hosts),
        max(took.rss for took in hosts),
        sum(took.server for took in hosts),
        hosts=sum(took.seconds for took in hosts),
    )


def contenders(server: Server, bucket: str, load: Load, scratch: Path, hosts: int) -> list[Contender]:
    root = scratch / "job"

    def brought(host: Iterator[tuple[Took, Path]]) -> Took:
        took, directories = zip(*host, strict=True)
        shares(load, directories, root / "whole")
        shutil.rmtree(root)
        return together(took)

    def ours() -> Iterator[tuple[Took, Path]]:
        made = agent.make_job(server, root, bucket, hosts)
        made.channel(f"{load.prefix}/", distribution="ShardedByS3Key")
        try:
            if hosts > 1:
                _open_barrier(made)
            for pod in made.pods:
                yield agent.staged(server, pod), pod.ml / "input/data/train"
        finally:
            made.close()

    def by_hand() -> Iterator[tuple[Took, Path]]:
        keys = sorted(load.objects)
        root.mkdir()
        for rank in range(hosts):
            directory, commands = root / f"{rank}", root / f"{rank}.txt"
            names = [key.removeprefix(f"{load.prefix}/") for key in keys[rank::hosts]]
            commands.write_text(
                "".join(f"cp s3://{bucket}/{load.prefix}/{name} {directory / name}\n" for name in names)
            )
            before = cpu(server)
            took = measured.run(peers.s5cmd(server.url, "run", commands), root, env=peers.environment())
            yield measured.served(took, cpu(server) - before), directory

    named = f", {hosts} {'host' if hosts == 1 else 'hosts'}"
    chosen: dict[str, Callable[[], Iterator[tuple[Took, Path]]]] = {"agent": ours, "s5cmd run": by_hand}
    return [Contender(name + named, lambda run=run: brought(run())) for name, run in chosen.items()]


def _open_barrier(made: Job) -> None:
    """The bench says for every host that it is there."""
    first = made.pod
    first.start()
    for host in made.plan.hosts:
        assert first.request("POST", f"/barrier?host={host.name}", token=True)[0] == 200


def measure(load: Load, numbers: Sequence[int], runs: int) -> list[Row]:
    """Rows for each number of hosts, printed as well. The rate is a host's."""
    rows = []
    with in_memory() as scratch, serving(QuickServer, scratch) as server:
        load.fill(server, "bench")
        for hosts in numbers:
            found = in_turns(contenders(server, "bench", load, scratch, hosts), runs)
            rows += [(row, hosts) for row in found]
    print(f"\n{load.title}, shared by key, the median host; quicks3\n{measured.heading()}   all s")
    for row, hosts in rows:
        every = f"{row.median(lambda took: took.hosts):8.2f}"
        print(measured.line(row, size=load.size // hosts, objects=len(load.objects) / hosts, more=every))
    return [row for row, _ in rows]
