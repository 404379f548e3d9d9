"""What the e2e tests write and read: manifests of jobs, and a job as a user sees it, through kubectl and the bucket."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import botocore.exceptions

from tests.support import rest

Manifest = dict[str, Any]

INSTANCE_TYPE = "ml.test.tiny"
TERMINAL = ("Completed", "Failed", "Stopped")
SIGTERM = re.compile(r"^SIGTERM ([\d.]+)$", re.MULTILINE)


def eventually(what: str, probe: Callable[[], Any], *, within: float, every: float = 0.3) -> Any:
    """The first truthy answer of `probe`, or a failure that says what was waited for, how long, and the last answer."""
    deadline = time.monotonic() + within
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {what}; last: {answer!r}")
        time.sleep(every)


@dataclass(frozen=True)
class Kubectl:
    """kubectl on one cluster; a failing command raises with what kubectl said.

    What is asked over and over while a test waits goes over one connection instead: a process for each look, with two
    tests at a time, keeps two cores busy with nothing else.
    """

    program: str
    kubeconfig: str

    def __call__(self, *arguments: str, stdin: str | None = None, check: bool = True, within: float = 300) -> str:
        done = subprocess.run(
            [self.program, "--kubeconfig", self.kubeconfig, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
            # A copy: where another thread changes the process' own meanwhile, the program cannot be started (EFAULT).
            env=dict(os.environ),
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, *manifests: Manifest) -> None:
        self(
            "apply",
            "--server-side",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}),
        )

    def refusal(self, manifest: Manifest) -> str:
        """What the apiserver says to a manifest that it must refuse."""
        said = self("create", "-f", "-", "--dry-run=server", stdin=json.dumps(manifest), check=False)
        assert "created" not in said, said
        return said

    @property
    def rest(self) -> rest.Rest:
        return rest.connected(self.kubeconfig)

    def get(self, kind: str, name: str, namespace: str) -> Manifest | None:
        return self.rest.get(f"{rest.PATHS[kind].format(namespace)}/{name}")

    def list(self, kinds: str, namespace: str, selector: str = "") -> list[Manifest]:
        return [
            found
            for kind in kinds.split(",")
            for found in self.rest.items(rest.PATHS[kind].format(namespace), selector)
        ]

    def logs(self, pod: str, namespace: str, container: str) -> str:
        return self.rest.text(f"{rest.PODS.format(namespace)}/{pod}/log?container={container}")


@dataclass(frozen=True)
class Bucket:
    """One bucket of the S3 server inside the cluster, by boto3 from outside."""

    client: Any
    name: str

    def put(self, key: str, body: bytes | str = b"") -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def list(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    def exists(self, key: str) -> bool:
        try:
            self.client.head_object(Bucket=self.name, Key=key)
        except botocore.exceptions.ClientError:
            return False
        return True

    def archive(self, key: str) -> dict[str, bytes]:
        """The files of a .tar.gz, by their names in it."""
        with tarfile.open(fileobj=io.BytesIO(self.read(key)), mode="r:gz") as archive:
            return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}

    def unfinished_uploads(self) -> list[str]:
        return [item["Key"] for item in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])]

    def uri(self, key: str = "") -> str:
        return f"s3://{self.name}/{key}"


@dataclass(frozen=True)
class Job:
    """One TrainingJob, seen from outside."""

    kubectl: Kubectl
    bucket: Bucket
    namespace: str
    name: str

    @property
    def resource(self) -> Manifest:
        found = self.kubectl.get("trainingjob", self.name, self.namespace)
        assert found is not None, f"TrainingJob {self.name} is gone"
        return found

    @property
    def status(self) -> Manifest:
        status: Manifest = self.resource.get("status", {})
        return status

    @property
    def pods(self) -> list[Manifest]:
        pods = self.kubectl.list("pods", self.namespace, f"trainyard.dev/job-name={self.name}")
        return sorted(pods, key=lambda pod: pod["metadata"]["name"])

    @property
    def events(self) -> list[Manifest]:
        """Those about the job itself, oldest first."""
        found = [event for event in self.kubectl.list("events", self.namespace) if self._is_about_me(event)]
        return sorted(found, key=lambda event: event["firstTimestamp"])

    def _is_about_me(self, event: Manifest) -> bool:
        return (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == ("TrainingJob", self.name)

    def condition(self, type_: str) -> Manifest:
        found = [condition for condition in self.status.get("conditions", []) if condition["type"] == type_]
        return found[0] if found else {}

    def reaches(self, secondary: str, *, within: float = 90) -> Manifest:
        """Waits for a secondary status; a job that ended otherwise fails at once, with its reason."""

        def there() -> Manifest | None:
            status = self.status
            now = status.get("secondaryStatus")
            if now != secondary and status.get("trainingJobStatus") in TERMINAL:
                raise AssertionError(f"{self.name} ended {now}, not {secondary}: {status.get('failureReason')}")
            return status if now == secondary else None

        found: Manifest = eventually(f"{self.name} is {secondary}", there, within=within)
        return found

    def ends(self, *, within: float = 120) -> Manifest:
        """Waits as a user would, and checks what holds of every job that has ended."""
        self.kubectl(
            "wait",
            f"trainingjob/{self.name}",
            "-n",
            self.namespace,
            "--for=condition=Finished",
            f"--timeout={within}s",
            within=within + 30,
        )
        status = self.status
        assert status["trainingJobStatus"] in TERMINAL
        check_transitions(status)
        return status

    def completes(self, *, within: float = 120) -> Manifest:
        """Waits for the end, which must be a good one."""
        status = self.ends(within=within)
        assert status["trainingJobStatus"] == "Completed", status.get("failureReason")
        return status

    def trains(self, *, within: float = 90) -> None:
        """Waits until the program says on every host that it is training."""
        self.reaches("Training", within=within)
        for pod in self.pods:
            eventually(
                f"{pod['metadata']['name']} says that it trains",
                lambda name=pod["metadata"]["name"]: "training" in self.logs(name, "training"),
                within=30,
            )

    def uploads(self, *, within: float = 120) -> None:
        """Waits until training has ended on every host; the status tells of an upload only once it has lasted."""

        def over() -> bool:
            found = [entry for pod in self.pods for entry in pod["status"].get("containerStatuses", [])]
            states = [entry["state"] for entry in found if entry["name"] == "training"]
            return len(states) == len(self.pods) > 0 and all("terminated" in state for state in states)

        eventually(f"{self.name} uploads", over, within=within, every=0.1)

    def logs(self, pod: str, container: str) -> str:
        return self.kubectl.logs(pod, self.namespace, container)

    def told_to_end(self, pod: str, *, within: float = 120) -> datetime:
        """When SIGTERM came, by the training program's own clock; its hyperparameter `term` makes it say so."""
        (at,) = eventually(
            f"{pod} says that SIGTERM came", lambda: SIGTERM.findall(self.logs(pod, "training")), within=within
        )
        return datetime.fromtimestamp(float(at), UTC)

    def key(self, name: str) -> str:
        return f"out/{self.name}/{name}"

    def model(self) -> dict[str, bytes]:
        return self.bucket.archive(self.key("output/model.tar.gz"))

    def manifest(self) -> Manifest:
        manifest: Manifest = json.loads(self.bucket.read(self.key("trainyard-manifest.json")))
        return manifest

    def delete(self, *, wait: bool = True) -> None:
        self.kubectl("delete", "trainingjob", self.name, "-n", self.namespace, f"--wait={str(wait).lower()}")

    def stop(self) -> None:
        self.kubectl(
            "patch", "trainingjob", self.name, "-n", self.namespace, "--type=merge", "-p", '{"spec":{"stop":true}}'
        )


