"""Manifests of what a job has besides its pods: the plan's ConfigMap and, for several hosts, their Service.

The plan owns the Service and the pods, and belongs to nobody until the job has ended
(docs/adr/0001-pods-belong-to-the-plan.md).
"""

from __future__ import annotations

from typing import Any

from trainyard.api import names
from trainyard.api.plan import Plan
from trainyard.controller.core import naming
from trainyard.controller.core.job import Job

Manifest = dict[str, Any]


def owner_reference(job: Job) -> Manifest:
    """`blockOwnerDeletion` would need rights on the job's finalizers and buys nothing: deletion is in the background."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "TrainingJob",
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def owned(manifest: Manifest, plan: Manifest) -> Manifest:
    """`manifest` as a child of the plan that was made: with it, the garbage collector takes the rest."""
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": plan["metadata"]["name"],
        "uid": plan["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return manifest | {"metadata": manifest["metadata"] | {"ownerReferences": [owner]}}


def metadata(job: Job, name: str, **more: str) -> Manifest:
    return {
        "name": name,
        "namespace": job.namespace,
        "labels": naming.labels(job.name, job.uid, job.attempt) | more,
    }


def config_map(job: Job, plan: Plan) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(job, naming.config_map_name(job.name, job.attempt)),
        "immutable": True,
        "data": {"plan.json": plan.to_json()},
    }


def service(job: Job) -> Manifest:
    """Headless: names for the hosts. They must resolve before the pods are ready, which they only are at the end."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(job, naming.service_name(job.name, job.uid, job.attempt)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": naming.selector(job.uid, job.attempt),
            "ports": [{"name": "agent", "port": names.AGENT_PORT, "targetPort": names.AGENT_PORT, "protocol": "TCP"}],
        },
    }
