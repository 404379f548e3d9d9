"""What is created, at which pace, and when all of it is over. Creates go over the operator's own HTTP client."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.configuration import Configuration

from tests.bench.controller import stages
from trainyard.controller.adapters.cluster import PODS, Cluster, Resource
from trainyard.controller.app.state import JOBS, ROLES, TYPES
from trainyard.controller.core.actions import actions
from trainyard.controller.core.job import parse_job
from trainyard.controller.core.policies import decide
from trainyard.controller.core.snapshot import Options, Snapshot, gang, parse_execution_role, parse_instance_type

NAMESPACE = "default"
IN_FLIGHT = 32
BATCH = Resource("batch", "v1", "jobs")
INSTANCE, ARN = "ml.bench.small", "arn:aws:iam::123456789012:role/bench"
Raw = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """`made`: the resource that the loader creates. `last`: the one whose last write ends a job."""

    name: str
    made: Resource
    last: str
    manifests: Callable[[int, int, str], list[Raw]]
    over: Callable[[Raw], bool]
    failed: Callable[[Raw], bool]


def _metadata(name: str) -> Raw:
    return {"name": name, "namespace": NAMESPACE}


def training_jobs(number: int, hosts: int, image: str) -> list[Raw]:
    spec = {
        "roleARN": ARN,
        "algorithmSpecification": {"trainingImage": image, "trainingInputMode": "File"},
        "outputDataConfig": {"s3OutputPath": "s3://bench/out"},
        "resourceConfig": {"instanceType": INSTANCE, "instanceCount": hosts, "volumeSizeInGB": 1},
        "stoppingCondition": {"maxRuntimeInSeconds": 86400},
    }
    body = {"apiVersion": f"{JOBS.group}/{JOBS.version}", "kind": "TrainingJob", "spec": spec}
    return [body | {"metadata": _metadata(f"job-{number}")}]


def _pod_spec() -> Raw:
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    container = {"name": "main", "image": stages.PLAIN, "resources": resources}
    return {"restartPolicy": "Never", "containers": [container]}


def batch_jobs(number: int, hosts: int, _image: str) -> list[Raw]:
    spec = {
        "completions": hosts,
        "parallelism": hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "template": {"spec": _pod_spec()},
    }
    return [{"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(f"job-{number}"), "spec": spec}]


def bare_pods(number: int, hosts: int, _image: str) -> list[Raw]:
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(f"job-{number}-{host}"), "spec": _pod_spec()}
        for host in range(hosts)
    ]


def unattended(number: int, hosts: int, image: str) -> list[Raw]:
    """The pods that the operator would make of these jobs, made by the loader: what is left if an operator cost nothing."""
    (raw,) = training_jobs(number, hosts, image)
    identity = {
        "uid": f"job-{number}",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    job = parse_job(raw | {"metadata": raw["metadata"] | identity})
    kind, role = setting()
    snapshot = Snapshot(
        job=job,
        now=job.created,
        options=Options(agent_image=stages.PLAIN),
        pods=gang(job, {}),
        instance_type=parse_instance_type(kind),
        instance_types=(INSTANCE,),
        roles=(parse_execution_role(role),),
    )
    return list(actions(snapshot, decide(snapshot)).pods)


def _primary(raw: Raw) -> str:
    return str(raw.get("status", {}).get("trainingJobStatus", ""))


def _condition(raw: Raw, name: str) -> bool:
    told = raw.get("status", {}).get("conditions") or []
    return any(entry["type"] == name and entry["status"] == "True" for entry in told)


def _phase(raw: Raw) -> str:
    return str(raw.get("status", {}).get("phase", ""))


OURS = Contender(
    "trainyard",
    JOBS,
    "trainingjobs/status",
    training_jobs,
    lambda raw: _primary(raw) == "Completed",
    lambda raw: _primary(raw) in ("Failed", "Stopped"),
)
BATCH_JOB = Contender(
    "batch/v1 Job",
    BATCH,
    "jobs/status",
    batch_jobs,
    lambda raw: _condition(raw, "Complete"),
    lambda raw: _condition(raw, "Failed"),
)
BARE = Contender(
    "bare pods",
    PODS,
    "pods/status",
    bare_pods,
    lambda raw: _phase(raw) == "Succeeded",
    lambda raw: _phase(raw) == "Failed",
)
UNATTENDED = replace(BARE, name="our pods, bare", manifests=unattended)
OF_PODS = (BARE, UNATTENDED)


def setting() -> list[Raw]:
    """What the jobs name."""
    api = f"{TYPES.group}/{TYPES.version}"
    capacity = {"cpu": "200m", "memory": "512Mi"}
    return [
        {
            "apiVersion": api,
            "kind": "InstanceType",
            "metadata": {"name": INSTANCE},
            "spec": {"capacity": capacity, "systemReserve": {"cpu": "100m", "memory": "128Mi"}},
        },
        {
            "apiVersion": f"{ROLES.group}/{ROLES.version}",
            "kind": "ExecutionRole",
            "metadata": _metadata("bench"),
            "spec": {"roleARN": ARN, "s3": {"region": "eu-central-1"}, "credentialsSecretRef": {"name": "s3"}},
        },
    ]


class Loader:
    """Creates and watches, as one admin."""

    def __init__(self, cluster: Cluster, session: aiohttp.ClientSession, server: str) -> None:
        self._cluster, self._session, self._server = cluster, session, server

    async def burst(self, contender: Contender, count: int, hosts: int, image: str) -> None:
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def create(manifest: Raw) -> None:
            async with gate:
                await self._cluster.create(contender.made, manifest)

        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                for manifest in contender.manifests(number, hosts, image):
                    tasks.create_task(create(manifest))

    async def paced(self, contender: Contender, count: int, seconds: float, image: str) -> None:
        for number in range(count):
            began = time.monotonic()
            for manifest in contender.manifests(number, 1, image):
                await self._cluster.create(contender.made, manifest)
            await asyncio.sleep(max(seconds - (time.monotonic() - began), 0))

    async def until(
        self, resource: Resource, wanted: int, is_so: Callable[[Raw], bool], fails: Callable[[Raw], bool]
    ) -> None:
        """Returns when so many objects are so. Raises at the first that failed."""
        found: set[str] = set()
        while True:
            query = {
                "watch": "true",
                "sendInitialEvents": "true",
                "resourceVersionMatch": "NotOlderThan",
                "allowWatchBookmarks": "true",
            }
            url = self._server + resource.path(NAMESPACE)
            async with self._session.get(url, params=query, timeout=aiohttp.ClientTimeout(total=None)) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    event = orjson.loads(line)
                    raw = event["object"]
                    if event["type"] == "BOOKMARK":
                        continue
                    if event["type"] == "ERROR" and raw.get("code") == 504:
                        break  # the apiserver's cache is behind: once more
                    if event["type"] == "ERROR" or fails(raw):
                        raise RuntimeError(f"{resource.plural}: {json.dumps(raw)[:2000]}")
                    if is_so(raw):
                        found.add(raw["metadata"]["name"])
                        if len(found) >= wanted:
                            return


@asynccontextmanager
async def loader(kubeconfig: Path) -> AsyncIterator[Loader]:
    configuration = Configuration()
    await kube_config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
    cluster = Cluster(configuration)
    await cluster.open()
    connection = await cluster.connection()
    tls: ssl.SSLContext = connection.tls()
    # A watched object may be larger than aiohttp's 64 KiB for a line.
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), read_bufsize=1 << 22)
    try:
        yield Loader(cluster, session, connection.server)
    finally:
        await session.close()
        await cluster.close()
