"""A place where some jobs are damaged and others are healthy: an operator, a kubelet for the healthy ones, and who watches over them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.jobs import Kubectl, check_transitions, eventually
from tests.support import objects as o
from tests.support import specs
from tests.support.mutations import ROLE
from tests.support.nodes import written
from tests.support.operator import OperatorProcess
from tests.support.rest import JOBS, PODS, Raw, Rest
from tests.support.unscheduled import NOWHERE, prepare
from trainyard.api import names

# A healthy job is through within seconds, also beside a start of the operator and on busy cores; where it is starved, it never is.
MADE_WITHIN, THROUGH_WITHIN = 25.0, 50.0


@contextmanager
def place(
    kubectl: Kubectl, rest: Rest, log: Path, prelude: str = "", through: Path | None = None
) -> Iterator[OperatorProcess]:
    """A namespace with an operator, a role for each way to name one, and a kubelet for jobs that are called healthy. `through` is the
    operator's own kubeconfig, where it does not reach the apiserver as the others do."""
    name = f"bad-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    prepare(kubectl, name)
    role = {
        "apiVersion": names.API_VERSION,
        "kind": "ExecutionRole",
        "metadata": {"name": "present", "namespace": name},
    }
    kubectl.apply(role | {"spec": {"roleARN": ROLE}})
    # The identity stays: a restarted operator need not wait for its own lease.
    settings = {
        "TRAINYARD_IDENTITY": name,
        "TRAINYARD_LEASE_DURATION_SECONDS": "15",
        "TRAINYARD_LEASE_RENEW_SECONDS": "10",
    }
    operator = OperatorProcess(str(through or kubectl.kubeconfig), name, log, settings, prelude)
    over = threading.Event()
    kubelet = threading.Thread(target=_play, args=(rest, name, over))
    kubelet.start()
    try:
        operator.start()
        yield operator
    finally:
        over.set()
        kubelet.join()
        operator.kill()
        for job in rest.items(JOBS.format(name)):
            if "finalizers" in job["metadata"]:  # else the namespace would stay for ever
                rest.merge(f"{JOBS.format(name)}/{job['metadata']['name']}", {"metadata": {"finalizers": None}})
        kubectl("delete", "namespace", name, "--wait=false")


def _play(rest: Rest, namespace: str, over: threading.Event) -> None:
    """Every pod of a healthy job trains and ends well."""
    while not over.wait(0.3):
        for pod in rest.items(PODS.format(namespace)):
            if pod["metadata"]["name"].startswith("healthy-"):
                step(rest, pod)


def step(rest: Rest, pod: Raw) -> None:
    """The next state of a pod's life, as a kubelet would write it."""
    path = f"{PODS.format(pod['metadata']['namespace'])}/{pod['metadata']['name']}/status"
    states = {entry["name"]: entry["state"] for entry in pod["status"].get("containerStatuses", [])}
    host = "algo-" + pod["metadata"]["name"].rpartition("-")[2]
    training, staged = states.get("training", {"waiting": {}}), o.staged(host)
    if "waiting" in training:
        rest.merge(path, {"status": written(staged | {"training": o.running(6), "hold": o.running(6)})})
    elif "running" in training:
        rest.merge(path, {"status": written(staged | {"training": o.ended(6, 60), "hold": o.running(6)})})
    elif pod["status"]["phase"] == "Running":
        last = {"training": o.ended(6, 60), "hold": o.ended(6, 70), "sidecar": o.ended(2, 70, message=o.report(host))}
        rest.merge(path, {"status": written(staged | last, phase="Succeeded")})


def submit(rest: Rest, namespace: str, name: str, **more: Any) -> None:
    """A job whose pods no node takes; `more` are fields of its spec."""
    spec = specs.patched(specs.MINIMAL, {"resourceConfig": {"instanceType": NOWHERE}} | more)
    made = {"apiVersion": names.API_VERSION, "kind": "TrainingJob", "metadata": {"name": name}, "spec": spec}
    rest.done("POST", JOBS.format(namespace), made)


class Control:
    """Healthy jobs one after the other, for as long as the others are being damaged; what was late is in `wrong`."""

    def __init__(self, rest: Rest, namespace: str) -> None:
        self._rest, self._namespace = rest, namespace
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.wrong: list[str] = []
        self.through: list[float] = []

    def __enter__(self) -> Control:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            self._one(f"healthy-{len(self.through)}")
            self.through.append(time.monotonic() - began)

    def _one(self, name: str) -> None:
        submit(self._rest, self._namespace, name)
        pod = f"{PODS.format(self._namespace)}/{name}-1-algo-1"
        self._until(f"{name} has its pod", MADE_WITHIN, lambda: self._rest("GET", pod)[0] == 200)
        self._until(
            f"{name} is Completed",
            THROUGH_WITHIN,
            lambda: self._status(name).get("trainingJobStatus") == "Completed",
        )
        if (status := self._status(name)).get("trainingJobStatus") == "Completed":
            check_transitions(status)

    def _until(self, what: str, within: float, probe: Callable[[], object]) -> None:
        try:
            eventually(what, probe, within=within, every=0.2)
        except AssertionError as error:
            self.wrong.append(str(error))

    def _status(self, name: str) -> Raw:
        found: Raw = self._rest.done("GET", f"{JOBS.format(self._namespace)}/{name}").get("status", {})
        return found


def unharmed(operator: OperatorProcess) -> list[str]:
    """What is wrong with the operator itself."""
    wrong, log = [], operator.log.read_text()
    if "Traceback" in log:
        wrong.append(f"traceback in the operator's log: {log[log.index('Traceback') :][:2000]}")
    process = operator.process
    if process is None or process.poll() is not None:
        wrong.append("the operator has ended")
    if operator.liveness() != "ok":
        wrong.append(f"liveness: {operator.liveness()!r}")
    if restarts := operator.metric("trainyard_watch_restarts_total"):
        wrong.append(f"the watches were started again {restarts:.0f} times")
    return wrong
