"""Checkpoints while training runs: how old is what S3 has when a host is lost, beside a loop of `s5cmd sync` or `aws s3 sync`.

Training writes a file at every step - beside the directory, and renames it into place, so that nobody sees half of one - and keeps the last three.
At some moments of the seed what S3 has is looked at; at the last of them all processes are killed, and the newest checkpoint is compared byte
by byte. Before training a few passes over files that are there already tell what a pass costs that finds nothing to do.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.bench.transfer import agent, peers
from tests.bench.transfer.agent import Watch
from tests.bench.transfer.loads import PRIME, SEED, Repeated, blocks
from tests.bench.transfer.measured import MB, MIB
from tests.bench.transfer.servers import QuickServer, in_memory, serving
from tests.integration.agent_rig import wait_for

KEEP = 3
MOMENTS = 20
PASSES = 3
LOOP = 'while :; do "${@:2}"; echo >> "$1"; sleep "$PAUSE"; done'


@dataclass(frozen=True)
class Training:
    """`every`: seconds from step to step. `interval`: the agent looks twice in that time, and loops pause as long between two passes; it is
    the shortest that a platform may be told."""

    steps: int
    size: int
    every: float = 2.0
    interval: float = 2.0


@dataclass(frozen=True)
class Mirror:
    """What keeps `directory` in S3 below `kept/`: a process and its children. `looks` changes with each pass that is over."""

    pid: int
    directory: Path
    looks: Callable[[], object]
    kill: Callable[[], None]


Start = Callable[[QuickServer, Path, float], AbstractContextManager[Mirror]]


@dataclass
class Lost:
    """One run. `ages`: of the newest checkpoint in S3 at each moment, in seconds since it was complete on the host (of those from before: since
    training began); the last is that of the kill. `newest`, `written`: steps at the kill. `requests`: by step. `idle`: by pass."""

    ages: list[float] = field(default_factory=list)
    newest: int = 0
    written: int = 0
    cpu: float = 0
    rss: int = 0
    requests: float = 0
    idle: float = 0
    sent: float = 0


class Writer(threading.Thread):
    """Training. `done`: when each step's checkpoint was complete."""

    def __init__(self, plan: Training, directory: Path, scratch: Path) -> None:
        super().__init__(daemon=True)
        self._plan = plan
        self._directory = directory
        self._draft = scratch / "draft"
        self._rest = Repeated(random.Random(SEED).randbytes(PRIME), plan.size - 8)
        self.over = threading.Event()
        self.done: list[float] = []

    def content(self, step: int) -> Iterator[bytes]:
        yield step.to_bytes(8, "big")
        yield from blocks(self._rest)

    def step(self) -> None:
        number = len(self.done)
        with self._draft.open("wb") as file:
            file.writelines(self.content(number))
        self._draft.rename(self._directory / name(number))
        self.done.append(time.monotonic())
        (self._directory / name(number - KEEP)).unlink(missing_ok=True)

    def run(self) -> None:
        began = time.monotonic()
        for number in range(1, self._plan.steps + 1):
            if self.over.wait(max(0, began + number * self._plan.every - time.monotonic())):
                return
            self.step()


def name(step: int) -> str:
    return f"step-{step:06}"


@contextmanager
def _agent(server: QuickServer, scratch: Path, interval: float) -> Iterator[Mirror]:
    prepare = agent.trained(
        server, scratch / "job", "bench", lambda job: job.keep_checkpoints("kept", interval=interval)
    )
    with prepare as pod:
        assert pod.process

        def looks() -> object:
            said = pod.report().checkpoints
            return said and said.last_pass_at

        yield Mirror(pod.process.pid, pod.ml / "checkpoints", looks, pod.kill)


