"""The operator killed before and after each of its writes, for each way that a job may go: it ends as without the kill.

`make test-long` tries all of the points; `make test` a part of them, another one for each way and every day, so that within
twelve days all have had their turn. TRAINYARD_TURN chooses the part of another day, as a failure names it.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.jobs import Job, Kubectl, Manifest, check_transitions
from tests.support import objects as o
from tests.support.crash import IMPATIENT, dies
from tests.support.nodes import become
from tests.support.operator import OperatorProcess
from tests.support.unscheduled import Births, prepare, submit
from trainyard.api import names
from trainyard.api.report import StopReason

EVERY = 1 if os.environ.get("TRAINYARD_LONG") == "1" else 12
TURN = int(os.environ.get("TRAINYARD_TURN") or datetime.now(UTC).toordinal())
AT_ONCE = 3
LOOK_S = 0.1
DEADLINE_S = 180.0
Point = tuple[int, bool]


@dataclass
class Stage:
    """One job, its operator, and the kubelet's part, which the test plays."""

    job: Job
    operator: OperatorProcess
    code: int = 0
    why: StopReason | None = None
    done: set[str] = field(default_factory=set)

    def once(self, what: str, do: Callable[[], object]) -> None:
        if what not in self.done:
            self.done.add(what)
            do()

    def status(self) -> Manifest:
        found = self.job.kubectl.get("trainingjob", self.job.name, self.job.namespace)
        status: Manifest = (found or {}).get("status", {})
        return status

    def play(self, pod: Manifest) -> None:
        """One step of a pod's life, from what it shows: training, and to its end once `code` or an order says so."""
        name, phase = pod["metadata"]["name"], pod["status"].get("phase")
        states = {entry["name"]: entry["state"] for entry in pod["status"].get("containerStatuses", [])}
        training = next(iter(states.get("training", {"waiting": {}})))
        ordered = names.ANNOTATION_STOP in pod["metadata"].get("annotations", {})
        staged = o.staged()
        if training == "waiting":
            become(self.job, pod, staged | {"training": o.running(6), "hold": o.running(6)})
        elif training == "running" and (ordered or self.why is None) and self.lets_end(name):
            code = 143 if ordered else self.code
            become(self.job, pod, staged | {"training": o.ended(6, 60, code), "hold": o.running(6)})
        elif training == "terminated" and phase == "Running":
            told = o.report(stop_reason=self.why if ordered else None)
            ended = {"training": o.ended(6, 60, 143 if ordered else self.code), "hold": o.ended(6, 70)}
            over = staged | ended | {"sidecar": o.ended(2, 70, message=told)}
            become(self.job, pod, over, phase="Failed" if ordered or self.code else "Succeeded")

    def lets_end(self, _pod: str) -> bool:
        return True


@dataclass(frozen=True)
class Way:
    """How a job goes: what the program and the user do, and the end that is the same whenever the operator dies."""

    end: tuple[str | None, str | None]
    code: int = 0
    why: StopReason | None = None
    act: Callable[[Stage], None] | None = None
    spec: tuple[tuple[str, object], ...] = ()
    attempts: int = 1


def _lose(stage: Stage) -> None:
    """The first attempt's pod is deleted by somebody, while it trains and is recorded."""
    if stage.status().get("secondaryStatus") == "Training" and stage.status().get("attempt") == 1:
        pod = f"{stage.job.name}-1-algo-1"
        stage.once("lost", lambda: stage.job.kubectl("delete", "pod", pod, "-n", stage.job.namespace))
        stage.why = None


def _when_training(do: Callable[[Stage], object]) -> Callable[[Stage], None]:
    def act(stage: Stage) -> None:
        if stage.status().get("secondaryStatus") == "Training":
            stage.once("told", lambda: do(stage))

    return act


def _suspend_and_resume(stage: Stage) -> None:
    status = stage.status()

    def suspend(value: bool) -> None:
        patch = json.dumps({"spec": {"suspend": value}})
        where = ("trainingjob", stage.job.name, "-n", stage.job.namespace)
        stage.job.kubectl("patch", *where, "--type=merge", "-p", patch)

    if status.get("secondaryStatus") == "Training":
        stage.once("suspended", lambda: suspend(True))
    if status.get("attempt") == 2:
        stage.why = None
        stage.once("resumed", lambda: suspend(False))


