"""Jobs that succeed: what the training program finds, what arrives in S3, and what the status says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.jobs import INSTANCE_TYPE, channel, check_transitions, eventually, manifest, path_of
from tests.e2e.site import LONG, Desk
from tests.support.cli import runner
from trainyard.api import names

ACK = Path(__file__).resolve().parents[1] / "data/sagemaker/ack-training-job.yaml"
MANY = 20_000 if LONG else 1_200
NORMAL = ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def inventory(model: dict[str, bytes], host: str = "algo-1") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(model[f"inventory-{host}.json"])
    return found


def test_a_job_finds_the_whole_contract_and_its_model_arrives(desk: Desk) -> None:
    desk.bucket.put("data/train/a.csv", "1,2\n")
    desk.bucket.put("data/train/deep/b.csv", "3,4\n")
    job = desk.submit(
        manifest(
            "contract",
            desk.images["test-train"],
            desk.bucket,
            channels=[channel("train", desk.bucket.uri("data/train"))],
            hyper={"inventory": "1", "write": {"weights/w.bin": "w"}, "output": {"metrics.json": "{}"}, "eta": "0.30"},
            environment={"FLAVOUR": "plain"},
            trainingJobName="Contract-Job",
        )
    )
    status = job.completes()
    assert path_of(status) == NORMAL
    assert "failureReason" not in status
    eventually("the last Event", lambda: "Completed" in [event["reason"] for event in job.events], within=10)
    # Others' jobs may have the nodes when this one begins.
    told = [event for event in job.events if event["reason"] != "Unschedulable"]
    assert sorted((event["type"], event["reason"]) for event in told) == [
        ("Normal", "Completed"),
    ]
    assert status["modelArtifacts"]["s3ModelArtifacts"] == desk.bucket.uri("out/Contract-Job/output/model.tar.gz")
    model = desk.bucket.archive("out/Contract-Job/output/model.tar.gz")
    assert model["weights/w.bin"] == b"w"
    assert desk.bucket.archive("out/Contract-Job/output/output.tar.gz") == {"metrics.json": b"{}"}

    seen = inventory(model)
    assert seen["argv"] == [], "the image has no ENTRYPOINT: `train` is the program, found on PATH"
    assert seen["hostname"] == "algo-1"
    assert seen["data"] == {"train/a.csv": 4, "train/deep/b.csv": 4}
    assert seen["config"]["hyperparameters.json"]["eta"] == "0.30"
    assert seen["config"]["inputdataconfig.json"] == {
        "train": {
            "ContentType": "text/csv",
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
    }
    resources = seen["config"]["resourceconfig.json"]
    assert (resources["current_host"], resources["hosts"]) == ("algo-1", ["algo-1"])
    assert resources["instance_groups"] == [
        {"instance_group_name": "homogeneousCluster", "instance_type": "ml.test.tiny", "hosts": ["algo-1"]}
    ]
    assert all(seen["writable"].values())
    assert not seen["intermediate"]
    assert seen["code"] == ["marker"]
    assert seen["agent_files"] == []
    environment = seen["environment"]
    assert environment["TRAINING_JOB_NAME"] == "Contract-Job"
    assert environment["TRAINING_JOB_ARN"].endswith(":training-job/Contract-Job")
    assert environment["FLAVOUR"] == "plain"
    # Where to get the role's credentials, and a word that only this pod's agent takes: none of them themselves.
    assert [name for name in environment if "SECRET" in name or "ACCESS_KEY" in name or "TOKEN" in name] == [
        "AWS_CONTAINER_AUTHORIZATION_TOKEN"
    ]
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:")
    # /dev/shm is half of the memory limit, which is the instance's capacity less the reserve.
    pod = job.pods[0]
    limit = next(c for c in pod["spec"]["containers"] if c["name"] == "training")["resources"]["limits"]["memory"]
    assert limit in ("384Mi", str(384 << 20))
    assert seen["shm_bytes"] == 192 << 20

    commit = json.loads(desk.bucket.read("out/Contract-Job/trainyard-manifest.json"))
    uid = job.resource["metadata"]["uid"]
    assert commit["jobID"] == hashlib.sha256(f"trainyard/job/{uid}".encode()).hexdigest()[:32]
    assert not any(
        uid.encode() in desk.bucket.read(f"out/Contract-Job/trainyard-{name}.json") for name in ("manifest", "attempt")
    )
    assert {artifact["uri"] for artifact in commit["artifacts"]} == {
        desk.bucket.uri("out/Contract-Job/output/model.tar.gz"),
        desk.bucket.uri("out/Contract-Job/output/output.tar.gz"),
    }


def test_two_hosts_share_five_objects_three_and_two_and_replicate_the_rest(desk: Desk) -> None:
    for number in range(5):
        desk.bucket.put(f"data/train/part-{number}.csv", f"{number}\n")
    desk.bucket.put("data/validation/all.csv", "v\n")
    job = desk.submit(
        manifest(
            "sharded",
            desk.images["test-train"],
            desk.bucket,
            hosts=2,
            channels=[
                channel("train", desk.bucket.uri("data/train/"), sharded=True),
                channel("validation", desk.bucket.uri("data/validation/")),
            ],
            hyper={"inventory": "1"},
        )
    )
    status = job.completes(within=180)
    assert path_of(status) == NORMAL
    model = job.model()
    assert sorted(model) == ["inventory-algo-1.json", "inventory-algo-2.json"]
    shares = [
        sorted(name for name in inventory(model, host)["data"] if name.startswith("train/"))
        for host in ("algo-1", "algo-2")
    ]
    assert [len(share) for share in shares] == [3, 2]
    assert sorted(shares[0] + shares[1]) == [f"train/part-{number}.csv" for number in range(5)]
    for host in ("algo-1", "algo-2"):
        seen = inventory(model, host)
        assert seen["data"]["validation/all.csv"] == 2
        assert seen["config"]["resourceconfig.json"]["hosts"] == ["algo-1", "algo-2"]
        assert seen["config"]["resourceconfig.json"]["current_host"] == host == seen["hostname"]
        assert all(seen["addresses"].values())
    assert [(host["name"], host["objects"]) for host in status["hosts"]] == [("algo-1", 4), ("algo-2", 3)]


def test_a_host_without_an_object_gets_an_empty_directory_and_no_error(desk: Desk) -> None:
    desk.bucket.put("data/only.csv", "1\n")
    job = desk.submit(
        manifest(
            "one-object",
            desk.images["test-train"],
            desk.bucket,
            hosts=2,
            channels=[channel("train", desk.bucket.uri("data/only.csv"), sharded=True)],
            hyper={"inventory": "1"},
        )
    )
    job.completes(within=180)
    model = job.model()
    assert inventory(model, "algo-1")["data"] == {"train/only.csv": 2}
    assert inventory(model, "algo-2")["data"] == {}
    assert inventory(model, "algo-2")["folders"] == ["train"]


def test_files_of_another_user_that_nobody_else_may_read_are_uploaded(desk: Desk) -> None:
    desk.bucket.put("data/a.csv", "1\n")
    job = desk.submit(
        manifest(
            "other-user",
            desk.images["test-user"],
            desk.bucket,
            channels=[channel("train", desk.bucket.uri("data/"))],
            hyper={"inventory": "1", "mode": "0600", "write": {"secret/w": "w"}},
        )
    )
    job.completes()
    model = job.model()
    assert (inventory(model)["uid"], model["secret/w"]) == (5000, b"w")
    assert all(inventory(model)["writable"].values())


def test_a_namespace_that_enforces_restricted_runs_a_job_in_restricted_mode(desk: Desk) -> None:
    desk.kubectl("label", "namespace", desk.namespace, "pod-security.kubernetes.io/enforce=restricted")
    desk.role("default", securityMode="restricted")
    job = desk.submit(
        manifest("restricted", desk.images["test-train"], desk.bucket, hyper={"inventory": "1", "mode": "0600"})
    )
    job.completes()
    assert inventory(job.model())["uid"] != 0


def test_a_job_in_baseline_mode_is_told_which_setting_a_restricted_namespace_wants(desk: Desk) -> None:
    desk.kubectl("label", "namespace", desk.namespace, "pod-security.kubernetes.io/enforce=restricted")
    job = desk.submit(manifest("refused", desk.images["test-train"], desk.bucket))
    desk.eventually_says(job, "securityMode", within=30)
    assert job.status["trainingJobStatus"] == "InProgress"


def test_an_empty_model_writes_no_object_and_completes(desk: Desk) -> None:
    job = desk.submit(manifest("empty", desk.images["test-train"], desk.bucket))
    status = job.completes()
    assert status["modelArtifacts"]["s3ModelArtifacts"].endswith("/out/empty/output/model.tar.gz")
    assert not [key for key in desk.bucket.list("out/empty/") if key.endswith(".tar.gz")]


def test_more_than_a_thousand_objects_and_folder_keys_are_staged_once_each(desk: Desk) -> None:
    desk.bucket.put("many/")
    desk.fill("many", MANY)
    job = desk.submit(
        manifest(
            "many",
            desk.images["test-train"],
            desk.bucket,
            channels=[channel("train", desk.bucket.uri("many/"))],
            hyper={"inventory": "1"},
        )
    )
    status = job.completes(within=180)
    assert len(inventory(job.model())["data"]) == MANY
    assert status["hosts"][0]["objects"] == MANY


def test_entrypoint_and_arguments_replace_those_of_the_image(desk: Desk) -> None:
    spec = manifest("entrypoint", desk.images["test-bare"], desk.bucket)
    spec["spec"]["algorithmSpecification"] |= {
        "containerEntrypoint": ["python3", "-c"],
        "containerArguments": ["import sys; open('/opt/ml/model/argv','w').write(repr(sys.argv))"],
    }
    job = desk.submit(spec)
    job.completes()
    assert job.model() == {"argv": b"['-c']"}


def test_a_manifest_of_ack_runs_once_its_api_version_is_changed_and_nothing_else(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ack = yaml.safe_load(ACK.read_text())
    # What is elsewhere in each place: image, buckets, instances. And what makes the program show what it found.
    spec, source = ack["spec"], ack["spec"]["inputDataConfig"][0]["dataSource"]["s3DataSource"]
    ack["metadata"]["namespace"] = desk.namespace
    spec["algorithmSpecification"]["trainingImage"] = desk.images["test-train"]
    spec["resourceConfig"]["instanceType"] = INSTANCE_TYPE
    source["s3URI"], spec["outputDataConfig"]["s3OutputPath"] = desk.bucket.uri("churn/train/"), desk.bucket.uri("out")
    asked = dict(spec["hyperParameters"])
    spec["hyperParameters"] |= {"inventory": "1", "lines": '{"algo-1": [[0, "[9] validation-auc:0.91"]]}'}
    (tmp_path / "ack.yaml").write_text(yaml.safe_dump(ack))
    done = runner(capsys)("convert", tmp_path / "ack.yaml")
    made = yaml.safe_load(done.out)
    assert (done.code, made) == (0, ack | {"apiVersion": names.API_VERSION})

    desk.bucket.put("churn/train/a.csv", "1,2\n")
    desk.role("default", roleARN=spec["roleARN"])
    job = desk.submit(made)
    status = job.completes()
    assert path_of(status) == NORMAL
    assert status["modelArtifacts"]["s3ModelArtifacts"] == desk.bucket.uri("out/churn-xgboost/output/model.tar.gz")
    assert [(data["metricName"], data["value"]) for data in status["finalMetricDataList"]] == [("validation:auc", 0.91)]
    assert job.condition("FieldsIgnored") == {}
    seen = inventory(job.model())
    assert seen["data"] == {"train/a.csv": 4}
    assert seen["environment"]["LOG_LEVEL"] == "debug"
    assert asked.items() <= seen["config"]["hyperparameters.json"].items()


@pytest.mark.parametrize("columns", ["", "-owide"])
def test_kubectl_get_reads_well(desk: Desk, columns: str) -> None:
    job = desk.submit(manifest("columns", desk.images["test-train"], desk.bucket))
    check_transitions(job.ends())
    header, row = desk.kubectl("get", "tj", "-n", desk.namespace, *filter(None, [columns])).splitlines()
    assert header.split()[:6] == ["NAME", "STATUS", "SECONDARY-STATUS", "INSTANCE-TYPE", "ATTEMPT", "DURATION"]
    assert row.split()[:5] == ["columns", "Completed", "Completed", "ml.test.tiny", "1"]
