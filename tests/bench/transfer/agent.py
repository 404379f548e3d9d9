"""The agent's own processes at work, as they run in a pod: `stage`, or the sidecar with its helpers, and what they took."""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.controller.cost import cpu_seconds
from tests.bench.transfer import measured
from tests.bench.transfer.measured import Took
from tests.bench.transfer.servers import Server, cpu
from tests.integration.agent_rig import Job, Pod, children, rss, wait_for
from trainyard.agent.timing import Timing
from trainyard.api.report import Report, Result

LOOK_SECONDS = 0.02
WITHIN = 600.0


def make_job(server: Server, root: Path, bucket: str, hosts: int = 1) -> Job:
    """A job in a new directory, with a pod's own time constants; its results lie where nobody's are yet."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    made = Job(server, root, bucket, hosts)  # of a server it asks for no more than all of these have
    made.timing = Timing()
    made.change(s3_output_path=f"s3://{bucket}/out/{uuid.uuid4().hex}")
    return made


def stage(
    server: Server, root: Path, bucket: str, prefix: str, check: Callable[[Path], None], *, within: Sequence[str] = ()
) -> Took:
    """Brings a channel of all objects below `prefix/`; `check` gets the directory. `within`: the beginning of the command."""
    made = make_job(server, root, bucket)
    made.channel(f"{prefix}/")
    server.stats(f"{prefix}/")
    took = staged(server, made.pod, within)
    check(made.pod.ml / "input/data/train")
    return took


def staged(server: Server, pod: Pod, within: Sequence[str] = ()) -> Took:
    before = cpu(server)
    took = measured.run([*within, *pod.command("stage", "stage-log")], pod.root)
    took = measured.served(took, cpu(server) - before, server.stats())
    assert pod.staged_report().result is Result.STAGED
    return took


class Watch:
    """The largest sum of the memory that a process and its children have at once, and the CPU seconds of all of them."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._before = self._cpu()
        self.rss = 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _processes(self) -> list[int]:
        with suppress(OSError):  # it may just have ended
            return [self._pid, *children(self._pid)]
        return []

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.rss = max(self.rss, sum(map(rss, self._processes())))

    def _cpu(self) -> float:
        """Of those that have ended, too, once the process has waited for them."""
        ticks = os.sysconf("SC_CLK_TCK")
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / ticks + cpu_seconds(self._processes())

    def end(self) -> float:
        """The CPU seconds since it began."""
        self._over.set()
        self._thread.join()
        return self._cpu() - self._before


@contextmanager
def trained(server: Server, root: Path, bucket: str, prepare: Callable[[Job], None]) -> Iterator[Pod]:
    """A pod whose training runs, and whose helpers have loaded what they need. `prepare` gets the job before `stage`."""
    made = make_job(server, root, bucket)
    prepare(made)
    pod = made.pod
    try:
        pod.stage()
        pod.start()
        pod.probe()
        wait_for("the helpers", lambda: _idle(pod))
        yield pod
    finally:
        made.close()


def _idle(pod: Pod) -> bool:
    """Has it helpers, and have they nothing to do?"""
    assert pod.process
    found = children(pod.process.pid)
    before = cpu_seconds(found)
    time.sleep(0.3)
    return bool(found) and children(pod.process.pid) == found and cpu_seconds(found) == before


def end_training(server: Server, pod: Pod) -> Took:
    """From the operator's word that training has ended to the report that all is committed; the sidecar's polls are in it."""
    assert pod.process
    report = pod.state / "report.json"
    before, watch, began = cpu(server), Watch(pod.process.pid), time.monotonic()
    pod.training_ends()
    while not report.exists():
        assert time.monotonic() - began < WITHIN, "no report"
        time.sleep(0.002)
    seconds = time.monotonic() - began
    found = Report.from_json(report.read_text())
    assert found.result is Result.COMMITTED, found.message
    return Took(seconds, watch.end(), watch.rss, server=cpu(server) - before)
