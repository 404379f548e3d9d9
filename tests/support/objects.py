"""Builders of what the apiserver would show: jobs, pods in any state, roles and instance types. Raw JSON, as it arrives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from trainyard.api import names
from trainyard.api.report import Phase, Report, Result, StopReason
from trainyard.controller.core.job import Job, parse_job
from trainyard.controller.core.observed import Pod, parse_pod
from trainyard.controller.core.snapshot import (
    ExecutionRole,
    InstanceType,
    Options,
    Snapshot,
    gang,
    parse_execution_role,
    parse_instance_type,
)

Raw = dict[str, Any]
START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
NAMESPACE, NAME = "team", "diamonds"
IMAGE = "registry.example.com/xgboost:1"
INSTANCE = "ml.m5.xlarge"
ARN = "arn:aws:iam::123456789012:role/training"


def at(second: float) -> datetime:
    """So many seconds after the job was created."""
    return START + timedelta(seconds=second)


def stamp(second: float) -> str:
    return at(second).strftime("%Y-%m-%dT%H:%M:%SZ")


def raw_job(*, hosts: int = 1, status: Raw | None = None, **spec: Any) -> Raw:
    """Fields of the spec are given under their manifest names."""
    fields: Raw = {
        "roleARN": ARN,
        "algorithmSpecification": {"trainingImage": IMAGE},
        "outputDataConfig": {"s3OutputPath": "s3://models/out"},
        "resourceConfig": {"instanceType": INSTANCE, "instanceCount": hosts, "volumeSizeInGB": 30},
    }
    metadata = {
        "name": NAME,
        "namespace": NAMESPACE,
        "uid": UID,
        "resourceVersion": "100",
        "generation": 2 if spec.get("stop") else 1,
        "creationTimestamp": stamp(0),
    }
    body: Raw = {"metadata": metadata, "spec": fields | spec}
    return body | ({"status": status} if status is not None else {})


def job(**more: Any) -> Job:
    return parse_job(raw_job(**more))


def instance_type(name: str = INSTANCE, **spec: Any) -> InstanceType:
    fields = {"capacity": {"cpu": "4", "memory": "16Gi"}} | spec
    return parse_instance_type({"metadata": {"name": name}, "spec": fields})


def role(name: str = "training", **spec: Any) -> ExecutionRole:
    fields = {"roleARN": ARN, "s3": {"region": "eu-central-1"}, "credentialsSecretRef": {"name": "s3"}} | spec
    return parse_execution_role({"metadata": {"name": name, "namespace": NAMESPACE}, "spec": fields})


OPTIONS = Options(agent_image="registry.example.com/trainyard/agent:1")


def snapshot(of: Job, pods: list[Pod] | None = None, now: float = 1000, **more: Any) -> Snapshot:
    """With everything that the job names in place."""
    there: dict[str, Any] = {
        "instance_type": instance_type(),
        "instance_types": (INSTANCE,),
        "roles": (role(),),
        "options": OPTIONS,
    }
    seen = {pod.host: pod for pod in pods or []}
    return Snapshot(job=of, now=at(now), pods=gang(of, seen), **(there | more))


# -- containers, by seconds


def waiting(reason: str = "PodInitializing", message: str = "") -> Raw:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def running(since: float) -> Raw:
    return {"state": {"running": {"startedAt": stamp(since)}}}


def ended(since: float, until: float, code: int = 0, reason: str = "", message: str = "") -> Raw:
    """`since` below zero: the kubelet's 1970, for what never ran."""
    state = {
        "exitCode": code,
        "reason": reason or ("Completed" if code == 0 else "Error"),
        "message": message,
        "startedAt": stamp(since) if since >= 0 else "1970-01-01T00:00:00Z",
        "finishedAt": stamp(until) if since >= 0 else "1970-01-01T00:00:00Z",
    }
    return {"state": {"terminated": state}}


def report(host: str = "algo-1", result: Result | None = Result.COMMITTED, **more: Any) -> str:
    return Report(host=host, phase=more.pop("phase", Phase.DONE), result=result, **more).to_termination_message()


INIT = (names.CONTAINER_SIDECAR, names.CONTAINER_PREFETCH, names.CONTAINER_STAGE)