def staging(job: Job) -> bool:
    """Does any host bring its data?"""
    return started(job, "stage") is not None


def started(job: Job, init: str) -> Manifest | None:
    """The status of an init container that runs, of the first host where it does."""
    states = [entry for pod in job.pods for entry in pod["status"].get("initContainerStatuses", [])]
    return next((entry for entry in states if entry["name"] == init and "running" in entry["state"]), None)


def check_transitions(status: Manifest) -> None:
    """Contiguous, in time, each with a message, and the last one closed."""
    transitions = status["secondaryStatusTransitions"]
    for this, following in itertools.pairwise(transitions):
        assert this["endTime"] == following["startTime"], transitions
        assert this["startTime"] <= this["endTime"], transitions
    assert all(transition["statusMessage"] for transition in transitions)
    assert transitions[-1]["startTime"] == transitions[-1]["endTime"], transitions
    assert transitions[-1]["status"] == status["secondaryStatus"]
    if "trainingStartTime" in status:
        assert status["trainingTimeInSeconds"] >= 1
        assert status["trainingStartTime"] <= status["trainingEndTime"]


def began(status: Manifest, state: str) -> datetime:
    """When the job entered a secondary status, the last time that it did; whole seconds."""
    transitions = status["secondaryStatusTransitions"]
    return datetime.fromisoformat([entry["startTime"] for entry in transitions if entry["status"] == state][-1])


def ended(pod: Manifest, container: str = "training") -> datetime:
    """When a container ended, by its kubelet; whole seconds."""
    (state,) = (entry["state"] for entry in pod["status"]["containerStatuses"] if entry["name"] == container)
    return datetime.fromisoformat(state["terminated"]["finishedAt"])


def path_of(status: Manifest) -> list[str]:
    """The secondary statuses a job went through, without a leading wait for capacity."""
    path = [transition["status"] for transition in status["secondaryStatusTransitions"]]
    return path[path.index("Starting") :] if "Starting" in path else path


def manifest(
    name: str, image: str, bucket: Bucket, *, hosts: int = 1, channels: list[Manifest] | None = None, **more: Any
) -> Manifest:
    """A TrainingJob's manifest. `hyper` are hyperparameters; further names are fields of the spec, over the defaults."""
    hyper = more.pop("hyper", {})
    spec: Manifest = {
        "algorithmSpecification": {"trainingImage": image, "trainingInputMode": "File"},
        "hyperParameters": {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in hyper.items()
        },
        "inputDataConfig": channels or [],
        "outputDataConfig": {"s3OutputPath": bucket.uri("out")},
        "resourceConfig": {"instanceType": INSTANCE_TYPE, "instanceCount": hosts, "volumeSizeInGB": 1},
        "stoppingCondition": {"maxRuntimeInSeconds": 3600},
    }
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": spec | more,
    }


def channel(name: str, uri: str, *, sharded: bool = False, content_type: str = "text/csv") -> Manifest:
    distribution = "ShardedByS3Key" if sharded else "FullyReplicated"
    source = {"s3DataType": "S3Prefix", "s3URI": uri, "s3DataDistributionType": distribution}
    return {"channelName": name, "dataSource": {"s3DataSource": source}, "contentType": content_type}


def slug(text: str) -> str:
    """A name that Kubernetes takes, made of a test's."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
