"""Every field of SageMaker's contract has a class, and every limit that is not botocore's a reason. botocore's model is the list."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hack.contract_page import AwsField, fields, node_at, refusal_above, response_fields
from trainyard.api import contract
from trainyard.api.casing import field_name, to_manifest_name
from trainyard.api.contract import Treatment
from trainyard.api.crd import Schema, model_schema
from trainyard.api.status import JobStatus
from trainyard.api.trainingjob import TrainingJobSpec

SPEC, STATUS = model_schema(TrainingJobSpec), model_schema(JobStatus)
REQUEST, RESPONSE = fields("CreateTrainingJob"), response_fields()
Limits = dict[str, Any]


def name(field: AwsField) -> str:
    return field.path


def their_limits(field: AwsField) -> Limits:
    """In one form with ours: a limit of zero says nothing, patterns are anchored and in RE2's language."""
    limits: Limits = {"required": field.required} | _theirs(field.shape)
    shape = field.shape
    if shape.type_name == "list":
        limits |= {f"item {what}": value for what, value in _theirs(shape.member).items()}
    if shape.type_name == "map":
        limits |= {f"key {what}": value for what, value in _theirs(shape.key).items() if what != "pattern"}
        limits |= {f"value {what}": value for what, value in _theirs(shape.value).items()}
        limits["key pattern"] = _theirs(shape.key).get("pattern")
    return {what: value for what, value in limits.items() if value}


def _theirs(shape: Any) -> Limits:
    said = shape.metadata
    pattern = said.get("pattern")
    if pattern in contract.ANY_TEXT:
        pattern = None
    if pattern:
        pattern = (
            f"^{pattern}$".replace(r"\d", "[0-9]")
            .replace(r"\p{Alnum}", "0-9A-Za-z")
            .replace("^(fs-[0-9a-f]{8,})$", "^fs-[0-9a-f]{8,}$")
        )
    return {"min": said.get("min"), "max": said.get("max"), "pattern": pattern, "enum": sorted(said.get("enum", []))}


def our_limits(schema: Schema, path: str) -> Limits:
    node = node_at(schema, path)
    assert node is not None
    parent, _, last = path.rpartition(".")
    holder = (node_at(schema, parent) if parent else schema) or {}
    limits: Limits = {"required": last in holder.get("required", [])} | _ours(node)
    if "items" in node:
        limits |= {f"item {what}": value for what, value in _ours(node["items"]).items()}
    if "additionalProperties" in node:
        limits |= {f"value {what}": value for what, value in _ours(node["additionalProperties"]).items()}
        limits |= _keys(node)
    return {what: value for what, value in limits.items() if value}


def _ours(node: Schema) -> Limits:
    kind = {
        "string": ("minLength", "maxLength"),
        "array": ("minItems", "maxItems"),
        "object": ("minProperties", "maxProperties"),
    }
    low, high = kind.get(node["type"], ("minimum", "maximum"))
    return {
        "min": node.get(low),
        "max": node.get(high),
        "pattern": node.get("pattern"),
        "enum": sorted(node.get("enum", [])),
    }


def _keys(node: Schema) -> Limits:
    """What the rules of a map say of its names."""
    said = " ".join(rule["rule"] for rule in node.get("x-kubernetes-validations", []))
    found = {
        "key min": re.search(r"name\.size\(\) >= (\d+)", said),
        "key max": re.search(r"name\.size\(\) <= (\d+)", said),
        "key pattern": re.search(r"name\.matches\('(.*?)'\)", said),
    }
    return {what: match[1] if what == "key pattern" else int(match[1]) for what, match in found.items() if match}


@pytest.mark.parametrize("field", REQUEST + RESPONSE, ids=name)
def test_every_field_has_a_class(field: AwsField) -> None:
    entry = contract.find(field.path)
    assert entry is not None, f"say in operator/trainyard/api/contract.py what becomes of {field.path}"
    if entry.treatment in (Treatment.NO_EFFECT, Treatment.RECORDED):
        assert entry.note, "a user must be told what it means here"


def test_no_class_is_that_of_a_field_that_does_not_exist() -> None:
    known = {field.path for field in REQUEST}, {field.path for field in RESPONSE}
    assert (set(contract.REQUEST) - known[0], set(contract.RESPONSE) - known[1]) == (set(), set())


@pytest.mark.parametrize("field", REQUEST, ids=name)
def test_every_field_of_a_request_is_accepted_or_refused_with_a_reason(field: AwsField) -> None:
    entry, path = contract.find(field.path), contract.manifest_path(field.path)
    assert entry is not None
    answer = refusal_above(SPEC, path)
    if entry.treatment is Treatment.REFUSED:
        assert answer, f"no rule refuses {path}"
    elif field.shape.type_name in ("structure", "list", "map"):
        assert node_at(SPEC, path) is not None
        assert not answer
    else:
        # An enumeration may have values that are refused; that all are is another class.
        assert node_at(SPEC, path) is not None
        assert not answer or field.shape.metadata.get("enum")


@pytest.mark.parametrize("field", RESPONSE, ids=name)
def test_what_the_response_is_said_to_have_is_in_the_status(field: AwsField) -> None:
    entry = contract.find(field.path)
    assert entry is not None
    there = node_at(STATUS, contract.manifest_path(field.path)) is not None
    assert there == (entry.treatment is Treatment.ACTED_ON)


