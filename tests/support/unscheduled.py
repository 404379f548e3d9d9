"""Jobs whose pods no node takes, so that a test writes their states itself, and a watch on all pods there ever were."""

from __future__ import annotations

import subprocess
import threading
from typing import Any

from tests.e2e.jobs import Bucket, Job, Kubectl, manifest
from trainyard.api import names

NOWHERE = "ml.test.nowhere"
IMAGE = "registry.example.com/image:1"


def prepare(kubectl: Kubectl, namespace: str) -> None:
    spec = {"capacity": {"cpu": "1", "memory": "2Gi"}, "nodeSelector": {"trainyard.dev/no-such": "node"}}
    kubectl.apply(
        {"apiVersion": names.API_VERSION, "kind": "InstanceType", "metadata": {"name": NOWHERE}, "spec": spec},
        {
            "apiVersion": names.API_VERSION,
            "kind": "ExecutionRole",
            "metadata": {"name": "default", "namespace": namespace},
            "spec": {},
        },
    )


def submit(kubectl: Kubectl, namespace: str, name: str, *, hosts: int = 1, kind: str = NOWHERE, **more: Any) -> Job:
    bucket = Bucket(None, "b")
    made = manifest(name, IMAGE, bucket, hosts=hosts, **more)
    made["metadata"]["namespace"] = namespace
    made["spec"]["resourceConfig"]["instanceType"] = kind
    kubectl.apply(made)
    return Job(kubectl, bucket, namespace, name)


class Births:
    """The uids of all pods that a namespace ever had, by a watch of its own."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        command = [kubectl.program, "--kubeconfig", kubectl.kubeconfig, "get", "pods", "-n", namespace]
        self._process = subprocess.Popen(
            [*command, "-w", "-o", "jsonpath={.metadata.name}={.metadata.uid}{'\\n'}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seen: set[str] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.seen.update(line.strip() for line in self._process.stdout)

    def end(self) -> None:
        self._process.terminate()
