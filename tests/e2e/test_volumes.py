"""Channels that a PersistentVolumeClaim serves: a directory of the node stands for a file system, and for what a driver shows of S3."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack import providers
from tests.e2e.jobs import Job, Manifest, eventually, manifest
from tests.e2e.site import Desk

FILE_SYSTEM = "fs-0123456789abcdef0"
LABEL = "trainyard.dev/file-system-id"
VPC = {"securityGroupIDs": ["sg-1"], "subnets": ["subnet-1"]}
RUN = "import json; exec(json.load(open('/opt/ml/input/config/hyperparameters.json'))['program'])"

# Fills the file system: a directory, a file, and links that stay in it and lead out of it.
FILL = """
import os
root = "/opt/ml/input/data/train"
os.makedirs(root + "/sets/a", exist_ok=True)
open(root + "/sets/a/one.csv", "w").write("1,2\\n")
os.symlink("sets/a", root + "/inner")
os.symlink("/etc", root + "/outer")
"""

# What a program finds in the channel, and whether it may write to it.
LOOK = """
import json, os
root = "/opt/ml/input/data/train"
try:
    open(root + "/new", "w").close()
    fault = None
except OSError as error:
    fault = os.strerror(error.errno)
config = json.load(open("/opt/ml/input/config/inputdataconfig.json"))
files = {name: open(os.path.join(root, name)).read() for name in os.listdir(root) if os.path.isfile(os.path.join(root, name))}
host = json.load(open("/opt/ml/input/config/resourceconfig.json"))["current_host"]
json.dump({"files": files, "fault": fault, "config": config["train"]}, open(f"/opt/ml/model/{host}.json", "w"))
"""

# Fills its storage volume, is told so, and goes on when there is room again.
FILL_UP = """
import errno, os, time
fault = 0
with open("/opt/ml/model/noise", "wb", buffering=0) as noise:
    while not fault:
        try:
            noise.write(os.urandom(1 << 20))
        except OSError as error:
            fault = error.errno
while True:
    try:
        with open("/opt/ml/model/told", "w") as told:
            told.write(errno.errorcode[fault])
        break
    except OSError:
        time.sleep(0.2)
"""

# Leaves the node as it was, and says what was there.
CLEAR = """
import json, os, shutil
root = "/opt/ml/input/data/train"
json.dump(sorted(os.listdir(root)), open("/opt/ml/model/found.json", "w"))
for name in os.listdir(root):
    path = os.path.join(root, name)
    shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
"""


@pytest.fixture
def volume(desk: Desk) -> Iterator[str]:
    """A PersistentVolume that only this test's claim may have; its name."""
    name = f"trainyard-{desk.namespace}"
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "claimRef": {"namespace": desk.namespace, "name": "shared"},
        "hostPath": {"path": f"/var/tmp/{name}", "type": "DirectoryOrCreate"},
    }
    desk.kubectl.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})
    yield name
    desk.kubectl("delete", "persistentvolume", name, "--wait=false", "--ignore-not-found")
    shutil.rmtree(f"/var/tmp/{name}", ignore_errors=True)  # where the node is this machine


def claim(desk: Desk, volume: str, **labels: str) -> None:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "volumeName": volume,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    desk.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "shared", "namespace": desk.namespace, "labels": labels},
            "spec": spec,
        }
    )


@pytest.fixture
def small_disk(desk: Desk) -> Iterator[Path]:
    """A file system of 48 MiB on the node; the only volume of the StorageClass that has its name."""
    if providers.choose().name != "native":
        pytest.skip("the node is not this machine")
    directory = Path(f"/var/tmp/trainyard-{desk.namespace}")
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", directory.name, directory], check=True)
    storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": directory.name}}
    desk.kubectl.apply(
        storage | {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    )
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": directory.name,
        "hostPath": {"path": str(directory), "type": "Directory"},
    }
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": directory.name}, "spec": spec}
    desk.kubectl.apply(volume)
    yield directory
    for kind in ("persistentvolume", "storageclass"):
        desk.kubectl("delete", kind, directory.name, "--wait=false", "--ignore-not-found")
    subprocess.run(["umount", "--lazy", directory], check=True)
    directory.rmdir()


def on_file_system(directory: str, mode: str = "ro", kind: str = "EFS") -> Manifest:
    source = {
        "fileSystemID": FILE_SYSTEM,
        "fileSystemType": kind,
        "fileSystemAccessMode": mode,
        "directoryPath": directory,
    }
    return {"channelName": "train", "contentType": "text/csv", "dataSource": {"fileSystemDataSource": source}}


def submit(desk: Desk, name: str, program: str, train: Manifest, **more: Any) -> Job:
    image = desk.images["test-train"]
    made = manifest(
        name,
        image,
        desk.bucket,
        channels=[train],
        hyper={"program": program},
        algorithmSpecification={"trainingImage": image, "containerEntrypoint": ["python3", "-c", RUN]},
        vpcConfig=VPC,
        **more,
    )
    return desk.submit(made)


