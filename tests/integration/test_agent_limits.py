"""What runs out: a volume while it is filled, the memory of a helper, and an attempt in the middle of its upload; and what does not, for a
model of many gigabytes."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests.bench.transfer.servers import QuickServer
from tests.integration.agent_rig import Job, Pod, Proxy, S3Server, children, command_of, job, wait_for
from tests.support.s3servers import Elsewhere
from trainyard.api.report import Result

MODEL = "out/Job/output/model.tar.gz"
LONG = os.environ.get("TRAINYARD_LONG") == "1"
GIB = 1024**3
SIZE = (40 if LONG else 2) * GIB


@pytest.fixture
def one(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        yield made


@pytest.fixture
def small_volume(one: Job) -> Iterator[None]:
    """4 MB for everything that training sees."""
    if os.geteuid():
        pytest.skip("mounts a file system: only as root")
    one.pod.ml.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", one.pod.ml], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"may not mount a file system: {mounted.stderr}")
    try:
        yield
    finally:
        one.close()
        subprocess.run(["umount", "--lazy", one.pod.ml], check=True)


def next_attempt(one: Job, root: Path) -> Pod:
    """The pod of the following attempt, on volumes of its own."""
    one.plan = one.plan.but(job=one.plan.job.but(attempt=one.plan.job.attempt + 1))
    one.pods = [Pod(one, one.plan.hosts[0], root)]
    one.pod.make()
    return one.pod


def memory_of(pid: int, limit: int) -> None:
    """That process may have so many bytes of data from now on."""
    resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))


def limited(pid: int) -> bool:
    return resource.prlimit(pid, resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY


def data(pid: int) -> int:
    line = next(row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmData"))
    return int(line.split()[1]) * 1024


def peak(pid: int) -> int:
    """The most bytes that a process has had in memory so far."""
    line = next(row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def helper(pod: Pod, role: str) -> int:
    """That process of the sidecar, once it waits for commands."""
    assert pod.process
    supervisor = pod.process.pid

    def found() -> int | None:
        for child in children(supervisor):
            with suppress(OSError):  # it may be about to end
                reads = len(list(Path(f"/proc/{child}/task").iterdir())) > 1
                if role.encode() in command_of(child).split(b"\0") and limited(child) and reads:
                    return child
        return None

    return int(wait_for(f"the process {role}", found))


@pytest.mark.usefixtures("small_volume")
def test_a_volume_that_fills_up_while_data_comes_is_named_with_both_numbers(one: Job) -> None:
    """Each object takes a block, however few bytes it has: the listing says that all of them fit."""
    for number in range(1300):
        one.put(f"d/{number:04}", body=b"x" * 100)
    one.channel("d/")
    report = one.pod.stage(code=1)
    assert (report.result, report.reason) == (Result.FAILED, "DiskFull")
    message = report.message or ""
    assert message.startswith(
        "ClientError: Data download failed:the input data of algo-1, checkpoints included, needs at least"
    )
    assert re.search(
        r" \d+ bytes and its storage volume has \d+ free\. Ask for more with resourceConfig\.volumeSizeInGB", message
    )


@pytest.mark.timeout(1800 if LONG else 300)
def test_a_model_of_many_gigabytes_goes_through_the_upload_in_little_memory(tmp_path: Path) -> None:
    """One file without compression, so that every byte travels; it is all zeros but for its middle, and so is what the server keeps.

    40 GiB with TRAINYARD_LONG=1: 100 would take some six minutes with two busy cores. `test_large_trees.py` packs so many.
    """
    (tmp_path / "s3").mkdir()
    server = QuickServer(tmp_path / "s3")
    try:
        with job(Elsewhere(server.url), tmp_path, f"b-{uuid4().hex}") as one:
            one.change(compression="NONE")
            one.pod.start()
            one.pod.run_training()
            middle = os.urandom(1000)
            with (one.pod.ml / "model/weights").open("wb") as file:
                file.truncate(SIZE)
                file.seek(SIZE // 2)
                file.write(middle)
            child = helper(one.pod, "upload")
            began = time.monotonic()
            one.pod.training_ends()
            one.pod.released(1500)
            most = peak(child)
            print(f"\n{SIZE / GIB:.0f} GiB in {time.monotonic() - began:.0f} s, peak {most / 1e6:.0f} MB")
            assert one.pod.end().result is Result.COMMITTED
            key = "out/Job/output/model/weights"
            assert one.server.client.head_object(Bucket=one.bucket, Key=key)["ContentLength"] == SIZE
            there = f"bytes={SIZE // 2 - 1}-{SIZE // 2 + 1000}"
            found = one.server.client.get_object(Bucket=one.bucket, Key=key, Range=there)["Body"].read()
            assert found == b"\0" + middle + b"\0"
            assert one.manifest()["artifacts"][0]["size"] == SIZE
            assert most < 256 * 1024 * 1024
    finally:
        server.close()


def test_an_upload_process_out_of_memory_is_followed_by_one_that_commits_the_model(one: Job) -> None:
    one.pod.start()
    content = os.urandom(30_000_000)
    one.pod.run_training({"big": content})
    assert one.pod.process
    child = helper(one.pod, "upload")
    memory_of(child, data(child) + 2_000_000)
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"big": content}
    assert "memory limit reached" in (one.pod.root / "sidecar.err").read_text()
    assert one.server.uploads(one.bucket) == []


def test_a_mirror_process_out_of_memory_is_followed_by_one_that_keeps_the_checkpoints(one: Job) -> None:
    one.keep_checkpoints()
    one.pod.start()
    one.pod.run_training({"m": b"1"})
    one.pod.write({"first": b"1"}, "checkpoints")
    wait_for("the first checkpoint", lambda: one.checkpoints() == {"first": b"1"})
    child = helper(one.pod, "mirror")
    memory_of(child, data(child))
    # A part of it needs more than a heap may have spare.
    later = {"step-1/weights": os.urandom(30_000_000), "step-2/weights": b"x"}
    one.pod.write(later, "checkpoints")
    wait_for("its successor", lambda: helper(one.pod, "mirror") != child)
    one.pod.training_ends()
    assert one.pod.end().result is Result.COMMITTED
    assert "memory limit reached" in (one.pod.root / "sidecar.err").read_text()
    kept = {key.removeprefix("ck/") for key in one.server.keys(one.bucket) if key.startswith("ck/")}
    assert kept == {"first", *later}
    assert one.model() == {"m": b"1"}


def test_an_upload_whose_volumes_are_gone_is_aborted_by_the_next_attempt(server: S3Server, tmp_path: Path) -> None:
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        proxy = Proxy(server, limit=20_000_000)
        one.change(store=one.plan.store.but(endpoint_url=proxy.url))
        one.pod.start()
        one.pod.run_training({"big": os.urandom(40_000_000)})
        one.pod.training_ends()
        assert proxy.held.wait(30)
        assert server.uploads(one.bucket) == [MODEL]
        lost = one.pod
        lost.kill()
        proxy.close()
        one.change(store=one.plan.store.but(endpoint_url=server.url))
        again = next_attempt(one, tmp_path / "again")
        again.start()
        again.run_training({"m": b"2"})
        again.training_ends()
        assert again.end().result is Result.COMMITTED
        assert one.model() == {"m": b"2"}
        assert server.uploads(one.bucket) == []
