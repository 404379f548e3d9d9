"""The names of a request and of a manifest are one another's, for every name that SageMaker's API has."""

from __future__ import annotations

import pytest

from tests.support import contract
from trainyard.api import casing

NAMES = sorted(
    {name for shape in (contract.REQUEST, contract.DESCRIBED) for path in contract.fields(shape) for name in path}
)

# From the TrainingJob that the AWS controller for SageMaker installs: all of its names that hold an abbreviation.
ACK = {
    "RoleArn": "roleARN",
    "TrainingJobName": "trainingJobName",
    "EnableSageMakerMetricsTimeSeries": "enableSageMakerMetricsTimeSeries",
    "S3Uri": "s3URI",
    "S3OutputPath": "s3OutputPath",
    "S3DataSource": "s3DataSource",
    "FileSystemId": "fileSystemID",
    "KmsKeyId": "kmsKeyID",
    "VolumeKmsKeyId": "volumeKMSKeyID",
    "VolumeSizeInGB": "volumeSizeInGB",
    "VpcConfig": "vpcConfig",
    "SecurityGroupIds": "securityGroupIDs",
    "HubContentArn": "hubContentARN",
    "UltraServerId": "ultraServerID",
    "RuleEvaluationJobArn": "ruleEvaluationJobARN",
    "TensorBoardOutputConfig": "tensorBoardOutputConfig",
    "EnableInterContainerTrafficEncryption": "enableInterContainerTrafficEncryption",
}


@pytest.mark.parametrize(("aws", "manifest"), ACK.items())
def test_names_are_those_of_the_aws_controller(aws: str, manifest: str) -> None:
    assert casing.to_manifest_name(aws) == manifest


def test_every_name_of_the_api_comes_back() -> None:
    assert len(NAMES) > 150
    changed = [name for name in NAMES if casing.to_aws_name(casing.to_manifest_name(name)) != name]
    assert changed == []


def test_no_two_names_of_the_api_become_one() -> None:
    assert len({casing.to_manifest_name(name) for name in NAMES}) == len(NAMES)


def test_the_maps_with_keys_of_the_users_are_known() -> None:
    assert set(contract.maps(contract.REQUEST)) == casing.USER_KEYED


@pytest.mark.parametrize("name", ["", "x", "S3", "ID", "É", "a b", "-", "Uri", "URIs"])
def test_a_name_that_follows_no_rule_is_no_accident(name: str) -> None:
    assert isinstance(casing.to_aws_name(casing.to_manifest_name(name)), str)


def test_keys_of_the_users_are_never_touched() -> None:
    request = {
        "HyperParameters": {"S3Uri": "RoleArn", "s3URI": ""},
        "DebugHookConfig": {"CollectionConfigurations": [{"CollectionParameters": {"KmsKeyId": "1"}}]},
    }
    manifest = {
        "hyperParameters": {"S3Uri": "RoleArn", "s3URI": ""},
        "debugHookConfig": {"collectionConfigurations": [{"collectionParameters": {"KmsKeyId": "1"}}]},
    }
    assert casing.to_manifest(request) == manifest
    assert casing.to_aws(manifest) == request


def test_two_names_that_would_become_one_are_an_error() -> None:
    with pytest.raises(ValueError, match="S3URI and another field would both become s3URI"):
        casing.to_manifest({"S3Uri": "s3://a", "S3URI": "s3://b"})
