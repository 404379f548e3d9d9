"""Jobs whose data reaches the program in other ways than as copies of a prefix: FIFOs, manifests, files that are read only."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.e2e.jobs import Job, channel, manifest
from tests.e2e.site import Desk

# Reads two epochs of the channel `train`; what it found is the model.
READER = """
import hashlib, json, os, time
def epoch(number):
    path = f"/opt/ml/input/data/train_{number}"
    while not os.path.exists(path):
        time.sleep(0.05)
    with open(path, "rb") as fifo:
        content = fifo.read()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
found = {"epochs": [epoch(0), epoch(1)], "data": sorted(os.listdir("/opt/ml/input/data"))}
with open("/opt/ml/model/found.json", "w") as file:
    json.dump(found, file)
"""

# Takes whatever it has of a stream for all there is, and claims success also when it is told to end.
TRUSTING = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
content = open("/opt/ml/input/data/train_0", "rb").read()
open("/opt/ml/model/found.json", "w").write(str(len(content)))
"""

# Lists the files of the channel `train`, and tries to write beside them.
FILES = """
import json, os
root = "/opt/ml/input/data/train"
found = {}
for folder, _, names in os.walk(root):
    for name in names:
        path = os.path.join(folder, name)
        found[os.path.relpath(path, root)] = open(path).read()
def fault(act):
    try:
        act()
    except OSError as error:
        return os.strerror(error.errno)
faults = [
    fault(lambda: open(root + "/new", "w")),
    fault(lambda: open(os.path.join(root, sorted(found)[0]), "w")),
    fault(lambda: open("/opt/ml/input/new", "w")),
]
named = [name for name in os.listdir("/opt/ml/input/data") if name.endswith("-manifest")]
with open("/opt/ml/model/found.json", "w") as file:
    json.dump({"files": found, "faults": faults, "manifests": named}, file)
"""


# An argument may have 256 characters, a hyperparameter 2,500.
RUN = "import json; exec(json.load(open('/opt/ml/input/config/hyperparameters.json'))['program'])"


def job_of(desk: Desk, name: str, program: str, train: dict[str, Any]) -> Job:
    image = desk.images["test-train"]
    algorithm = {"trainingImage": image, "containerEntrypoint": ["python3", "-c", RUN]}
    made = manifest(
        name, image, desk.bucket, channels=[train], hyper={"program": program}, algorithmSpecification=algorithm
    )
    return desk.submit(made)


def found(desk: Desk, job: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(desk.bucket.archive(f"out/{job}/output/model.tar.gz")["found.json"])
    return content


def with_mode(name: str, uri: str, mode: str, *, source: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    made = channel(name, uri)
    made["dataSource"]["s3DataSource"] |= source or {}
    return made | {"inputMode": mode} | more


def test_a_pipe_job_reads_every_epoch_whole(desk: Desk) -> None:
    for number in range(3):
        desk.bucket.put(f"data/part-{number}", gzip.compress(str(number).encode() * 3_000_000))
    train = with_mode("train", desk.bucket.uri("data/"), "Pipe", compressionType="Gzip")
    job = job_of(desk, "pipes", READER, train)
    status = job.completes()
    assert status["channels"] == [{"channelName": "train", "inputMode": "Pipe", "servedBy": "Stream"}]
    assert status["hosts"][0]["objects"] == 3
    seen = found(desk, "pipes")
    assert [epoch["bytes"] for epoch in seen["epochs"]] == [9_000_000, 9_000_000]
    assert seen["epochs"][0] == seen["epochs"][1]
    assert all(name.startswith("train_") for name in seen["data"])


def test_a_stream_that_breaks_off_fails_the_job_though_the_program_saw_no_error(desk: Desk) -> None:
    desk.bucket.put("data/a", gzip.compress(b"fine"))
    desk.bucket.put("data/b", b"no gzip")
    train = with_mode("train", desk.bucket.uri("data/"), "Pipe", compressionType="Gzip")
    status = job_of(desk, "broken", TRUSTING, train).ends()
    assert status["trainingJobStatus"] == "Failed"
    assert status["failureReason"].startswith("ClientError: Data download failed:the object")
    assert desk.bucket.uri("data/b") in status["failureReason"]


def test_a_manifest_job_gets_the_objects_that_are_named(desk: Desk) -> None:
    for name in ("a", "deep/b", "not-named"):
        desk.bucket.put(f"data/{name}", name)
    desk.bucket.put("lists/train.json", json.dumps([{"prefix": desk.bucket.uri("data/")}, "a", "deep/b"]))
    source = {"s3DataType": "ManifestFile"}
    job = job_of(desk, "named", FILES, with_mode("train", desk.bucket.uri("lists/train.json"), "File", source=source))
    status = job.completes()
    seen = found(desk, "named")
    assert {name: text for name, text in seen["files"].items() if name != "new"} == {"a": "a", "deep/b": "deep/b"}
    assert seen["manifests"] == ["train-manifest"]
    assert status["hosts"][0]["objects"] == 2


def test_a_fastfile_channel_cannot_be_written_to_and_the_rest_of_input_can(desk: Desk) -> None:
    desk.bucket.put("data/a", "a")
    desk.bucket.put("data/deep/b", "b")
    job = job_of(desk, "readonly", FILES, with_mode("train", desk.bucket.uri("data/"), "FastFile"))
    status = job.completes()
    assert status["channels"] == [{"channelName": "train", "inputMode": "FastFile", "servedBy": "Staging"}]
    seen = found(desk, "readonly")
    assert seen["files"] == {"a": "a", "deep/b": "b"}
    assert seen["faults"] == ["Read-only file system", "Read-only file system", None]