def test_a_file_system_is_waited_for_written_to_and_read_by_all_hosts(desk: Desk, volume: str) -> None:
    waiting = submit(desk, "fill", FILL, on_file_system("/", "rw"))
    desk.eventually_says(waiting, "ClaimNotFound", within=30)
    assert f"{LABEL}={FILE_SYSTEM}" in waiting.condition("Accepted")["message"]
    claim(desk, volume, **{LABEL: FILE_SYSTEM})
    status = waiting.completes()
    assert status["channels"] == [
        {"channelName": "train", "inputMode": "File", "servedBy": "Volume", "claimName": "shared"}
    ]
    assert status["hosts"][0]["objects"] == 0

    reading = submit(desk, "look", LOOK, on_file_system("/mount/sets/a/", kind="FSxLustre"), hosts=2)
    through_a_link = submit(desk, "link", LOOK, on_file_system("/inner"))
    reading.completes()
    through_a_link.completes()
    for job, hosts in ((reading, ("algo-1", "algo-2")), (through_a_link, ("algo-1",))):
        for host in hosts:
            seen = json.loads(job.model()[f"{host}.json"])
            assert seen["files"] == {"one.csv": "1,2\n"}
            assert seen["fault"] == "Read-only file system"
            assert seen["config"] == {
                "ContentType": "text/csv",
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }

    missing = submit(desk, "missing", LOOK, on_file_system("/sets/b"))
    outside = submit(desk, "outside", LOOK, on_file_system("/outer", "rw"))
    for job, words in ((missing, "does not exist"), (outside, "symbolic link")):
        ended = job.ends()
        assert ended["trainingJobStatus"] == "Failed"
        assert ended["failureReason"].startswith("ClientError: Data download failed:")
        assert words in ended["failureReason"]
    clearing = submit(desk, "clear", CLEAR, on_file_system("/sets", "rw"))
    clearing.completes()
    assert json.loads(clearing.model()["found.json"]) == ["a"]  # what was missing was not made
    submit(desk, "rest", CLEAR, on_file_system("/", "rw")).completes()


def test_a_fastfile_channel_is_served_by_the_claim_that_the_role_names(desk: Desk, volume: str) -> None:
    """No driver for S3 takes part: the claim's directory has the content that it would show."""
    claim(desk, volume)
    role = {"fileSystems": [{"fileSystemID": FILE_SYSTEM, "claimName": "shared"}]}
    desk.role("default", fastFile=[{"s3URI": "s3://datasets", "claimName": "shared"}], **role)
    submit(desk, "fill", FILL, on_file_system("/", "rw")).completes()
    source = {"s3DataSource": {"s3URI": "s3://datasets/sets/a/"}}
    job = submit(desk, "fast", LOOK, {"channelName": "train", "inputMode": "FastFile", "dataSource": source})
    status = job.completes()
    assert status["channels"] == [
        {"channelName": "train", "inputMode": "FastFile", "servedBy": "Volume", "claimName": "shared"}
    ]
    seen = json.loads(job.model()["algo-1.json"])
    assert (seen["files"], seen["fault"]) == ({"one.csv": "1,2\n"}, "Read-only file system")
    assert seen["config"]["TrainingInputMode"] == "FastFile"
    submit(desk, "rest", CLEAR, on_file_system("/", "rw")).completes()


def test_a_claim_that_is_not_bound_is_waited_for(desk: Desk, volume: str) -> None:
    claim(desk, "no-such-volume", **{LABEL: FILE_SYSTEM})
    job = submit(desk, "unbound", LOOK, on_file_system("/"))
    desk.eventually_says(job, "ClaimNotReady", within=30)
    assert job.pods == []
    desk.kubectl("delete", "persistentvolumeclaim", "shared", "-n", desk.namespace)
    claim(desk, volume, **{LABEL: FILE_SYSTEM})
    job.completes()
    eventually("the events say why it waited", lambda: "ClaimNotReady" in [e["reason"] for e in job.events], within=10)


def test_a_program_that_fills_a_volume_of_its_own_is_told_so_and_the_job_says_it(desk: Desk, small_disk: Path) -> None:
    kind = f"ml.test.{desk.namespace}"
    desk.instance_type(kind, storageClassName=small_disk.name)
    image = desk.images["test-train"]
    made = manifest(
        "fill-up",
        image,
        desk.bucket,
        hyper={"program": FILL_UP},
        algorithmSpecification={"trainingImage": image, "containerEntrypoint": ["python3", "-c", RUN]},
    )
    made["spec"]["resourceConfig"]["instanceType"] = kind
    job = desk.submit(made)
    full = eventually(
        "the condition says that the volume is full",
        lambda: (
            job.status.get("conditions") and job.condition("Ready")["reason"] == "DiskFull" and job.condition("Ready")
        ),
        within=150,
    )
    assert (full["status"], job.status["secondaryStatus"]) == ("True", "Training")
    assert "the storage volume of algo-1 is full" in full["message"]
    (small_disk / "model/noise").write_bytes(b"less")
    job.completes(within=120)
    assert job.model() == {"noise": b"less", "told": b"ENOSPC"}
    (claim,) = desk.kubectl.list("persistentvolumeclaims", desk.namespace)
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    job.delete()
    left = lambda: not desk.kubectl.list("persistentvolumeclaims", desk.namespace)  # noqa: E731
    eventually("the volume's claim goes with its pod", left, within=60)