WAYS: dict[str, Way] = {
    "normal": Way(("Completed", "Completed")),
    "failure": Way(("Failed", "Failed"), code=3),
    "stop": Way(
        ("Stopped", "Stopped"),
        why=StopReason.USER_REQUESTED,
        act=_when_training(lambda stage: stage.job.stop()),
    ),
    "retry": Way(
        ("Completed", "Completed"),
        why=StopReason.INTERRUPTED,
        act=_lose,
        spec=(("retryStrategy", {"maximumRetryAttempts": 1}),),
        attempts=2,
    ),
    "suspend": Way(("Completed", "Completed"), why=StopReason.SUSPENDED, act=_suspend_and_resume, attempts=2),
    "delete": Way((None, None), why=StopReason.DELETED, act=_when_training(lambda stage: stage.job.delete(wait=False))),
}


@contextmanager
def place(kubectl: Kubectl, log: Path) -> Iterator[OperatorProcess]:
    name = f"crash-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    prepare(kubectl, name)
    # The same name each time: a lease that its own holder left behind need not run out.
    settings = {"TRAINYARD_IDENTITY": name, "TRAINYARD_RESYNC_SECONDS": "5"}
    operator = OperatorProcess(kubectl.kubeconfig, name, log, settings)
    try:
        yield operator
    finally:
        operator.kill()
        kubectl("delete", "namespace", name, "--wait=false")


def run(kubectl: Kubectl, log: Path, way: Way, number: int = 0, *, before: bool = False) -> tuple[int, str]:
    """One life. Returns the operator's writes (if it was not killed), and what is wrong with how it ended."""
    with place(kubectl, log) as operator:
        births = Births(kubectl, operator.namespace)
        try:
            operator.prelude = dies(number, before=before) if number else IMPATIENT
            operator.start(ready=False)
            job = submit(kubectl, operator.namespace, "life", **dict(way.spec))
            stage = Stage(job, operator, way.code, way.why)
            wrong = _live(stage, way) or _judge(stage, way, births)
            return int(sum(operator.writes().values())), wrong
        finally:
            births.end()


def _live(stage: Stage, way: Way) -> str:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        process = stage.operator.process
        if process is None or process.poll() is not None:
            stage.operator.process, stage.operator.prelude = None, IMPATIENT
            stage.operator.start(ready=False)
        for pod in stage.job.pods:
            stage.play(pod)
        if way.act is not None:
            way.act(stage)
        if _over(stage, way):
            return ""
        time.sleep(LOOK_S)
    return f"not over within {DEADLINE_S:.0f} s: {json.dumps(stage.status())[:2000]}"


def _over(stage: Stage, way: Way) -> bool:
    if way.end == (None, None):
        left = stage.job.kubectl.list("pods,configmaps", stage.job.namespace, f"{names.LABEL_JOB_NAME}=life")
        return "told" in stage.done and not left
    return stage.status().get("trainingJobStatus") in ("Completed", "Failed", "Stopped")


def _judge(stage: Stage, way: Way, births: Births) -> str:
    status = stage.status()
    found = (status.get("trainingJobStatus"), status.get("secondaryStatus"))
    if found != way.end:
        return f"ended {found}, not {way.end}: {status.get('failureReason')}"
    if status:
        check_transitions(status)
    made = [line.split("=")[0] for line in sorted(births.seen)]
    expected = [f"life-{attempt}-algo-1" for attempt in range(1, way.attempts + 1)]
    return "" if made == expected else f"these pods were made: {made}"


def part(points: list[Point], turn: int) -> list[Point]:
    """Those whose turn it is: a part that is never empty, and EVERY turns in a row have them all."""
    parts = min(EVERY, len(points))
    return points[turn % parts :: parts]


@pytest.mark.parametrize("writes", [1, 5, 6, 7, 40])
def test_every_point_has_its_turn(writes: int) -> None:
    points = [(number, before) for number in range(1, writes + 1) for before in (True, False)]
    tried = [part(points, turn) for turn in range(TURN, TURN + EVERY)]
    assert all(tried)
    assert {point for some in tried for point in some} == set(points)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", WAYS)
def test_a_job_ends_the_same_way_at_whichever_write_the_operator_dies(crds: Kubectl, tmp_path: Path, name: str) -> None:
    way = WAYS[name]
    writes, wrong = run(crds, tmp_path / "golden", way)
    assert not wrong, wrong
    assert writes >= 5
    points = [(number, before) for number in range(1, writes + 1) for before in (True, False)]
    points = part(points, TURN + list(WAYS).index(name))

    def one(point: Point) -> str:
        number, before = point
        _, wrong = run(crds, tmp_path / f"{number}-{before}", way, number, before=before)
        return f"killed {'before' if before else 'after'} write {number}: {wrong}" if wrong else ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [wrong for wrong in pool.map(one, points) if wrong]
    print(f"{name}: {writes} writes, {len(points)} deaths, TRAINYARD_TURN={TURN}")
    assert not found, "\n".join([f"with TRAINYARD_TURN={TURN}:", *found])
