"""`make bench-upload`: how fast files are in S3, beside what one would copy them with by hand.

The agent's files are checkpoints: its sidecar keeps them in S3 while training runs, and all that is left when training ends. They are
written when training has all but ended, so that it all is left: from the word that training has ended to the report that all is committed,
with fence, markers, manifest and the sidecar's polls. Or they are a model without compression, each with its SHA-256 in the manifest. Peers
copy the same files to the same server. Runs take turns. The load `sync` is another thing: checkpoints of a training that goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hack import tools
from hack.console import guarded
from tests.bench.transfer import agent, loads, measured, peers, sync
from tests.bench.transfer.measured import MB, MIB, Contender, Row, Took, in_turns, pairs
from tests.bench.transfer.servers import HERE, QuickServer, RealServer, Server, Way, cpu, in_memory, serving
from tests.integration.agent_rig import Job
from trainyard.api.uris import split_s3_uri

AGENT = "agent"
MODEL = "agent, a model"
LOADS = ("one", "tls", "large", "many", "versitygw", "sync")
STEPS = 200


def digests(server: Server, bucket: str, prefix: str) -> dict[str, str]:
    """SHA-256 of what is in S3 below `prefix/`, by path."""
    found = {}
    for page in server.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for item in page.get("Contents", []):
            body = server.client.get_object(Bucket=bucket, Key=item["Key"])["Body"]
            digest = hashlib.sha256()
            for block in body.iter_chunks(MIB):
                digest.update(block)
            found[item["Key"].removeprefix(f"{prefix}/")] = digest.hexdigest()
    return found


def files(source: Path) -> dict[str, Path]:
    """What is to be in S3, by path."""
    if source.is_file():
        return {source.name: source}
    return {str(path.relative_to(source)): path for path in source.rglob("*") if path.is_file()}


def contenders(server: Server, bucket: str, source: Path, scratch: Path, who: Sequence[str] | None) -> list[Contender]:
    """The agent first. `who`: the peers; None: all."""
    wanted = {name: hashlib.file_digest(path.open("rb"), "sha256").hexdigest() for name, path in files(source).items()}

    def checked(took: Took, prefix: str) -> Took:
        assert digests(server, bucket, prefix) == wanted, "what is in S3 is not what was sent"
        for name in wanted:
            server.client.delete_object(Bucket=bucket, Key=f"{prefix}/{name}")
        return took

    def by(name: str) -> Callable[[], Took]:
        def run() -> Took:
            before = cpu(server)
            took = measured.run(
                peers.uploads(server.url, bucket, "by-hand", source)[name], scratch, env=peers.environment()
            )
            return checked(measured.served(took, cpu(server) - before), "by-hand")

        return run

    def ours(directory: str, prepare: Callable[[Job], None], prefix: Callable[[Job], str]) -> Took:
        with agent.trained(server, scratch / "job", bucket, prepare) as pod:
            for name, path in files(source).items():
                there = pod.ml / directory / name
                there.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, there)
            took = agent.end_training(server, pod)
        shutil.rmtree(scratch / "job")
        return checked(took, prefix(pod.job))

    def checkpoints() -> Took:
        return ours("checkpoints", lambda job: job.keep_checkpoints("kept", interval=3600), lambda _job: "kept")

    def model() -> Took:
        return ours(
            "model",
            lambda job: job.change(compression="NONE"),
            lambda job: split_s3_uri(job.plan.model_uri)[1].rstrip("/"),
        )

    names = peers.uploads("", "", "", source)
    return [
        Contender(AGENT, checkpoints),
        Contender(MODEL, model),
        *(Contender(name, by(name)) for name in names if who is None or name in who),
    ]


def measure(
    kind: type[Server], make: Callable[[Path], Path], runs: int, who: Sequence[str] | None, way: Way = HERE
) -> dict[str, Row]:
    """Rows by contender, printed as well. `make` puts what is to be sent into a directory."""
    with in_memory() as scratch, serving(kind, scratch, way) as server:
        source = make(scratch)
        server.client.create_bucket(Bucket="bench")
        rows = in_turns(contenders(server, "bench", source, scratch, who), runs)
        sizes = [path.stat().st_size for path in files(source).values()]
    what = "one file" if len(sizes) == 1 else f"{len(sizes)} files"
    title = f"{what}, {sum(sizes) / MIB:.0f} MiB{' through TLS' if way.secure else ''}"
    print(f"\n{title}; {'quicks3' if kind is QuickServer else 'versitygw'}\n{measured.heading()}")
    for row in rows:
        print(measured.line(row, size=sum(sizes)))
    return {row.name: row for row in rows}


def figures(one: Mapping[str, Row], rows: Sequence[Mapping[str, Row]]) -> dict[str, float]:
    """For programs; the first is that of one large file."""
    return {
        "upload_vs_s5cmd": round(pairs(one[AGENT], one["s5cmd"]), 2),
        "peak_rss_mib": round(max(row[name].rss for row in rows for name in (AGENT, MODEL)) / MIB),
    }


def run(
    names: Sequence[str], runs: int, *, short: bool, who: Sequence[str] | None = None, steps: int = STEPS
) -> dict[str, float]:
    """`who`: the peers, of which s5cmd is needed for the figures. `steps`: of the one run of `sync`."""
    size, gigabytes = (20 * MIB, 0.1) if short else (1024 * MIB, 5)

    def one(scratch: Path) -> Path:
        return loads.file(scratch / "one.bin", size)

    def large(scratch: Path) -> Path:
        return loads.file(scratch / "large.bin", int(gigabytes * 1024) * MIB)

    def many(scratch: Path) -> Path:
        loads.model(scratch / "model", size)
        return scratch / "model"

    chosen: dict[str, tuple[type[Server], Callable[[Path], Path], Way]] = {
        "one": (QuickServer, one, HERE),
        "tls": (QuickServer, one, Way(secure=True)),
        "large": (QuickServer, large, HERE),
        "many": (QuickServer, many, HERE),
        "versitygw": (RealServer, one, HERE),
    }
    rows = {name: measure(kind, make, runs, who, way) for name, (kind, make, way) in chosen.items() if name in names}
    if "sync" in names:
        sync.measure(sync.Training(5, MB, 0.5, 0.4) if short else sync.Training(steps, 500 * MB), 1, who)
    return figures(rows["one"], list(rows.values())) if "one" in rows else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small loads, to try it out: its figures mean nothing")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", nargs="*", help="only these, by name")
    parser.add_argument("--loads", nargs="*", default=LOADS)
    parser.add_argument("--steps", type=int, default=STEPS, help="of training, in the load `sync`")
    options = parser.parse_args()
    for tool in (tools.QUICKS3, tools.VERSITYGW, tools.S5CMD, tools.RCLONE, tools.AWSCLI):
        tools.ensure(tool)
    runs = 1 if options.short else options.runs
    print(json.dumps(run(options.loads, runs, short=options.short, who=options.peers, steps=options.steps)))


if __name__ == "__main__":
    guarded(main)
