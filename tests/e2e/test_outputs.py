"""What a job leaves in S3 beside an archive: files as objects, and TensorBoard's while training runs."""

from __future__ import annotations

import json

from tests.e2e.jobs import Job, Manifest, eventually, manifest
from tests.e2e.site import Desk

# Writes an event file and keeps it open, until it is told to go on.
PROGRAM = """
import json, os, pathlib, time
places = {name: json.load(open(f"/opt/ml/input/config/{name}config.json"))["LocalPath"] for name in ("tensorboardoutput", "debughook")}
events = open(places["tensorboardoutput"] + "/events.out", "w")
events.write("step 1,")
events.flush()
pathlib.Path(places["debughook"], "worker_0").write_text("loss")
print("training", flush=True)
while not os.path.exists("/opt/ml/output/tensorboard/go-on"):
    time.sleep(0.2)
events.write("step 2")
events.flush()
json.dump(places, open("/opt/ml/model/places.json", "w"))
"""
# A hyperparameter may be longer than an argument.
RUN = "import json; exec(json.load(open('/opt/ml/input/config/hyperparameters.json'))['program'])"


def uncompressed(desk: Desk, name: str, **more: object) -> Manifest:
    made = manifest(name, desk.images["test-train"], desk.bucket, **more)
    made["spec"]["outputDataConfig"]["compressionType"] = "NONE"
    return made


def below(job: Job, prefix: str) -> dict[str, bytes]:
    start = job.key(prefix)
    return {key.removeprefix(start): job.bucket.read(key) for key in job.bucket.list(start)}


def test_a_model_without_compression_is_files_and_the_next_jobs_channel(desk: Desk) -> None:
    written = {"weights/w.bin": "w", "config.json": "{}"}
    job = desk.submit(uncompressed(desk, "files", hosts=2, hyper={"write": written, "output": {"scores.csv": "1"}}))
    status = job.completes(within=180)
    uri = status["modelArtifacts"]["s3ModelArtifacts"]
    assert uri == job.bucket.uri(job.key("output/model/"))
    assert below(job, "output/model/") == {path: text.encode() for path, text in written.items()}
    assert below(job, "output/data/") == {"scores.csv": b"1"}
    commit = job.manifest()
    assert [artifact["uri"] for artifact in commit["artifacts"]] == [uri, job.bucket.uri(job.key("output/data/"))]
    assert commit["warnings"] == [], "both hosts wrote the same bytes"
    assert not job.bucket.unfinished_uploads()
    reader = manifest("reads-files", desk.images["test-train"], desk.bucket, hyper={"inventory": "1"})
    reader["spec"]["inputDataConfig"] = [{"channelName": "model", "dataSource": {"s3DataSource": {"s3URI": uri}}}]
    second = desk.submit(reader)
    second.completes()
    seen = json.loads(second.model()["inventory-algo-1.json"])
    assert seen["data"] == {"model/config.json": 2, "model/weights/w.bin": 1}


def test_a_stopped_and_a_failed_job_leave_their_files_too(desk: Desk) -> None:
    stopped = desk.submit(
        uncompressed(desk, "stops", hyper={"write": {"half": "h"}, "seconds": "600", "term": "handle"})
    )
    failed = desk.submit(uncompressed(desk, "fails", hyper={"write": {"half": "h"}, "exit": "3"}))
    stopped.trains()
    stopped.stop()
    assert stopped.ends(within=240)["secondaryStatus"] == "Stopped"
    assert below(stopped, "output/model/") == {"half": b"h", "terminated": b"SIGTERM"}
    assert failed.ends()["secondaryStatus"] == "Failed"
    assert below(failed, "output/model/") == {"half": b"h"}


def test_tensorboards_files_are_in_s3_while_training_runs_and_whole_at_the_end(desk: Desk) -> None:
    made = manifest("board", desk.images["test-train"], desk.bucket, hyper={"program": PROGRAM})
    made["spec"]["algorithmSpecification"] |= {"containerEntrypoint": ["python3", "-c"], "containerArguments": [RUN]}
    made["spec"]["tensorBoardOutputConfig"] = {"s3OutputPath": desk.bucket.uri("tb")}
    made["spec"]["debugHookConfig"] = {"s3OutputPath": desk.bucket.uri("debug"), "localPath": "/work/tensors"}
    job = desk.submit(made)
    job.trains()
    board, tensors = "tb/board/tensorboard-output/", "debug/board/debug-output/"
    eventually("the event file", lambda: job.bucket.list(board) == [f"{board}events.out"], within=90)
    assert job.bucket.read(f"{board}events.out") == b"step 1,"
    assert job.condition("FieldsIgnored") == {} or "debugHookConfig" not in job.condition("FieldsIgnored")["message"]
    pod = f"{job.name}-1-algo-1"
    job.kubectl("exec", "-n", job.namespace, pod, "-c", "training", "--", "touch", "/opt/ml/output/tensorboard/go-on")
    job.completes(within=180)
    assert job.bucket.read(f"{board}events.out") == b"step 1,step 2"
    assert job.bucket.read(f"{tensors}worker_0") == b"loss"
    assert json.loads(job.model()["places.json"]) == {
        "tensorboardoutput": "/opt/ml/output/tensorboard",
        "debughook": "/work/tensors",
    }
