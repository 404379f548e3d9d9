"""`make bench-pipes`: how fast an epoch of a Pipe channel is, beside curl with the same objects from the same server.

Both write into a FIFO that `dd` reads. curl is given all URLs at once, so that it keeps its connection. Runs alternate, as the speed
of a machine drifts; each is timed from the reader's start to its end. The agent has read ahead by then, at most 32 MiB of it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.integration.agent_rig import Job, S3Server, children, find_versitygw, job, wait_for

MB = 1_000_000


def read(fifo: Path) -> float:
    """Seconds that it took to read it to its end."""
    began = time.monotonic()
    subprocess.run(["dd", f"if={fifo}", "of=/dev/null", "bs=1M", "status=none"], check=True)
    return time.monotonic() - began


def with_curl(made: Job, keys: list[str], directory: Path) -> tuple[float, float]:
    """Seconds, and CPU seconds of the writer."""
    fifo = directory / "curl"
    os.mkfifo(fifo)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    signed = made.server.client.generate_presigned_url
    urls = [signed("get_object", Params={"Bucket": made.bucket, "Key": key}) for key in keys]
    (directory / "urls").write_text("".join(f'url = "{url}"\n' for url in urls))
    with subprocess.Popen(
        ["sh", "-c", 'exec curl -sS --fail "$@" > "$0"', str(fifo), "--config", str(directory / "urls")]
    ) as process:
        seconds = read(fifo)
    assert process.returncode == 0
    fifo.unlink()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def of_pipe_process(made: Job) -> int:
    assert made.pod.process
    pid = made.pod.process.pid
    found = [p for p in children(pid) if b"\0pipe\0" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return found[0] if found else 0


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak(pid: int) -> int:
    line = next(row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def with_agent(made: Job, epoch: int) -> tuple[float, float]:
    fifo = made.pod.ml / f"input/data/train_{epoch}"
    wait_for("the FIFO", fifo.exists)
    process = int(wait_for("the process", lambda: of_pipe_process(made)))
    before = cpu(process)
    seconds = read(fifo)
    return seconds, cpu(process) - before


def compare(server: S3Server, directory: Path, name: str, count: int, *, size: int, runs: int) -> dict[str, object]:
    """Prints the figures of one load, and gives the main ones."""
    with job(server, directory / name, f"bench-{name}") as made:
        keys = [f"data/{number:05}" for number in range(count)]
        made.put(*keys, body=os.urandom(size))
        made.channels({"s3_uri": made.uri("data/"), "input_mode": "Pipe"})
        made.pod.start()
        made.pod.stage()
        with_curl(made, keys, directory)  # what the server's files are in the page cache for
        times = [(with_curl(made, keys, directory), with_agent(made, epoch)) for epoch in range(runs)]
        memory = peak(of_pipe_process(made))
    for who, found in (("curl", [pair[0] for pair in times]), ("agent", [pair[1] for pair in times])):
        rates = [count * size / MB / seconds for seconds, _ in found]
        used = statistics.median(processor for _, processor in found)
        print(
            f"{name:>6} {who:>6}: {statistics.median(rates):7.0f} MB/s (from {min(rates):.0f} to {max(rates):.0f}), {used:.2f} CPU s an epoch"
        )
    shares = [curl[0] / agent[0] for curl, agent in times]
    share = round(statistics.median(shares), 3)
    print(f"{name:>6} agent/curl: {share:.2f}, peak memory of the process {memory / MB:.0f} MB")
    return {"objects": count, "bytes": count * size, "agent/curl": share, "peak": memory}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1024)
    chosen = parser.parse_args()
    binary = find_versitygw()
    if binary is None:
        raise SystemExit("error: no versitygw: run `make setup`, or set TRAINYARD_VERSITYGW")
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as name:
        directory = Path(name)
        (directory / "s3").mkdir()
        server = S3Server(binary, directory / "s3")
        found: dict[str, object] = {}
        try:
            for load, size in (("large", 64 << 20), ("small", 128 << 10)):
                (directory / load).mkdir()
                total = chosen.megabytes << 20 if load == "large" else chosen.megabytes << 18
                found[load] = compare(server, directory, load, max(1, total // size), size=size, runs=chosen.runs)
        finally:
            server.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
