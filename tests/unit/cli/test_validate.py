"""`trainyard validate`: every finding with file and path, on standard output; nothing else there."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cli import Cli
from trainyard.cli.core import validate

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
JOB: dict[str, Any] = {
    "apiVersion": "trainyard.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "sample", "labels": {"team": "growth"}},
    "spec": {
        "roleARN": "arn:aws:iam::123456789012:role/x",
        "algorithmSpecification": {
            "trainingImage": "image:1",
            "metricDefinitions": [{"name": "auc", "regex": "auc=(.*)"}],
        },
        "hyperParameters": {"eta": "0.1", "S3Uri": "any name at all"},
        "inputDataConfig": [{"channelName": "train", "dataSource": {"s3DataSource": {"s3URI": "s3://b/train"}}}],
        "outputDataConfig": {"s3OutputPath": "s3://b/out"},
        "resourceConfig": {"instanceType": "ml.m5.xlarge", "instanceCount": 2, "volumeSizeInGB": 10},
        "tags": [{"key": "a", "value": "b"}],
    },
}


def at(path: str, value: Any, base: dict[str, Any] = JOB) -> dict[str, Any]:
    """A copy with one field set; a path is dotted, numbers index lists."""
    made = copy.deepcopy(base)
    node: Any = made
    *parents, last = path.split(".")
    for name in parents:
        node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
    node[last] = value
    return made


def found(document: Any) -> list[str]:
    return [f"{finding.path}: {finding.message}" for finding in validate.findings(document)]


def test_a_right_job_has_no_finding() -> None:
    assert found(JOB) == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_have_no_finding(cli: Cli, path: Path) -> None:
    done = cli("validate", path)
    assert (done.code, done.out) == (0, "")
    assert "no findings" in done.err


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        ("spek", {}, "spek: unknown field; the nearest known is spec"),
        ("spec.hyperParameter", {}, "spec.hyperParameter: unknown field; the nearest known is hyperParameters"),
        ("spec.roleArn", "x", "spec.roleArn: unknown field; the nearest known is roleARN"),
        ("spec.zzz", 1, "spec.zzz: unknown field"),
        ('spec.a"b', 1, 'spec["a\\"b"]: unknown field'),
        (
            "spec.inputDataConfig.0.chanelName",
            "x",
            "spec.inputDataConfig[0].chanelName: unknown field; the nearest known is",
        ),
        (
            "spec.inputDataConfig.0.dataSource.s3DataSource.s3Uri",
            "s3://b",
            "spec.inputDataConfig[0].dataSource.s3DataSource.s3Uri: unknown field; the nearest known is s3URI",
        ),
        ("spec.tags.0.Key", "x", "spec.tags[0].Key: unknown field; the nearest known is key"),
        ("metadata.label", {}, "metadata.label: unknown field; the nearest known is labels"),
        ("metadata.labels.n", 1, 'metadata.labels.n: expected text, found 1; write "1"'),
        ("metadata.labels", [], "metadata.labels: expected a map of text to text"),
        ("metadata.name", "Upper", "metadata.name: 'Upper' cannot be a name"),
        ("metadata.name", "x" * 64, "cannot be a name: lower case letters, digits, '-' and '.', at most 63"),
        ("metadata", {}, "metadata.name: required"),
        ("metadata", None, "metadata: required"),
        ("spec", None, "spec: required"),
        ("spec", [], "spec: expected fields"),
        ("spec.hyperParameters.depth", 5, 'spec.hyperParameters.depth: expected text, found 5; write "5"'),
        ("spec.hyperParameters.flag", True, 'spec.hyperParameters.flag: expected text, found true; write "true"'),
        ("spec.hyperParameters." + "n" * 257, "x", "its name"),
        ("spec.environment.a", 0.5, 'spec.environment.a: expected text, found 0.5; write "0.5"'),
        ("spec.resourceConfig.instanceCount", "2", "spec.resourceConfig.instanceCount: should be a valid integer"),
        (
            "spec.resourceConfig.instanceCount",
            0,
            "spec.resourceConfig.instanceCount: should be greater than or equal to 1",
        ),
        ("spec.outputDataConfig", {}, "spec.outputDataConfig.s3OutputPath: required"),
        (
            "spec.algorithmSpecification.trainingInputMode",
            "Pipes",
            "spec.algorithmSpecification.trainingInputMode: should be",
        ),
        (
            "spec.outputDataConfig.s3OutputPath",
            "/tmp/x",
            "spec.outputDataConfig.s3OutputPath: String should match pattern",
        ),
        ("spec.stop", "yes", "spec.stop: should be a valid boolean"),
        ("apiVersion", "trainyard.dev/v1", "expected CreateTrainingJob JSON"),
        ("kind", "TrainJob", ": expected a TrainingJob of trainyard.dev/v1alpha1 or InstanceType of"),
    ],
)
def test_what_is_wrong_is_found_by_its_path(path: str, value: Any, finding: str) -> None:
    (said,) = found(at(path, value))
    assert finding in said


def test_everything_that_is_wrong_is_found_at_once() -> None:
    wrong = at("spec.stoppingCondition.maxRuntimeInSeconds", 0, at("spec.tags.0.Key", "x", at("spec.vpc", {})))
    assert [finding.path for finding in validate.findings(wrong)] == [
        "spec.vpc",
        "spec.tags[0].Key",
        "spec.stoppingCondition.maxRuntimeInSeconds",
    ]


@pytest.mark.parametrize(
    ("said", "findings"),
    [
        ("a: no; use b", ["spec.a: no; use b"]),
        (
            "a: no; leave it out: c; b[1].c: not this; take d",
            ["spec.a: no; leave it out: c", "spec.b[1].c: not this; take d"],
        ),
        ("both at once; drop one", ["spec: both at once; drop one"]),
        ("both at once; a.b: no", ["spec: both at once", "spec.a.b: no"]),
    ],
)
def test_each_rule_of_a_model_that_is_broken_is_a_finding(said: str, findings: list[str]) -> None:
    assert [f"{found.path}: {found.message}" for found in validate.broken_rules("spec", said)] == findings


def test_another_kind_of_ours_is_checked_too() -> None:
    document = {"apiVersion": "trainyard.dev/v1alpha1", "kind": "InstanceType", "metadata": {"name": "ml.m5.xlarge"}}
    assert found(document | {"spec": {"capacity": {"cpu": "4", "memory": "much"}, "reserve": {}}}) == [
        "spec.reserve: unknown field; the nearest known is systemReserve",
        "spec.capacity.memory: String should match pattern '^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$'",
    ]


def test_findings_are_lines_with_file_document_and_path(cli: Cli, tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(
        json.dumps(JOB) + json.dumps({"apiVersion": "v1", "kind": "Secret"}) + json.dumps(at("spec.stopp", True))
    )
    two.write_text("a: [")
    done = cli("validate", one, two)
    assert done.code == 1
    first, second = done.out.splitlines()
    assert first == f"{one}: document 3: spec.stopp: unknown field; the nearest known is stop"
    assert second.startswith(f"{two}: line 1: ")
    assert done.err.splitlines() == [
        f"{one}: document 2: not of trainyard, not checked",
        "2 manifests checked, 2 findings",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"TrainingJobName": "x"}', "is a job of CreateTrainingJob; `trainyard convert` makes a manifest of it"),
        ('{"TrainingJobName": "x", "TrainingJobStatus": "y"}', "is a job of DescribeTrainingJob;"),
        ("apiVersion: sagemaker.services.k8s.aws/v1alpha1\nkind: TrainingJob", "is a job of ACK;"),
        ("", "holds no manifest"),
        ("hello", "expected CreateTrainingJob JSON"),
        ("kind: TrainingJob", "found a TrainingJob of None"),
    ],
)
def test_what_is_no_manifest_is_a_finding(cli: Cli, tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "x").write_text(content)
    done = cli("validate", tmp_path / "x")
    assert done.code == 1
    assert words in done.out


NAMES = st.sampled_from(
    ["name", "value", "key", "channelName", "dataSource", "s3DataSource", "s3URI", "trainingImage", "regex", "tags", "x",
     "inputDataConfig", "metricDefinitions", "hyperParameters", "environment", "stop", "resourceConfig", "instanceCount",
     "algorithmSpecification", "outputDataConfig"]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)


@given(ANYTHING, ANYTHING)
def test_whatever_a_manifest_holds_is_judged(metadata: Any, spec: Any) -> None:
    for kind in ("TrainingJob", "InstanceType", "ExecutionRole"):
        document = {"apiVersion": "trainyard.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        assert all(finding.message for finding in validate.findings(document))
