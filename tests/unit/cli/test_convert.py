"""`trainyard convert` on what teams have: what comes out, what is named, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cli import Cli
from trainyard.cli.core.translate import Target, translate
from trainyard.cli.errors import Failed

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "sagemaker"
REQUEST = SAMPLES / "create-training-job.json"
DESCRIBED = SAMPLES / "describe-training-job.json"
ACK = SAMPLES / "ack-training-job.yaml"
EXPECTED = (
    "expected CreateTrainingJob JSON, DescribeTrainingJob JSON, a TrainingJob of sagemaker.services.k8s.aws/v1alpha1 (ACK),"
    " or a TrainingJob of trainyard.dev/v1alpha1; found "
)


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(content: Any, name: str = "job.yaml") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def ours(name: str = "sample", **spec: Any) -> dict[str, Any]:
    algorithm = {"trainingImage": "image:1", "trainingInputMode": "File"}
    made = {"roleARN": "arn:aws:iam::123456789012:role/x", "algorithmSpecification": algorithm} | spec
    return {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": name}, "spec": made}


# -- a request


def test_a_request_becomes_a_manifest_and_says_nothing(cli: Cli) -> None:
    done = cli("convert", REQUEST)
    assert (done.code, done.err) == (0, "")
    manifest = yaml.safe_load(done.out)
    assert manifest["apiVersion"] == "trainyard.dev/v1alpha1"
    assert manifest["metadata"] == {"name": "churn-xgboost-2026-11-20-09-14-02-117"}
    spec = manifest["spec"]
    assert spec["trainingJobName"] == "Churn-xgboost-2026-11-20-09-14-02-117"
    assert spec["resourceConfig"]["volumeKMSKeyID"] == "0f6c1a52-7d0e-4a3f-9b3e-2b7f4f0f8a11"
    assert spec["inputDataConfig"][1]["dataSource"]["fileSystemDataSource"]["fileSystemID"] == "fs-0123456789abcdef0"
    assert spec["hyperParameters"] == json.loads(REQUEST.read_text())["HyperParameters"]
    assert spec["environment"]["S3Uri"] == "not a field"
    assert spec["tags"][1] == {"key": "cost centre", "value": "0042"}


def test_a_request_comes_back_to_the_letter(cli: Cli, file: Any) -> None:
    back = cli("convert", file(cli("convert", REQUEST).out), "--to", "request")
    assert (back.code, back.err) == (0, "")
    assert json.loads(back.out) == json.loads(REQUEST.read_text())


@pytest.mark.parametrize(
    ("asked", "name", "kept"),
    [
        ("diamonds", "diamonds", None),
        ("Diamonds-2", "diamonds-2", "Diamonds-2"),
        ("under_score", "under-score", "under_score"),
        ("-Ünder-", "nder", "-Ünder-"),
        ("x" * 80, "x" * 63, "x" * 80),
    ],
)
def test_a_job_name_becomes_a_kubernetes_name_and_is_kept_where_it_differs(
    cli: Cli, file: Any, asked: str, name: str, kept: str | None
) -> None:
    done = cli("convert", file({"TrainingJobName": asked, "RoleArn": "r"}))
    manifest = yaml.safe_load(done.out)
    assert manifest["metadata"]["name"] == name
    assert manifest["spec"].get("trainingJobName") == kept
    assert ("cannot be a Kubernetes name" in done.err) == (name != asked.lower())


def test_name_and_namespace_can_be_given(cli: Cli) -> None:
    done = cli("convert", DESCRIBED, "--name", "again", "-n", "growth")
    manifest = yaml.safe_load(done.out)
    assert manifest["metadata"] == {"name": "again", "namespace": "growth"}
    assert yaml.safe_load(cli("convert", DESCRIBED).out)["metadata"]["name"] == "churn-xgboost-nightly-0412"


def test_fields_that_are_null_are_named_and_left_out(cli: Cli, file: Any) -> None:
    request = {
        "TrainingJobName": "a",
        "VpcConfig": None,
        "ResourceConfig": {"VolumeKmsKeyId": None, "InstanceCount": 1},
    }
    done = cli("convert", file(request, "request.json"))
    assert yaml.safe_load(done.out)["spec"] == {"resourceConfig": {"instanceCount": 1}}
    assert "VpcConfig, ResourceConfig.VolumeKmsKeyId: null, which says nothing, left out" in done.err


def test_a_name_that_is_none_of_the_contracts_is_named(cli: Cli, file: Any) -> None:
    done = cli("convert", file({"TrainingJobName": "a", "CheckpointConfig": {"S3URI": "s3://b"}}))
    assert "CheckpointConfig.S3URI: no name of the contract's, written as s3URI" in done.err


# -- a described job


def test_a_described_job_becomes_a_manifest_without_its_results(cli: Cli) -> None:
    done = cli("convert", DESCRIBED)
    assert done.code == 0
    results, untold = done.err.splitlines()
    assert results.startswith(
        f"{DESCRIBED}: TrainingJobArn, ModelArtifacts, TrainingJobStatus, SecondaryStatus, CreationTime"
    )
    assert results.endswith("ResourceConfig.SelectedInstanceCount: results of the run, not carried over")
    assert (
        untold
        == f"{DESCRIBED}: Tags, SessionChainingConfig: DescribeTrainingJob does not tell; add them if the job has any"
    )
    spec = yaml.safe_load(done.out)["spec"]
    assert spec["resourceConfig"] == {"instanceType": "ml.m5.xlarge", "instanceCount": 1, "volumeSizeInGB": 30}
    assert "trainingJobStatus" not in spec
    assert "trainingJobName" not in spec


def test_a_described_job_becomes_a_request_of_the_same_job(cli: Cli) -> None:
    described = json.loads(DESCRIBED.read_text())
    request = json.loads(cli("convert", DESCRIBED, "--to", "request").out)
    del described["ResourceConfig"]["SelectedInstanceType"], described["ResourceConfig"]["SelectedInstanceCount"]
    assert request == {name: described[name] for name in request}
    assert set(described) - set(request) >= {"TrainingJobArn", "SecondaryStatusTransitions", "FinalMetricDataList"}


# -- manifests


def test_a_manifest_of_ack_changes_in_nothing_but_its_api_version(cli: Cli) -> None:
    done = cli("convert", ACK)
    assert (done.code, done.err) == (0, "")
    ack = yaml.safe_load(ACK.read_text())
    assert yaml.safe_load(done.out) == ack | {"apiVersion": "trainyard.dev/v1alpha1"}


def test_a_manifest_of_ack_comes_back_as_it_was(cli: Cli, file: Any) -> None:
    done = cli("convert", file(cli("convert", ACK).out), "--to", "ack")
    assert (done.code, done.err) == (0, "")
    assert yaml.safe_load(done.out) == yaml.safe_load(ACK.read_text())


def test_an_object_out_of_a_cluster_loses_what_is_the_clusters_and_says_so(cli: Cli, file: Any) -> None:
    live = yaml.safe_load(ACK.read_text())
    live["metadata"] |= {"uid": "1", "resourceVersion": "2", "generation": 1, "finalizers": ["x"]}
    live["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    live["status"] = {"trainingJobStatus": "Completed"}
    done = cli("convert", file({"apiVersion": "v1", "kind": "List", "items": [live]}))
    assert yaml.safe_load(done.out) == yaml.safe_load(ACK.read_text()) | {"apiVersion": "trainyard.dev/v1alpha1"}
    assert "status: not of the job but of its run, not carried over" in done.err
    assert (
        "metadata.uid, metadata.resourceVersion, metadata.generation, metadata.finalizers,"
        " metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]: of the object in its cluster, not carried over"
    ) in done.err


def test_what_only_trainyard_has_is_named(cli: Cli, file: Any) -> None:
    manifest = ours(stop=False, suspend=True, ttlSecondsAfterFinished=60)
    manifest["metadata"] |= {"namespace": "growth", "labels": {"a": "b"}}
    for target in ("request", "ack"):
        assert "spec.stop, spec.suspend, spec.ttlSecondsAfterFinished: only trainyard has it, left out" in cli(
            "convert", file(manifest), "--to", target
        ).err  # fmt: skip
    request = cli("convert", file(manifest), "--to", "request")
    assert "metadata.namespace, metadata.labels: a request has no place for it, left out" in request.err
    assert json.loads(request.out)["TrainingJobName"] == "sample"


def test_what_may_be_left_out_here_alone_is_written_out(cli: Cli, file: Any) -> None:
    channel = {"channelName": "train", "dataSource": {"s3DataSource": {"s3URI": "s3://b/x"}}}
    manifest = ours(algorithmSpecification={"trainingImage": "i"}, inputDataConfig=[channel])
    del manifest["spec"]["roleARN"]
    done = cli("convert", file(manifest), "--to", "request")
    request = json.loads(done.out)
    assert request["AlgorithmSpecification"]["TrainingInputMode"] == "File"
    assert request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataType"] == "S3Prefix"
    assert "spec.algorithmSpecification.trainingInputMode: File, the default here, written out" in done.err
    assert "spec.inputDataConfig[0].dataSource.s3DataSource.s3DataType: S3Prefix" in done.err
    assert "spec.roleARN: SageMaker needs a role, and the job names none" in done.err
    assert "spec.stoppingCondition: 86400 s, the default here, written out" in cli(
        "convert", file(manifest), "--to", "ack"
    ).err  # fmt: skip


def test_several_documents_stay_several_and_others_stay_as_they_are(cli: Cli, file: Any) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "1"}}
    path = file("---\n".join(map(yaml.safe_dump, [ours("a"), secret, ours("b")])))
    done = cli("convert", path, "--to", "ack")
    kinds = [(item["apiVersion"], item["kind"]) for item in yaml.safe_load_all(done.out)]
    ack = ("sagemaker.services.k8s.aws/v1alpha1", "TrainingJob")
    assert kinds == [ack, ("v1", "Secret"), ack]
    assert f"{path}: document 2: a Secret of v1 (s) is no training job, kept as it is" in done.err
    requests = cli("convert", path, "--to", "request")
    assert f"{path}: document 2: a Secret of v1 (s) is no training job, left out" in requests.err
    again = cli("convert", file(requests.out, "requests.json"))
    assert [item["metadata"]["name"] for item in yaml.safe_load_all(again.out)] == ["a", "b"]


# -- what is refused


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", EXPECTED + "nothing"),
        ("{}", EXPECTED + "an empty object"),
        ("hello", EXPECTED + "'hello'"),
        ("- - 1\n", EXPECTED + "a list of 1"),
        ({"ProcessingJobName": "x", "RoleArn": "r"}, EXPECTED + "an object with ProcessingJobName, RoleArn"),
        (
            {"apiVersion": "sagemaker.aws.amazon.com/v1", "kind": "TrainingJob", "metadata": {"name": "x"}},
            EXPECTED + "a TrainingJob of sagemaker.aws.amazon.com/v1 (x)",
        ),
        ({"apiVersion": "v1", "kind": "Secret"}, EXPECTED + "a Secret of v1"),
        ({"kind": "TrainingJob"}, EXPECTED + "a TrainingJob of None"),
        ({"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob"}, "spec: expected fields, found nothing"),
        (ours() | {"metadata": {}}, "the job has no name that a TrainingJob could have; give one with --name"),
        (ours() | {"metadata": {"name": 5}}, "metadata.name: expected text, found 5"),
        ({"TrainingJobName": 5}, "TrainingJobName: expected text, found 5"),
        ({"TrainingJobName": "_"}, "give one with --name"),
        ({"TrainingJobName": "a", "S3Uri": 1, "S3URI": 2}, "S3URI and another field would both become s3URI"),
    ],
)
def test_what_is_no_training_job_is_refused_with_what_was_expected_and_found(
    cli: Cli, file: Any, content: Any, words: str
) -> None:
    done = cli("convert", file(content))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_two_jobs_of_one_name_are_refused(cli: Cli, file: Any) -> None:
    done = cli("convert", file('{"TrainingJobName": "Job"}{"TrainingJobName": "job"}'))
    assert (done.code, done.out) == (1, "")
    assert "two jobs would have the name job" in done.err


def test_nothing_is_written_if_one_document_is_refused(cli: Cli, file: Any, tmp_path: Path) -> None:
    done = cli("convert", file('{"TrainingJobName": "a"}{"x": 1}'), "-o", tmp_path / "out.yaml")
    assert done.code == 1
    assert "document 2: expected" in done.err
    assert not (tmp_path / "out.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convert", str(ACK), "--to", "csv"], "'csv'"),
        (["convert", str(ACK), "--to", "request", "--name", "x"], "a request has neither"),
        (["convert", str(ACK), "--name", "Upper"], "--name: lower case letters"),
        (["convert", str(ACK), "--nonsense"], "--nonsense"),
        (["validate"], "FILE"),
        (["stop"], "NAME"),
        (["nonsense"], "nonsense"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(cli: Cli, arguments: list[str], words: str) -> None:
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_a_name_for_several_jobs_is_exit_code_2(cli: Cli, file: Any) -> None:
    assert cli("convert", file('{"TrainingJobName": "a"}{"TrainingJobName": "b"}'), "--name", "c").code == 2


def test_files_that_cannot_be_read_or_written_are_one_line(cli: Cli, tmp_path: Path) -> None:
    assert cli("convert", tmp_path / "none").err == f"error: {tmp_path / 'none'}: No such file or directory\n"
    assert cli("convert", tmp_path).code == 1
    (tmp_path / "latin").write_bytes(b"a: \xe4")
    assert cli("convert", tmp_path / "latin").err == f"error: {tmp_path / 'latin'}: is not text in UTF-8\n"
    assert "No such file or directory" in cli("convert", ACK, "-o", tmp_path / "none" / "out").err


def test_what_a_file_says_cannot_command_the_terminal(cli: Cli, file: Any) -> None:
    done = cli("convert", file({"TrainingJobName": "a", "X": {"\x1b]0;owned\x07URI\r": None}}))
    assert "\x1b" not in done.err
    assert "X.\\x1b]0;owned\\x07URI\\r: null" in done.err


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["apiVersion", "kind", "metadata", "spec", "items", "name", "namespace", "annotations", "status", "inputDataConfig",
     "dataSource", "s3DataSource", "algorithmSpecification", "resourceConfig", "TrainingJobName", "trainingJobName",
     "InputDataConfig", "ResourceConfig", "TrainingJobStatus", "roleARN", "stoppingCondition", "profilerConfig"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["trainyard.dev/v1alpha1", "sagemaker.services.k8s.aws/v1alpha1", "TrainingJob", "List", "a", "A b"]
)
HOSTILE = st.recursive(
    WORDS | JSON, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12
)


@given(HOSTILE, st.sampled_from(Target))
def test_whatever_is_read_is_converted_or_refused(document: Any, target: Target) -> None:
    for content in (
        document,
        {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": document, "spec": document},
        {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "a"}, "spec": document},
        {"TrainingJobName": "a", "TrainingJobStatus": "x", "ResourceConfig": document, "InputDataConfig": document},
    ):
        with suppress(Failed):
            assert translate(json.dumps(content), "job", target).text


# -- as a program


def test_it_reads_standard_input_and_writes_data_alone_to_standard_output(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainyard.cli", "convert", "-"],
        input=DESCRIBED.read_bytes(),
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(tmp_path)},
        cwd=tmp_path,
        check=True,
    )
    assert yaml.safe_load(done.stdout)["kind"] == "TrainingJob"
    assert done.stderr.startswith(b"standard input: TrainingJobArn, ")
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"kubernetes" not in done.stdout


def test_an_output_file_is_what_standard_output_would_be(cli: Cli, tmp_path: Path) -> None:
    assert cli("convert", ACK, "-o", tmp_path / "job.yaml").out == ""
    assert (tmp_path / "job.yaml").read_text() == cli("convert", ACK).out
