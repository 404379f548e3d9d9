"""The stage of the e2e tests: the cluster with S3 server and operator (Site), and a namespace and bucket per test (Desk)."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack import install, providers, s3server
from tests.e2e.jobs import INSTANCE_TYPE, Bucket, Job, Kubectl, Manifest, eventually

# `make test-long`: everything in its full length.
LONG = os.environ.get("TRAINYARD_LONG") == "1"
# What takes minutes on a user's cluster must be seen within seconds here.
IMAGE_PULL_TIMEOUT = 600 if LONG else 20
SETTINGS = {"imagePullTimeoutSeconds": str(IMAGE_PULL_TIMEOUT), "referenceTimeoutSeconds": "8"}
SHOWN_OF_PODS = 'jsonpath={range .items[*]}{.metadata.name} {.metadata.annotations} {.status}{"\\n"}{end}'
OPERATOR = ("deployment/trainyard", "-n", install.NAMESPACE)


@dataclass(frozen=True)
class Site:
    """A cluster with everything that a team would have installed."""

    kubectl: Kubectl
    images: dict[str, str]
    s3: s3server.S3Server

    @staticmethod
    @contextmanager
    def open(kubectl: Kubectl, images: dict[str, str]) -> Iterator[Site]:
        program, kubeconfig = Path(kubectl.program), Path(kubectl.kubeconfig)
        with s3server.opened(program, kubeconfig, images["s3"]) as s3:
            site = Site(kubectl, images, s3)
            site.install()
            yield site

    def install(self, **more: str) -> None:
        install.operator(Path(self.kubectl.kubeconfig), self.images, SETTINGS | more)
        self.kubectl.apply(instance_type(INSTANCE_TYPE))


def instance_type(name: str, **more: Any) -> Manifest:
    """So small that several jobs fit a node of two cores: 384 MiB and 50m are left for training."""
    spec = {
        "capacity": {"cpu": "150m", "memory": "512Mi"},
        "systemReserve": {"cpu": "100m", "memory": "128Mi"},
    }
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "InstanceType",
        "metadata": {"name": name},
        "spec": spec | more,
    }


@contextmanager
def open_desk(site: Site, word: str) -> Iterator[Desk]:
    """A namespace with a role and its Secret, and a bucket; both go at the end."""
    name = f"{word}-{uuid.uuid4().hex[:6]}"
    site.kubectl("create", "namespace", name)
    desk = Desk(site, name, Bucket(site.s3.client(), name))
    desk.bucket.client.create_bucket(Bucket=name)
    desk.secret("s3", site.s3.access_key, site.s3.secret_key)
    desk.role("default")
    try:
        yield desk
    finally:
        site.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
        desk.empty_bucket()


@dataclass(frozen=True)
class Desk:
    """Where one test works."""

    site: Site
    namespace: str
    bucket: Bucket

    @property
    def kubectl(self) -> Kubectl:
        return self.site.kubectl

    @property
    def images(self) -> dict[str, str]:
        return self.site.images

    # -- what a team prepares

    def secret(self, name: str, access_key: str, secret_key: str) -> None:
        data = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
        self._apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})

    def role(self, name: str, *, secret: str = "s3", **more: Any) -> None:
        spec = {"s3": {"endpointURL": s3server.INSIDE}, "credentialsSecretRef": {"name": secret}}
        self._apply(
            {
                "apiVersion": "trainyard.dev/v1alpha1",
                "kind": "ExecutionRole",
                "metadata": {"name": name},
                "spec": spec | more,
            }
        )

    def instance_type(self, name: str, **more: Any) -> None:
        self.kubectl.apply(instance_type(name, **more))

    def fill(self, prefix: str, count: int) -> None:
        """`count` small objects below a prefix."""
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: self.bucket.put(f"{prefix}/{n:05}", f"{n}\n"), range(count)))

    def submit(self, manifest: Manifest) -> Job:
        self._apply(manifest)
        return Job(self.kubectl, self.bucket, self.namespace, manifest["metadata"]["name"])

    def _apply(self, manifest: Manifest) -> None:
        manifest["metadata"]["namespace"] = self.namespace
        self.kubectl.apply(manifest)

    # -- what a test waits for

    def eventually_says(self, job: Job, word: str, *, within: float) -> None:
        """A condition or the failure reason holds the word."""

        def says() -> bool:
            status = job.status
            return word in json.dumps([status.get("conditions"), status.get("failureReason")])

        eventually(f"the conditions of {job.name} say {word!r}", says, within=within)

    def fails_within(self, job: Job, seconds: float) -> Manifest:
        """A failed job, whose creation and end lie at most so far apart."""
        began = time.monotonic()
        status = job.ends(within=seconds)
        assert status["trainingJobStatus"] == "Failed", status
        assert time.monotonic() - began <= seconds
        return status

    def pods_are_over(self, job: Job) -> None:
        """No pod of the job runs any more, or is left waiting."""
        eventually(
            f"the pods of {job.name} are over",
            lambda: all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in job.pods),
            within=60,
        )

    def leaves_nothing(self, job: Job, *, within: float) -> None:
        """No object of a deleted job is left."""
        kinds = "pods,services,configmaps,persistentvolumeclaims"
        eventually(
            f"{job.name} leaves nothing",
            lambda: not self.kubectl.list(kinds, self.namespace, f"trainyard.dev/job-name={job.name}"),
            within=within,
        )
        assert self.kubectl.get("trainingjob", job.name, self.namespace) is None

    def shown(self) -> str:
        """What a person would look at first: objects, the latest events, and the operator's latest words."""
        looks = (
            ("get", "trainingjobs,pods,services,configmaps,persistentvolumeclaims", "-n", self.namespace),
            ("get", "pods", "-n", self.namespace, "-o", SHOWN_OF_PODS),
            ("events", "-n", self.namespace),
            ("logs", *OPERATOR, "--tail=60"),
        )
        said = [self.kubectl(*look, "--request-timeout=20s", check=False) for look in looks]
        return "\n\n".join("\n".join(words.splitlines()[-60:]) for words in said)

    def operator_metrics(self) -> str:
        """What the operator's metrics endpoint shows; nothing readable while it is away."""
        pods = self.kubectl.list("pods", install.NAMESPACE, "app.kubernetes.io/name=trainyard")
        name = pods[0]["metadata"]["name"] if pods else "none"
        path = f"/api/v1/namespaces/{install.NAMESPACE}/pods/{name}:8080/proxy/metrics"
        return self.kubectl.rest.text(path)

    # -- faults

    def forbid_writes(self) -> None:
        """The bucket goes, with all in it: from now on S3 refuses."""
        self.empty_bucket()

    def allow_writes(self) -> None:
        self.bucket.client.create_bucket(Bucket=self.bucket.name)

    def empty_bucket(self) -> None:
        """Deletes the bucket and what is in it; retried, as a job may still write."""

        def gone() -> bool:
            client, name = self.bucket.client, self.bucket.name
            with contextlib.suppress(client.exceptions.ClientError):
                for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", []):
                    client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
                keys = [{"Key": key} for key in self.bucket.list()]
                for start in range(0, len(keys), 1000):
                    client.delete_objects(Bucket=name, Delete={"Objects": keys[start : start + 1000], "Quiet": True})
                client.delete_bucket(Bucket=name)
            return name not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]

        eventually(f"bucket {self.bucket.name} is gone", gone, within=60)

    def kill_operator(self) -> None:
        """SIGKILL to the operator's process, without a word before."""
        pods = self.kubectl.list("pods", install.NAMESPACE, "app.kubernetes.io/name=trainyard")
        for pod in pods:
            kill(pod, "operator")

    @contextmanager
    def operator_away(self) -> Iterator[None]:
        self.kubectl("scale", *OPERATOR, "--replicas=0")
        self.kubectl(
            "wait",
            "pod",
            "-l",
            "app.kubernetes.io/name=trainyard",
            "-n",
            install.NAMESPACE,
            "--for=delete",
            "--timeout=60s",
        )
        try:
            yield
        finally:
            self.kubectl("scale", *OPERATOR, "--replicas=1")
            self.kubectl("rollout", "status", *OPERATOR, "--timeout=60s")

    def kill_container(self, job: Job, name: str) -> None:
        kill(job.pods[0], name)

    def evict(self, pod: str) -> None:
        """As `kubectl drain` does."""
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        self.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))

    @contextmanager
    def paused(self, job: Job, name: str) -> Iterator[None]:
        """A container of a job's first pod gets no time at all."""
        pod = job.pods[0]
        kill(pod, name, "SIGSTOP")
        try:
            yield
        finally:
            kill(pod, name, "SIGCONT")

    @contextmanager
    def s3_forgetful(self) -> Iterator[None]:
        """The bucket is not there, with all that it had: S3 refuses whatever it is asked."""
        self.forbid_writes()
        try:
            yield
        finally:
            self.allow_writes()

    @contextmanager
    def s3_paused(self) -> Iterator[None]:
        """The S3 server gets no time at all, so that nothing answers; what it holds stays."""
        (pod,) = self.kubectl.list("pods", s3server.NAMESPACE, "app=s3")
        kill(pod, "s3", "SIGSTOP")
        try:
            yield
        finally:
            kill(pod, "s3", "SIGCONT")
            self.kubectl("rollout", "status", "deployment/s3", "-n", s3server.NAMESPACE, "--timeout=60s")

    @contextmanager
    def apiserver_paused(self) -> Iterator[None]:
        provider = providers.choose()
        provider.signal_apiserver("SIGSTOP")
        try:
            yield
        finally:
            provider.signal_apiserver("SIGCONT")


def kill(pod: Manifest, container: str, signal: str = "SIGKILL") -> None:
    """A signal to all of a container, from the node's side."""
    statuses = pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", [])
    found = [status["containerID"].removeprefix("containerd://") for status in statuses if status["name"] == container]
    assert any(found), f"{pod['metadata']['name']} runs no container {container}"
    providers.choose().kill(found[0], signal)