def _loop(
    command: Callable[[str, Path], peers.Command],
) -> Start:
    @contextmanager
    def run(server: QuickServer, scratch: Path, interval: float) -> Iterator[Mirror]:
        directory, passes = scratch / "job" / "checkpoints", scratch / "job" / "passes"
        directory.mkdir(parents=True)
        passes.touch()
        process = subprocess.Popen(
            ["bash", "-c", LOOP, "bash", passes, *command(server.url, directory)],
            env=os.environ | peers.environment() | {"PAUSE": str(interval / 2)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

        def kill() -> None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

        try:
            yield Mirror(process.pid, directory, lambda: passes.stat().st_size, kill)
        finally:
            if process.poll() is None:
                kill()

    return run


MIRRORS: dict[str, Start] = {
    "agent": _agent,
    "s5cmd sync": _loop(lambda url, here: peers.s5cmd(url, "sync", "--delete", f"{here}/", "s3://bench/kept/")),
    "aws s3 sync": _loop(
        lambda url, here: peers.aws(url, "sync", "--delete", "--only-show-errors", here, "s3://bench/kept")
    ),
}


def in_s3(server: QuickServer, size: int) -> list[int]:
    """Steps whose checkpoints are there in full, the newest first. The server does not count the question."""
    asked = urllib.request.Request(f"{server.url}/bench?list-type=2&prefix=kept/", headers={"x-bench-unseen": "1"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        found = ET.fromstring(answer.read()).iter("Contents")
    sizes = {item.findtext("Key", ""): int(item.findtext("Size", "0")) for item in found}
    return sorted((int(key.rpartition("-")[2]) for key, each in sizes.items() if each == size), reverse=True)


def lost(make: Start, plan: Training, seed: int) -> Lost:
    dice = random.Random(seed)
    until = dice.uniform(0.75, 1.0) * plan.steps * plan.every
    moments = [*sorted(dice.uniform(0, until) for _ in range(MOMENTS)), until]
    found = Lost()
    with in_memory() as scratch, serving(QuickServer, scratch) as server:
        assert isinstance(server, QuickServer)
        server.client.create_bucket(Bucket="bench")
        with make(server, scratch, plan.interval) as mirror:
            training = Writer(plan, mirror.directory, scratch)
            for _ in range(KEEP):
                training.step()
            wait_for("the first checkpoints", lambda: len(in_s3(server, plan.size)) == KEEP, 60)
            found.idle = _idle(server, mirror)
            watch, began = Watch(mirror.pid), time.monotonic()
            server.stats()
            training.start()
            for moment in moments:
                time.sleep(max(0, began + moment - time.monotonic()))
                now, newest = time.monotonic(), next(iter(in_s3(server, plan.size)), 0)
                found.ages.append(now - max(began, training.done[newest]))
            found.cpu, found.rss = watch.end(), watch.rss
            mirror.kill()
            training.over.set()
            training.join()
        seen = server.stats()
        found.written = len(training.done) - 1
        found.requests, found.sent = seen["requests"] / (found.written - KEEP + 1), seen["received"]
        found.newest = next((step for step in in_s3(server, plan.size) if _right(server, training, step)), -1)
        shutil.rmtree(scratch / "job")
    return found


def _idle(server: QuickServer, mirror: Mirror) -> float:
    """Requests of a pass that finds nothing changed; the first of the passes may have begun before all was there."""

    def passed() -> None:
        before = mirror.looks()
        wait_for("a pass", lambda: mirror.looks() != before, 60)

    passed()
    passed()
    server.stats()
    for _ in range(PASSES):
        passed()
    return server.stats()["requests"] / PASSES


def _right(server: QuickServer, training: Writer, step: int) -> bool:
    body = server.client.get_object(Bucket="bench", Key=f"kept/{name(step)}")["Body"]
    return all(body.read(len(block)) == block for block in training.content(step)) and not body.read(1)


def measure(plan: Training, runs: int, who: Sequence[str] | None = None) -> dict[str, list[Lost]]:
    """Runs by contender, printed as well. Each round has moments of its own."""
    chosen = {each: make for each, make in MIRRORS.items() if each == "agent" or who is None or each.split()[0] in who}
    rows: dict[str, list[Lost]] = {each: [] for each in chosen}
    for number in range(runs):
        for each, make in chosen.items():
            rows[each].append(lost(make, plan, SEED + number))
    print(f"\n{plan.steps} checkpoints of {plan.size / MB:.0f} MB, one every {plan.every:g} s; quicks3")
    print(
        f"{'':16}{'age s':>8}{'max':>7}{'killed':>8}{'newest':>8}{'of':>6}{'CPU s':>8}{'req/step':>10}{'req/idle':>10}{'MB sent':>9}{'MiB':>6}"
    )
    for each, found in rows.items():
        print(line(each, found))
    return rows


def line(who: str, found: Sequence[Lost]) -> str:
    """Ages at all moments of all runs, median and largest; at the kill, its age and step, of the last run; else medians."""
    ages = [age for run in found for age in run.ages]
    last = found[-1]

    def median(what: Callable[[Lost], float]) -> float:
        return statistics.median(map(what, found))

    return (
        f"{who:16}{statistics.median(ages):8.2f}{max(ages):7.2f}{last.ages[-1]:8.2f}{last.newest:8}{last.written:6}"
        f"{median(lambda run: run.cpu):8.2f}{median(lambda run: run.requests):10.1f}{median(lambda run: run.idle):10.1f}"
        f"{median(lambda run: run.sent) / MB:9.0f}{max(run.rss for run in found) / MIB:6.0f}"
    )
