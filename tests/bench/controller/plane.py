"""A control plane of its own, with kwok instead of kubelets. One for each load, so that none meets what another has left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hack import ports, shell, tools
from hack.console import Problem
from hack.native import apart, pki
from hack.native.apart import COMPONENTS, ControlPlane
from hack.native.layout import Layout
from hack.native.process import Daemon
from hack.paths import REPO
from tests.bench.controller import stages
from tests.bench.controller.cost import cpu_seconds

# Everyone has a name of his own in the audit log; nobody but the loader bypasses the apiserver's fairness.
OPERATOR, KWOK = "bench-operator", "bench-kwok"
USERS = pki.USERS | {"operator": (OPERATOR, ""), "kwok": (KWOK, "")}
NODES = 200
NODE_SIZE = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}
# As JobSet's and Kubeflow's peers were measured: nothing waits for a client-side limit.
TUNED = {
    "kube-controller-manager": (
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
        "--concurrent-job-syncs=50",
        "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller",
    ),
}
QUIET_SHARE, QUIET_WITHIN = 0.15, 30.0


@dataclass(frozen=True)
class Plane(ControlPlane):
    @property
    def audit(self) -> Path:
        return self.layout.state / "audit.log"

    def pids(self) -> dict[str, int]:
        found = {name: self.supervisor.identity(name) for name in (*COMPONENTS, "kwok")}
        return {name: identity.pid for name, identity in found.items() if identity is not None}

    def apply(self, *manifests: dict[str, Any]) -> None:
        """kubectl's server-side apply; of many objects one call."""
        text = "---\n".join(yaml.safe_dump(manifest) for manifest in manifests)
        admin = f"--kubeconfig={self.kubeconfig('admin')}"
        shell.output(self.kubectl, admin, "apply", "--server-side", "-f", "-", stdin=text)

    def settle(self) -> None:
        """Until the components use next to no CPU: the clock starts on a quiet control plane."""
        deadline = time.monotonic() + QUIET_WITHIN
        before = cpu_seconds(self.pids().values())
        while time.monotonic() < deadline:
            time.sleep(1)
            now = cpu_seconds(self.pids().values())
            if now - before < QUIET_SHARE:
                return
            before = now


@contextmanager
def plane() -> Iterator[Plane]:
    """Started, with its nodes; every process is stopped and every file gone at the end, also of an interrupted run."""
    with apart.scratch() as layout:
        shell.write(layout.conf / "audit.yaml", yaml.safe_dump(AUDIT_POLICY))
        shell.write(layout.conf / "kwok.yaml", yaml.safe_dump_all(stages.configuration()))
        audit = (
            f"--audit-policy-file={layout.conf}/audit.yaml",
            f"--audit-log-path={layout.state}/audit.log",
            "--audit-log-mode=batch",
            # It taints new nodes until the controller that is off here takes the taint away.
            "--disable-admission-plugins=TaintNodesByCondition",
        )
        with apart.started(layout, USERS, TUNED | {"kube-apiserver": audit}, {"qps": 5000, "burst": 5000}) as made:
            found = Plane(made.layout, made.supervisor, made.kubectl)
            found.apply(*_rights(), *_crds(), *(_node(number) for number in range(NODES)))
            found.start(_kwok(layout))
            try:
                _await_nodes(found)
                yield found
            finally:
                found.supervisor.stop(["kwok"], grace=3)


def _kwok(layout: Layout) -> Daemon:
    argv = (
        str(tools.KWOK.binary),
        f"--kubeconfig={layout.pki}/kwok.kubeconfig",
        f"--config={layout.conf}/kwok.yaml",
        "--manage-all-nodes",
        f"--cidr={stages.POD_NET}",
        "--node-ip=127.0.0.1",
        f"--server-address=127.0.0.1:{ports.free()}",
        # No leases: nothing here watches nodes.
        "--node-lease-duration-seconds=0",
    )
    return Daemon("kwok", argv, {"PATH": "/usr/bin:/bin", "HOME": str(layout.state)})


def _await_nodes(plane: Plane) -> None:
    """kwok makes them ready; kubectl's own wait asks for one after the other."""
    admin, deadline = f"--kubeconfig={plane.kubeconfig('admin')}", time.monotonic() + 60
    while shell.output(plane.kubectl, admin, "get", "nodes", "--no-headers").count(" Ready ") < NODES:
        if time.monotonic() > deadline or plane.supervisor.identity("kwok") is None:
            raise Problem(f"kwok does not make the nodes ready; its log ends:\n{_end(plane.supervisor.log('kwok'))}")
        time.sleep(0.5)


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])


def _node(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{number}"},
        "status": {"capacity": NODE_SIZE, "allocatable": NODE_SIZE},
    }


def _rights() -> list[dict[str, Any]]:
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name} for name in (OPERATOR, KWOK)]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "bench"},
            "roleRef": role,
            "subjects": subjects,
        }
    ]


def _crds() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted((REPO / "crds").glob("*.yaml"))]
