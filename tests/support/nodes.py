"""A node without a kubelet: the test writes its pods' states and renews its lease, and lets it die by renewing it no more."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.e2e.jobs import Job, Kubectl, Manifest
from tests.support import objects as o
from tests.support import rest
from tests.support.unscheduled import IMAGE

RENEW_SECONDS = 5.0


def written(containers: dict[str, Manifest], **status: Any) -> Manifest:
    """A pod's status as a kubelet would write it."""
    raw: Manifest = o.raw_pod(containers=containers, status=status)["status"]
    for entry in raw["initContainerStatuses"] + raw["containerStatuses"]:
        entry |= {"image": IMAGE, "imageID": "", "ready": False, "restartCount": 0}
    del raw["podIP"], raw["conditions"]
    return raw


def become(job: Job, pod: Manifest, containers: dict[str, Manifest], **status: Any) -> None:
    """Writes a pod's status as a kubelet would."""
    raw, name = written(containers, **status), pod["metadata"]["name"]
    path = f"{rest.PODS.format(job.namespace)}/{name}/status"
    job.kubectl.rest.done("PATCH", path, {"status": raw}, kind=rest.STRATEGIC)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@contextmanager
def node(kubectl: Kubectl, name: str, labels: dict[str, str]) -> Iterator[threading.Event]:
    """A node that is ready for pods until the event is set: from then on it says nothing any more."""
    dead, stamp = threading.Event(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kubectl.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
    size = {"cpu": "8", "memory": "16Gi", "pods": "20", "ephemeral-storage": "100Gi"}
    status = {
        "capacity": size,
        "allocatable": size,
        "conditions": [ready | {"lastHeartbeatTime": stamp, "lastTransitionTime": stamp}],
    }
    kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))

    def renew() -> None:
        kubectl.apply(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": "kube-node-lease"},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _now()},
            }
        )

    def live() -> None:
        while not dead.wait(RENEW_SECONDS):
            renew()

    renew()
    heart = threading.Thread(target=live, daemon=True)
    heart.start()
    try:
        yield dead
    finally:
        dead.set()
        heart.join()
        kubectl("delete", "node", name, "--ignore-not-found")
        kubectl("delete", "lease", name, "-n", "kube-node-lease", "--ignore-not-found")