ACCEPTED = [path for path, entry in contract.REQUEST.items() if entry.treatment is not Treatment.REFUSED]


@pytest.mark.parametrize("path", ACCEPTED)
def test_every_limit_is_botocores_or_has_a_reason_that_names_its_kind(path: str) -> None:
    entry = contract.REQUEST[path]
    differing = {
        what: (field.path, theirs.get(what), ours.get(what))
        for field in REQUEST
        if contract.find(field.path) is entry
        for theirs, ours in [(their_limits(field), our_limits(SPEC, contract.manifest_path(field.path)))]
        for what in theirs.keys() | ours.keys()
        if theirs.get(what) != ours.get(what)
    }
    assert differing.keys() == (entry.differs.kinds if entry.differs else set()), differing


@pytest.mark.parametrize("field", REQUEST + RESPONSE, ids=name)
def test_a_field_that_is_here_has_the_name_that_the_rule_gives_it(field: AwsField) -> None:
    word = field.path.rpartition(".")[2].removesuffix("[]")
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).lower()
    if word != "AutoMLJobArn":
        assert field_name(snake) == to_manifest_name(word)


@pytest.mark.parametrize(
    ("aws", "manifest"),
    [
        ("TrainingJobName", "trainingJobName"),
        ("RoleArn", "roleARN"),
        ("S3Uri", "s3URI"),
        ("S3OutputPath", "s3OutputPath"),
        ("KmsKeyId", "kmsKeyID"),
        ("VolumeKmsKeyId", "volumeKMSKeyID"),
        ("VolumeSizeInGB", "volumeSizeInGB"),
        ("FileSystemId", "fileSystemID"),
        ("SecurityGroupIds", "securityGroupIDs"),
        ("TrainingPlanArns", "trainingPlanARNs"),
        ("VpcConfig", "vpcConfig"),
        ("AutoMLJobArn", "autoMLJobARN"),
        ("UltraServerId", "ultraServerID"),
        ("EnableSageMakerMetricsTimeSeries", "enableSageMakerMetricsTimeSeries"),
        ("TrainingRepositoryCredentialsProviderArn", "trainingRepositoryCredentialsProviderARN"),
        ("IdentityProvider", "identityProvider"),
    ],
)
def test_names_are_written_as_the_aws_controllers_write_them(aws: str, manifest: str) -> None:
    assert to_manifest_name(aws) == manifest


# The fields of the AWS controllers' TrainingJob, as their CRD has them; a manifest of theirs has no others.
ACK = """
algorithmSpecification.{algorithmName,enableSageMakerMetricsTimeSeries,metricDefinitions[].{name,regex},trainingImage,trainingInputMode}
checkpointConfig.{localPath,s3URI}
debugHookConfig.{collectionConfigurations[].{collectionName,collectionParameters},hookParameters,localPath,s3OutputPath}
debugRuleConfigurations[].{instanceType,localPath,ruleConfigurationName,ruleEvaluatorImage,ruleParameters,s3OutputPath,volumeSizeInGB}
enableInterContainerTrafficEncryption enableManagedSpotTraining enableNetworkIsolation environment hyperParameters
experimentConfig.{experimentName,trialComponentDisplayName,trialName} infraCheckConfig.enableInfraCheck
inputDataConfig[].{channelName,compressionType,contentType,inputMode,recordWrapperType,shuffleConfig.seed}
inputDataConfig[].dataSource.fileSystemDataSource.{directoryPath,fileSystemAccessMode,fileSystemID,fileSystemType}
inputDataConfig[].dataSource.s3DataSource.{attributeNames,instanceGroupNames,s3DataDistributionType,s3DataType,s3URI}
outputDataConfig.{compressionType,kmsKeyID,s3OutputPath}
profilerConfig.{profilingIntervalInMilliseconds,profilingParameters,s3OutputPath}
profilerRuleConfigurations[].{instanceType,localPath,ruleConfigurationName,ruleEvaluatorImage,ruleParameters,s3OutputPath,volumeSizeInGB}
remoteDebugConfig.enableRemoteDebug retryStrategy.maximumRetryAttempts roleARN trainingJobName
resourceConfig.{instanceCount,instanceType,keepAlivePeriodInSeconds,volumeKMSKeyID,volumeSizeInGB}
resourceConfig.instanceGroups[].{instanceCount,instanceGroupName,instanceType}
stoppingCondition.{maxPendingTimeInSeconds,maxRuntimeInSeconds,maxWaitTimeInSeconds} tags[].{key,value}
tensorBoardOutputConfig.{localPath,s3OutputPath} vpcConfig.{securityGroupIDs,subnets}
"""


def spelled(pattern: str) -> list[str]:
    """`a.{b,c[].{d,e}}` -> a.b, a.c[].d, a.c[].e."""
    head, brace, rest = pattern.partition("{")
    if not brace:
        return [pattern]
    parts, depth, word = [], 0, ""
    for letter in rest.removesuffix("}"):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts, word = [*parts, word], ""
        else:
            word += letter
    return [head + tail for part in [*parts, word] for tail in spelled(part)]


@pytest.mark.parametrize("path", [path for pattern in ACK.split() for path in spelled(pattern)])
def test_every_field_of_an_ack_manifest_is_known_here(path: str) -> None:
    assert node_at(SPEC, path) is not None
