"""`make bench-archive`: how fast a model's directory is in S3 as model.tar.gz, beside what one would write by hand.

The agent's sidecar and its upload process, from the word that training has ended to the report that all is committed: digests of files and
archive, fence, manifest and the sidecar's polls. Its helpers have loaded what they need by then, as they do while training runs; peers start.
All are checked by unpacking. Runs take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from isal import igzip

from hack import tools
from hack.console import guarded
from tests.bench.transfer import agent, loads, measured, peers
from tests.bench.transfer.measured import MB, MIB, Contender, Row, Took, in_turns, pairs
from tests.bench.transfer.servers import QuickServer, Server, cpu, in_memory, serving
from trainyard.api.uris import split_s3_uri

AGENT = "agent"
GZIP = "tarfile (gzip -6), then boto3"
KEY = "by-hand/model.tar.gz"


def sizes(archive: Any) -> dict[str, int]:
    """The regular files of a .tar.gz that can be read, by path."""
    with (
        igzip.IGzipFile(fileobj=archive) as plain,
        tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r|") as tar,
    ):
        return {member.name.removeprefix("./"): member.size for member in tar if member.isfile()}


def contenders(server: Server, bucket: str, model: Path, scratch: Path, who: Sequence[str] | None) -> list[Contender]:
    """The agent first. `who`: the peers; None: all."""
    wanted = {str(path.relative_to(model)): path.stat().st_size for path in model.rglob("*") if path.is_file()}

    def checked(took: Took, key: str) -> Took:
        size = server.client.head_object(Bucket=bucket, Key=key)["ContentLength"]
        assert sizes(server.client.get_object(Bucket=bucket, Key=key)["Body"]) == wanted, f"{key} has other files"
        server.client.delete_object(Bucket=bucket, Key=key)
        return Took(took.seconds, took.cpu, took.rss, took.server, size=size)

    def by(name: str) -> Callable[[], Took]:
        def run() -> Took:
            before = cpu(server)
            command = peers.archives(server.url, bucket, KEY, model, scratch)[name]
            took = measured.run(command, scratch, env=peers.environment())
            return checked(measured.served(took, cpu(server) - before), KEY)

        return run

    def ours() -> Took:
        with agent.trained(server, scratch / "job", bucket, lambda _job: None) as pod:
            for name in wanted:
                there = pod.ml / "model" / name
                there.parent.mkdir(parents=True, exist_ok=True)
                os.link(model / name, there)
            took = agent.end_training(server, pod)
        shutil.rmtree(scratch / "job")
        return checked(took, split_s3_uri(pod.job.plan.model_uri)[1])

    names = [name for name in peers.archives("", "", "", model, scratch) if who is None or name in who]
    if shutil.which("pigz") is None:
        names = [name for name in names if "pigz" not in name]
    return [Contender(AGENT, ours), *(Contender(name, by(name)) for name in names)]


def figures(rows: Mapping[str, Row]) -> dict[str, float]:
    """`archive_ratio`: the agent's archive to that of gzip -6, in bytes; not more than 1 is no worse."""
    return {
        "archive_vs_gzip": round(pairs(rows[AGENT], rows[GZIP]), 2),
        "archive_ratio": round(rows[AGENT].size / rows[GZIP].size, 4),
        "peak_rss_mib": round(rows[AGENT].rss / MIB),
    }


def run(runs: int, *, short: bool, megabytes: int, who: Sequence[str] | None = None) -> dict[str, float]:
    with in_memory() as scratch:
        size = loads.model(scratch / "model", (20 if short else megabytes) * MIB)
        with serving(QuickServer, scratch) as server:
            server.client.create_bucket(Bucket="bench")
            rows = in_turns(contenders(server, "bench", scratch / "model", scratch, who), runs)
    print(f"\n{loads.MODEL_FILES} files, {size / MB:.0f} MB, as .tar.gz; quicks3\n{measured.heading()}   size")
    for row in rows:
        print(f"{measured.line(row, size=size)}  {row.size / size:.3f}")
    found = {row.name: row for row in rows}
    return figures(found) if GZIP in found else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small loads, to try it out: its figures mean nothing")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--peers", nargs="*", help="only these, by name")
    options = parser.parse_args()
    for tool in (tools.QUICKS3, tools.S5CMD, tools.AWSCLI):
        tools.ensure(tool)
    runs = 1 if options.short else options.runs
    print(json.dumps(run(runs, short=options.short, megabytes=options.megabytes, who=options.peers)))


if __name__ == "__main__":
    guarded(main)
