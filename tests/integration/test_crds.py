"""The CRDs on a real apiserver: accepted, with defaults, and refusing what is wrong by path and by what is allowed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.e2e.jobs import Bucket, Kubectl, channel, manifest
from tests.support import specs

Manifest = dict[str, Any]


@pytest.fixture
def job() -> Manifest:
    bucket = Bucket(client=None, name="bucket")
    made = manifest("sample", "image:1", bucket, channels=[channel("train", "s3://bucket/train")], hyper={"eta": "0.3"})
    made["metadata"]["namespace"] = "default"
    return made


def at(made: Manifest, path: str, value: Any) -> Manifest:
    """A copy with one field set; a path is dotted, numbers index lists."""
    made = copy.deepcopy(made)
    node: Any = made
    *parents, last = path.split(".")
    for name in parents:
        node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
    node[last] = value
    return made


@pytest.mark.parametrize("kind", ["trainingjobs", "instancetypes", "executionroles"])
def test_the_apiserver_calls_every_crd_established_and_structural(crds: Kubectl, kind: str) -> None:
    said = crds(
        "get", "crd", f"{kind}.trainyard.dev", "-o", "jsonpath={range .status.conditions[*]}{.type}={.status} {end}"
    )
    assert "Established=True" in said
    assert "NonStructuralSchema=True" not in said


def test_the_apiserver_writes_no_default_into_a_spec(crds: Kubectl, job: Manifest) -> None:
    job["spec"] = specs.patched(specs.MINIMAL, {"inputDataConfig": [specs.channel()]})
    made = json.loads(crds("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(job)))
    assert made["spec"] == job["spec"]


@pytest.mark.parametrize("case", specs.CASES)
def test_each_rule_between_fields_is_kept(crds: Kubectl, job: Manifest, case: str) -> None:
    rule = specs.CASES[case]
    job["spec"] = specs.patched(specs.MINIMAL, rule.invalid)
    assert rule.says in crds.refusal(job)
    job["spec"] = specs.patched(specs.MINIMAL, rule.valid)
    said = crds("create", "-f", "-", "--dry-run=server", stdin=json.dumps(job), check=False)
    assert rule.says not in said
    # What a rule would let through may be refused for being unsupported, and for nothing else.
    assert "created" in said or all("Forbidden: " in line for line in said.splitlines() if "spec." in line), said


@pytest.mark.parametrize("path", specs.REFUSED)
def test_what_is_not_supported_is_refused_by_its_path_and_with_what_to_do(
    crds: Kubectl, job: Manifest, path: str
) -> None:
    job["spec"] = specs.patched(specs.MINIMAL, specs.REFUSED[path])
    assert f"{path}: Forbidden: " in crds.refusal(job)


def test_a_request_that_asks_for_nothing_unusual_is_accepted_as_the_sdk_sends_it(crds: Kubectl, job: Manifest) -> None:
    job["spec"] = specs.patched(specs.MINIMAL, specs.ECHO)
    assert "created" in crds("create", "-f", "-", "--dry-run=server", stdin=json.dumps(job))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.resourceConfig.instanceCount", 0, ["spec.resourceConfig.instanceCount", "greater than or equal to 1"]),
        ("spec.resourceConfig.instanceCount", "two", ["spec.resourceConfig.instanceCount", "integer"]),
        ("spec.resourceConfig.volumeSizeInGB", 0, ["spec.resourceConfig.volumeSizeInGB", "greater than or equal to 1"]),
        ("spec.stoppingCondition.maxRuntimeInSeconds", 0, ["spec.stoppingCondition.maxRuntimeInSeconds"]),
        ("spec.outputDataConfig.s3OutputPath", "/tmp/x", ["spec.outputDataConfig.s3OutputPath", "s3://"]),
        ("spec.inputDataConfig.0.channelName", "a/b", ["spec.inputDataConfig[0].channelName", "A-Za-z0-9"]),
        ("spec.inputDataConfig.0.channelName", "..", ["spec.inputDataConfig[0].channelName", "cannot be one"]),
        ("spec.inputDataConfig.0.dataSource.s3DataSource.s3URI", "b/train", ["s3DataSource.s3URI", "s3://"]),
        (
            "spec.inputDataConfig.0.dataSource.s3DataSource.s3DataDistributionType",
            "Sharded",
            ["s3DataDistributionType", "Unsupported value", "ShardedByS3Key"],
        ),
        ("spec.algorithmSpecification.trainingInputMode", "Stream", ["trainingInputMode", "Unsupported value", "File"]),
        ("spec.algorithmSpecification.trainingImage", "", ["spec.algorithmSpecification.trainingImage"]),
        ("spec.hyperParameters.depth", 5, ["spec.hyperParameters", "string"]),
        ("spec.hyperParameters.depth", "x" * 2501, ["spec.hyperParameters.depth", "2500"]),
        ("spec.environment", {"1A": "x"}, ["spec.environment", "does not begin with a digit"]),
        ("spec.roleARN", "arn:aws:iam::1:role/x", ["spec.roleARN", "arn:aws"]),
        ("spec.trainingJobName", "under_score", ["spec.trainingJobName"]),
        ("spec.tags", [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}], ["spec.tags[1]", "Duplicate value"]),
        ("spec.outputDataConfig.s3OutputPaths", "s3://b/x", ["unknown field", "s3OutputPaths"]),
        ("metadata.name", "n" * 64, ["metadata.name may have at most 63 characters"]),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_by_its_path_and_what_is_allowed(
    crds: Kubectl, job: Manifest, path: str, value: Any, words: list[str]
) -> None:
    said = crds.refusal(at(job, path, value))
    assert all(word in said for word in words), said


@pytest.mark.parametrize("path", ["spec.algorithmSpecification", "spec.outputDataConfig", "spec.resourceConfig"])
def test_a_missing_part_is_refused_by_its_path(crds: Kubectl, job: Manifest, path: str) -> None:
    part = path.removeprefix("spec.")
    del job["spec"][part]
    assert f"{path}: Required value" in crds.refusal(job)


def test_a_job_cannot_be_changed_but_for_stop_and_a_stop_cannot_be_taken_back(
    crds: Kubectl, job: Manifest, scratch: str
) -> None:
    job["metadata"]["namespace"] = scratch
    crds.apply(job)
    change = ("patch", "trainingjob", "sample", "-n", scratch, "--type=merge", "-p")
    crds(*change, '{"spec":{"suspend":true,"ttlSecondsAfterFinished":60}}')
    crds(*change, '{"spec":{"suspend":null,"ttlSecondsAfterFinished":null}}')
    crds(*change, '{"spec":{"stop":true}}')
    for patch in ('{"spec":{"stop":false}}', '{"spec":{"stop":null}}'):
        assert "stop: a stop cannot be taken back" in crds(*change, patch, check=False)


def test_every_field_that_can_be_set_is_immutable_but_the_controls(crds: Kubectl, scratch: str, job: Manifest) -> None:
    """Changed, taken out and put in: each is refused by the field's path, and says what to do instead."""
    job["metadata"]["namespace"] = scratch
    job["spec"] = specs.patched(specs.MINIMAL, specs.ECHO | specs.REST)
    crds.apply(job)
    job["metadata"]["name"] = "bare"
    job["spec"] = dict(specs.MINIMAL)
    crds.apply(job)
    change = ("patch", "trainingjob", "--type=merge", "-n", scratch, "-p")
    fields = specs.ECHO | specs.REST | specs.MINIMAL
    for name, value in fields.items():
        expected = f"{name}: a TrainingJob cannot be changed once created; delete it"
        changed = json.dumps({"spec": {name: specs.CHANGED[name]}})
        assert expected in crds(*change, changed, "sample", check=False), name
        if name not in specs.MINIMAL:
            assert expected in crds(*change, json.dumps({"spec": {name: None}}), "sample", check=False), name
            assert expected in crds(*change, json.dumps({"spec": {name: value}}), "bare", check=False), name


def test_applying_a_manifest_again_does_not_bump_its_generation(crds: Kubectl, job: Manifest, scratch: str) -> None:
    job["metadata"]["namespace"] = scratch
    crds.apply(job)
    crds.apply(job)
    made = crds.get("trainingjob", "sample", scratch)
    assert made is not None
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        ("InstanceType", {"capacity": {"cpu": "4"}}, ["capacity names at least cpu and memory"]),
        ("InstanceType", {"capacity": {"cpu": "4", "memory": "much"}}, ["spec.capacity.memory"]),
        ("ExecutionRole", {"s3": {"endpointURL": "s3.local"}}, ["spec.s3.endpointURL", "https?"]),
        ("ExecutionRole", {"securityMode": "privileged"}, ["spec.securityMode", "restricted"]),
    ],
)
def test_a_wrong_instance_type_or_role_is_refused(crds: Kubectl, kind: str, spec: Manifest, words: list[str]) -> None:
    said = crds.refusal({"apiVersion": "trainyard.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec})
    assert all(word in said for word in words), said
