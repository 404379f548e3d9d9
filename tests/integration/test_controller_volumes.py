"""Channels that a claim serves, on a real apiserver: what is waited for, and that it takes the pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.jobs import Kubectl, Manifest, eventually
from tests.support.operator import OperatorProcess
from tests.support.specs import FILES, VPC
from tests.support.unscheduled import prepare, submit
from trainyard.api import names

FILE_SYSTEM = FILES["fileSystemID"]
CSI = {
    "driver": "s3.csi.aws.com",
    "volumeHandle": "datasets",
    "volumeAttributes": {"bucketName": "datasets"},
}


@pytest.fixture
def operator(crds: Kubectl, scratch: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    prepare(crds, scratch)
    process = OperatorProcess(crds.kubeconfig, scratch, tmp_path / "log")
    process.start()
    yield process
    process.kill()


def claim(
    kubectl: Kubectl, namespace: str, name: str, volume: str = "", *, storage_class: str = "", **labels: str
) -> None:
    """For one volume alone, if one is named; the cluster's own controller binds it once that is there."""
    spec: Manifest = {
        "accessModes": ["ReadOnlyMany"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": "1Gi"}},
    } | ({"volumeName": volume} if volume else {})
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    kubectl.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})


def persistent(kubectl: Kubectl, namespace: str, name: str, claim: str, **source: Any) -> None:
    """As an administrator makes it by hand."""
    spec = {
        "capacity": {"storage": "1Ti"},
        "accessModes": ["ReadOnlyMany"],
        "storageClassName": "",
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": namespace, "name": claim},
    }
    kubectl.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec | source})


@pytest.fixture
def volume(crds: Kubectl, scratch: str) -> Iterator[str]:
    """The name of a PersistentVolume that a test may make."""
    name = f"volume-{scratch}"
    yield name
    crds("delete", "persistentvolume", name, "--wait=false", "--ignore-not-found")


def volumes(pod: Manifest) -> list[Manifest]:
    return [volume["persistentVolumeClaim"] for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]


def mounts(pod: Manifest) -> list[tuple[str, str | None, bool]]:
    training = next(each for each in pod["spec"]["containers"] if each["name"] == "training")
    found = [mount for mount in training["volumeMounts"] if mount["name"].startswith("claim-")]
    return [(mount["mountPath"], mount.get("subPath"), mount.get("readOnly", False)) for mount in found]


def test_a_job_gets_its_pods_once_its_claim_is_there_and_bound(
    crds: Kubectl, scratch: str, operator: OperatorProcess, volume: str
) -> None:
    channel = {"channelName": "train", "dataSource": {"fileSystemDataSource": FILES}}
    job = submit(crds, scratch, "waits", inputDataConfig=[channel], vpcConfig=VPC)
    eventually("it says so", lambda: job.condition("Accepted").get("reason") == "ClaimNotFound", within=20)
    claim(crds, scratch, "shared", volume, **{names.LABEL_FILE_SYSTEM: FILE_SYSTEM})
    eventually("it says so", lambda: job.condition("Accepted").get("reason") == "ClaimNotReady", within=40)
    assert job.pods == []
    persistent(crds, scratch, volume, "shared", hostPath={"path": "/nonexistent"})
    eventually("its pod", lambda: len(job.pods) == 1, within=60)
    (pod,) = job.pods
    assert volumes(pod) == [{"claimName": "shared", "readOnly": True}]
    assert mounts(pod) == [("/opt/ml/input/data/train", "data", True)]
    eventually("the status says how", lambda: job.status.get("channels"), within=20)
    assert job.status["channels"][0]["claimName"] == "shared"
    assert job.condition("Accepted")["status"] == "True"


def test_a_claim_that_waits_for_a_pod_gets_one(crds: Kubectl, scratch: str, operator: OperatorProcess) -> None:
    late = f"late-{scratch}"
    crds.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": late},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    )
    try:
        claim(crds, scratch, "shared", storage_class=late, **{names.LABEL_FILE_SYSTEM: FILE_SYSTEM})
        channel = {"channelName": "train", "dataSource": {"fileSystemDataSource": FILES}}
        job = submit(crds, scratch, "late", inputDataConfig=[channel], vpcConfig=VPC)
        eventually("its pod", lambda: len(job.pods) == 1, within=30)
        assert volumes(job.pods[0]) == [{"claimName": "shared", "readOnly": True}]
    finally:
        crds("delete", "storageclass", late)


def test_pods_whose_fastfile_channels_a_csi_driver_serves_are_accepted(
    crds: Kubectl, scratch: str, operator: OperatorProcess, volume: str
) -> None:
    """The whole form that Mountpoint for S3 wants: a PersistentVolume made by hand, and a claim for it."""
    persistent(crds, scratch, volume, "datasets-s3", csi=CSI, mountOptions=["allow-other", "region eu-central-1"])
    claim(crds, scratch, "datasets-s3", volume)
    served = json.dumps({"spec": {"fastFile": [{"s3URI": "s3://datasets", "claimName": "datasets-s3"}]}})
    crds("patch", "executionrole", "default", "-n", scratch, "--type=merge", "-p", served)
    sources = {"images": "s3://datasets/images/", "elsewhere": "s3://other/images/"}
    channels = [
        {"channelName": channel, "inputMode": "FastFile", "dataSource": {"s3DataSource": {"s3URI": uri}}}
        for channel, uri in sources.items()
    ]
    job = submit(crds, scratch, "fast", inputDataConfig=channels)
    eventually("its pod", lambda: len(job.pods) == 1, within=60)
    (pod,) = job.pods
    assert volumes(pod) == [{"claimName": "datasets-s3", "readOnly": True}]
    assert mounts(pod) == [("/opt/ml/input/data/images", "images", True)]
    eventually("the status says how", lambda: job.status.get("channels"), within=20)
    assert {each["channelName"]: each["servedBy"] for each in job.status["channels"]} == {
        "images": "Volume",
        "elsewhere": "Staging",
    }