def raw_pod(
    host: str = "algo-1", *, containers: dict[str, Raw] | None = None, status: Raw | None = None, **more: Any
) -> Raw:
    """`status` and `more` (annotations, labels, spec, metadata) come over the defaults of a scheduled pod."""
    states = containers or {}
    conditions = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(1)}]
    metadata = {
        "name": f"{NAME}-1-{host}",
        "namespace": NAMESPACE,
        "uid": f"pod-{host}",
        "resourceVersion": "200",
        "creationTimestamp": stamp(0),
        "labels": {
            names.LABEL_HOST: host,
            names.LABEL_ATTEMPT: "1",
            names.LABEL_JOB_UID: UID,
            names.LABEL_JOB_NAME: NAME,
            names.LABEL_MANAGED_BY: names.FIELD_MANAGER,
        },
        "annotations": more.get("annotations", {}),
        "ownerReferences": [{"kind": "ConfigMap", "name": f"{NAME}-1-plan", "uid": "plan-uid", "controller": True}],
    }
    training = {"name": names.CONTAINER_TRAINING, "image": IMAGE, "resources": {"limits": {"memory": "12000Mi"}}}
    body = {
        "phase": "Running",
        "podIP": "10.0.0.9",
        "conditions": conditions,
        "initContainerStatuses": [{"name": name} | states[name] for name in INIT if name in states],
        "containerStatuses": [{"name": name} | state for name, state in states.items() if name not in INIT],
    }
    spec = {"nodeName": "node-1", "containers": [training]}
    return {
        "metadata": metadata | more.get("metadata", {}),
        "spec": spec | more.get("spec", {}),
        "status": body | (status or {}),
    }


def pod(host: str = "algo-1", **more: Any) -> Pod:
    return parse_pod(raw_pod(host, **more))


# -- pods in the states that they go through: sidecar from 2 s, staged at 5 s, training from 6 s to 60 s, uploaded at 70 s


def unscheduled(host: str = "algo-1", why: str = "0/3 nodes are available: 3 Insufficient cpu.") -> Pod:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": why,
        "lastTransitionTime": stamp(1),
    }
    return pod(host, status={"phase": "Pending", "podIP": "", "conditions": [condition]}, spec={"nodeName": ""})


def starting(host: str = "algo-1") -> Pod:
    return pod(host, status={"phase": "Pending"}, containers={name: waiting() for name in INIT})


def pulling(host: str = "algo-1", reason: str = "PodInitializing", message: str = "") -> Pod:
    states = {
        "sidecar": running(2),
        "prefetch": waiting(reason, message),
        "stage": waiting(),
        "training": waiting(),
        "hold": waiting(),
    }
    return pod(host, containers=states, status={"phase": "Pending"})


def staging(host: str = "algo-1") -> Pod:
    states = {
        "sidecar": running(2),
        "prefetch": ended(3, 3),
        "stage": running(4),
        "training": waiting(),
        "hold": waiting(),
    }
    return pod(host, containers=states, status={"phase": "Pending"})


def staged(host: str = "algo-1", objects: int = 7) -> dict[str, Raw]:
    told = report(host, Result.STAGED, objects=objects, bytes=objects * 100)
    return {"sidecar": running(2), "prefetch": ended(3, 3), "stage": ended(4, 5, message=told)}


def training(host: str = "algo-1", **more: Any) -> Pod:
    return pod(host, containers=staged(host) | {"training": running(6), "hold": running(6)}, **more)


def without_sidecar(host: str = "algo-1") -> Pod:
    """It trains, and the kubelet waits before it starts the sidecar again."""
    away = waiting("CrashLoopBackOff", "back-off 40s restarting failed container") | {
        "restartCount": 3,
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    return pod(host, containers=staged(host) | {"sidecar": away, "training": running(6), "hold": running(6)})


def uploading(host: str = "algo-1", code: int = 0, until: float = 60, reason: str = "", **more: Any) -> Pod:
    states = staged(host) | {"training": ended(6, until, code, reason), "hold": running(6)}
    return pod(host, containers=states, **more)


def over(
    host: str = "algo-1", code: int = 0, until: float = 60, message: str | None = None, reason: str = "", **more: Any
) -> Pod:
    """`message` is the sidecar's last word; default: committed."""
    told = report(host) if message is None else message
    states = staged(host) | {
        "training": ended(6, until, code, reason),
        "hold": ended(6, until + 10),
        "sidecar": ended(2, until + 10, message=told),
    }
    status = {"phase": "Succeeded" if code == 0 else "Failed"} | more.pop("status", {})
    return pod(host, containers=states, status=status, **more)


def stage_failed(host: str = "algo-1", **told: Any) -> Pod:
    """`told` are the fields of stage's report; none: it left no report."""
    message = report(host, told.pop("result", Result.FAILED), **told) if told else ""
    states = {
        "sidecar": ended(2, 6, message=report(host, Result.ABANDONED)),
        "prefetch": ended(3, 3),
        "stage": ended(4, 5, code=1, message=message),
        "training": waiting(),
        "hold": waiting(),
    }
    return pod(host, containers=states, status={"phase": "Failed"})


def stopped(
    host: str = "algo-1", why: StopReason = StopReason.USER_REQUESTED, code: int = 143, until: float = 60
) -> Pod:
    return over(host, code, until, message=report(host, stop_reason=why))
