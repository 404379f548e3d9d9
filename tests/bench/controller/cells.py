"""One load by one contender: a fresh control plane, the clock, the audit log."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hack.console import say
from hack.native.apart import COMPONENTS
from tests.bench.controller import audit, loads, stages
from tests.bench.controller.cost import cpu_seconds
from tests.bench.controller.loads import BATCH_JOB, OURS, Contender
from tests.bench.controller.plane import OPERATOR, Plane, plane
from tests.support.operator import OperatorProcess
from trainyard.api.names import AGENT_PORT

DEADLINE = 900.0
CONTROLLERS = {OURS.name: OPERATOR, BATCH_JOB.name: "system:serviceaccount:kube-system:job-controller"}
SHIPPED = {  # tests run the operator hurriedly; here it has its own defaults, which an empty value means
    f"TRAINYARD_{name}": ""
    for name in (
        "WATCH_NAMESPACES",
        "RESYNC_SECONDS",
        "REFERENCE_TIMEOUT_SECONDS",
        "LEASE_DURATION_SECONDS",
        "LEASE_RENEW_SECONDS",
        "LEASE_RETRY_SECONDS",
        "LOG_FORMAT",
    )
}


@dataclass(frozen=True)
class Cell:
    """`cpu`: seconds by process, from the first create to the last end. RSS in MiB, of the operator."""

    contender: str
    jobs: int
    hosts: int
    times: audit.Times
    writes: Counter[str]
    failures: int
    cpu: dict[str, float]
    rss: tuple[float, float] = (0.0, 0.0)

    def per_job(self, seconds: float) -> float:
        return seconds / self.jobs * 1000

    @property
    def writes_per_job(self) -> float:
        return self.writes.total() / self.jobs


class _Agent(BaseHTTPRequestHandler):
    """Takes the operator's word, as every pod's agent does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def agents() -> Iterator[None]:
    """On all addresses: each pod has another one of 127/8."""
    with ThreadingHTTPServer(("0.0.0.0", AGENT_PORT), _Agent) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()


@contextmanager
def operator(on: Plane) -> Iterator[OperatorProcess]:
    running = OperatorProcess(
        str(on.kubeconfig("operator")), loads.NAMESPACE, on.layout.state / "operator.log", SHIPPED
    )
    running.start()
    try:
        yield running
    finally:
        running.stop()


async def burst(contender: Contender, jobs: int, hosts: int, image: str = stages.QUICK) -> Cell:
    return await _run(contender, jobs, hosts, image=image)


async def idle(contender: Contender, jobs: int) -> Cell:
    return await _run(contender, jobs, 1, image=stages.SLOW, pace=2.0)


async def _run(contender: Contender, jobs: int, hosts: int, *, image: str, pace: float = 0.0) -> Cell:
    say(f"  {contender.name}: {jobs} x {hosts}{f', one every {pace:.0f} s' if pace else ''}")
    with contextlib.ExitStack() as stack:
        on = stack.enter_context(plane())
        on.apply(*loads.setting())
        running = None
        if contender is OURS:
            stack.enter_context(agents())
            running = stack.enter_context(operator(on))
        async with loads.loader(on.kubeconfig("admin")) as load:
            on.settle()
            pids = on.pids() | ({"operator": running.process.pid} if running and running.process else {})
            before = {name: cpu_seconds([pid]) for name, pid in pids.items()}
            start_rss = running.resident_mebibytes() if running else 0.0
            objects = jobs * (hosts if contender in loads.OF_PODS else 1)
            watching = asyncio.create_task(load.until(contender.made, objects, contender.over, contender.failed))
            async with asyncio.timeout(DEADLINE):
                if pace:
                    await load.paced(contender, jobs, pace, image)
                else:
                    await load.burst(contender, jobs, hosts, image)
                await watching
            cpu = {name: cpu_seconds([pid]) - before[name] for name, pid in pids.items()}
            rss = (start_rss, running.resident_mebibytes() if running else 0.0)
        # What follows the end (events, the plan's new owner) and the log's own batches.
        await asyncio.sleep(5)
        writes = audit.read(on.audit)
    made = {f"job-{number}" for number in range(jobs)}
    own = CONTROLLERS.get(contender.name, "")
    times = audit.times(writes, contender.made.plural, made, contender.last)
    refused = sum(write.user == own and write.code >= 300 for write in writes)
    return Cell(contender.name, jobs, hosts, times, audit.by_kind(writes, own), refused, cpu, rss)


async def memory(jobs: int) -> float:
    """MiB of the operator for each job that is in training, from before they came until all are."""
    say(f"  memory: {jobs} jobs in training")
    with plane() as on, agents(), operator(on) as running:
        on.apply(*loads.setting())
        async with loads.loader(on.kubeconfig("admin")) as load:
            on.settle()
            before = running.resident_mebibytes()

            def training(raw: loads.Raw) -> bool:
                return bool(raw.get("status", {}).get("secondaryStatus") == "Training")

            watching = asyncio.create_task(load.until(OURS.made, jobs, training, OURS.failed))
            async with asyncio.timeout(DEADLINE):
                await load.burst(OURS, jobs, 1, stages.HELD)
                await watching
            await asyncio.sleep(5)
            return (running.resident_mebibytes() - before) / jobs


def control_plane(cell: Cell) -> float:
    """CPU seconds of everything but kwok, which stands for the kubelets, and the loader."""
    return sum(seconds for name, seconds in cell.cpu.items() if name in COMPONENTS or name == "operator")
