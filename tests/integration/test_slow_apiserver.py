"""An apiserver that is all but away: every answer takes seconds, and some are 429 or 503. Jobs go on, and none gets a second gang."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.jobs import TERMINAL, Kubectl, check_transitions, eventually
from tests.support.faults import Fault, FaultProxy
from tests.support.neighbours import place, step, submit
from tests.support.rest import JOBS, PODS, Raw, Rest
from tests.support.unscheduled import NOWHERE, Births

LONG = os.environ.get("TRAINYARD_LONG") == "1"
HEALTHY = 12 if LONG else 3
SLOW_S = (2.0, 5.0)
REFUSALS = [Fault(times=None, chance=0.05, wait=SLOW_S, answer=(status, "")) for status in (429, 503)]
# A pass asks one thing after the other, and one that is refused in the middle comes again.
WITHIN_S = 300.0


@pytest.fixture
def slow(kubectl: Kubectl) -> Iterator[FaultProxy]:
    """In front of the apiserver, behind a proxy of kubectl's that brings TLS and the rights."""
    command = [kubectl.program, "--kubeconfig", kubectl.kubeconfig, "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            address = proxy.stdout.readline().split()[-1]  # Starting to serve on 127.0.0.1:40123
            with FaultProxy(f"http://{address}") as made:
                yield made
        finally:
            proxy.terminate()


def kubeconfig_for(url: str, path: Path) -> Path:
    cluster, context = (
        {"name": "slow", "cluster": {"server": url}},
        {"name": "slow", "context": {"cluster": "slow", "user": ""}},
    )
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "contexts": [context],
        "current-context": "slow",
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.timeout(900)
def test_with_a_slow_apiserver_that_refuses_now_and_then_no_job_is_lost_and_none_gets_two_gangs(
    crds: Kubectl, rest: Rest, slow: FaultProxy, tmp_path: Path
) -> None:
    """One job loses a pod and is started again, and the operator is killed and started again meanwhile."""
    config = kubeconfig_for(slow.url, tmp_path / "kubeconfig")
    with place(crds, rest, tmp_path / "log", through=config) as operator:
        namespace = operator.namespace
        operator.settings["TRAINYARD_RESYNC_SECONDS"] = "60"  # as it is by default: each compare asks for everything
        births = Births(crds, namespace)
        slow.faults = [*REFUSALS, Fault(times=None, wait=SLOW_S)]
        try:
            two = {"resourceConfig": {"instanceType": NOWHERE, "instanceCount": 2}}
            names = [f"healthy-{number}" for number in range(HEALTHY)]
            for name in names:
                submit(rest, namespace, name, **two)
            submit(rest, namespace, "lost", **two, retryStrategy={"maximumRetryAttempts": 1})

            def status(name: str) -> Raw:
                found: Raw = rest.done("GET", f"{JOBS.format(namespace)}/{name}").get("status", {})
                return found

            eventually(
                "both pods of the one are recorded", lambda: len(status("lost").get("hosts", [])) == 2, within=WITHIN_S
            )
            rest.done("DELETE", f"{PODS.format(namespace)}/lost-1-algo-2")
            operator.kill()
            operator.start(ready=False)

            def all_are_over() -> bool:
                for pod in rest.items(PODS.format(namespace)):
                    if pod["metadata"]["name"].startswith("lost-2-"):
                        step(rest, pod)
                return all(status(name).get("trainingJobStatus") in TERMINAL for name in [*names, "lost"])

            eventually("all jobs are over", all_are_over, within=WITHIN_S, every=1.0)
            ends = {name: status(name) for name in [*names, "lost"]}
            for end in ends.values():
                check_transitions(end)
            assert {name: (end["trainingJobStatus"], end["attempt"]) for name, end in ends.items()} == {
                **dict.fromkeys(names, ("Completed", 1)),
                "lost": ("Completed", 2),
            }
            attempts = [*((name, 1) for name in names), ("lost", 1), ("lost", 2)]
            gangs = sorted(f"{name}-{attempt}-algo-{host}" for name, attempt in attempts for host in (1, 2))
            assert sorted(born.split("=")[0] for born in births.seen) == gangs
        finally:
            births.end()
        assert all(fault.hits for fault in slow.faults), "both kinds of refusal, and slow answers"
        assert "Traceback" not in operator.log.read_text()
        # A Lease that was lost, for the renewals were refused, closes the probes for a moment.
        eventually("it is well", lambda: operator.liveness() == "ok", within=20)
