"""status.defaults and the condition FieldsIgnored: what the platform filled in, and what it makes nothing of."""

from __future__ import annotations

import pytest

from tests.support import objects as o
from tests.support import specs
from tests.unit.controller.test_transitions import after, live, step
from trainyard.api.status import JobStatus
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.controller.core.announce import announcements
from trainyard.controller.core.defaults import defaults
from trainyard.controller.core.warnings import warnings


def spec(**patch: object) -> TrainingJobSpec:
    return TrainingJobSpec.model_validate(specs.patched(specs.MINIMAL, patch))


def ignored(status: JobStatus) -> str | None:
    return next((found.message for found in status.conditions if found.type == "FieldsIgnored"), None)


def test_all_that_a_minimal_spec_leaves_out_is_listed_as_describe_echoes_it() -> None:
    assert defaults(spec(inputDataConfig=[specs.channel()])) == {
        "algorithmSpecification.trainingInputMode": "File",
        "inputDataConfig[train].dataSource.s3DataSource.s3DataType": "S3Prefix",
        "inputDataConfig[train].dataSource.s3DataSource.s3DataDistributionType": "FullyReplicated",
        "inputDataConfig[train].compressionType": "None",
        "inputDataConfig[train].recordWrapperType": "None",
        "outputDataConfig.kmsKeyID": "",
        "outputDataConfig.compressionType": "GZIP",
        "resourceConfig.instanceCount": 1,
        "resourceConfig.volumeSizeInGB": 30,
        "stoppingCondition.maxRuntimeInSeconds": 86400,
        "enableManagedSpotTraining": False,
        "enableNetworkIsolation": False,
        "enableInterContainerTrafficEncryption": False,
    }


def test_what_the_spec_says_is_no_default_though_it_is_the_same_value() -> None:
    said = spec(
        resourceConfig={"instanceCount": 1, "volumeSizeInGB": 30}, stoppingCondition={"maxRuntimeInSeconds": 86400}
    )
    assert not [path for path in defaults(said) if path.startswith(("resourceConfig", "stoppingCondition"))]


def test_the_status_has_the_defaults_from_the_first_write_and_keeps_them() -> None:
    status = live(o.job(), [[o.starting()]])
    assert status.defaults["stoppingCondition.maxRuntimeInSeconds"] == 86400
    over = after(o.job(), live(o.job(), [[o.starting()], [o.over()]]))
    assert over.status.defaults == status.defaults


@pytest.mark.parametrize(
    ("patch", "fields"),
    [
        ({}, []),
        ({"vpcConfig": specs.VPC}, ["vpcConfig"]),
        ({"remoteDebugConfig": {"enableRemoteDebug": False}}, []),
        ({"remoteDebugConfig": {"enableRemoteDebug": True}}, ["remoteDebugConfig"]),
        ({"profilerConfig": {"disableProfiler": True}}, []),
        (
            {"profilerConfig": {"disableProfiler": False, "profilingIntervalInMilliseconds": 500}},
            ["profilerConfig.profilingIntervalInMilliseconds"],
        ),
        ({"debugHookConfig": {"s3OutputPath": "s3://b/x"}}, []),
        ({"debugRuleConfigurations": []}, []),
        ({"resourceConfig": {"volumeKMSKeyID": "", "keepAlivePeriodInSeconds": 0}}, []),
        (
            {"resourceConfig": {"volumeKMSKeyID": "alias/x", "keepAlivePeriodInSeconds": 60}},
            ["resourceConfig.volumeKMSKeyID", "resourceConfig.keepAlivePeriodInSeconds"],
        ),
        (
            {
                "inputDataConfig": [
                    specs.channel(name, source={"modelAccessConfig": {"acceptEula": True}}) for name in "ab"
                ]
            },
            ["inputDataConfig[].dataSource.s3DataSource.modelAccessConfig"],
        ),
        (
            {"inputDataConfig": [specs.channel(shuffleConfig={"seed": 0}, inputMode="Pipe")]},
            [],
        ),
        ({"tags": [{"key": "a", "value": "b"}], "experimentConfig": {"runName": "a"}}, []),
    ],
)
def test_fields_that_ask_for_what_only_aws_has_are_named_once(patch: specs.Spec, fields: list[str]) -> None:
    assert [field for field, _ in warnings(spec(**patch))] == fields


def test_a_job_without_such_fields_has_no_such_condition() -> None:
    assert ignored(live(o.job(), [[o.starting()]])) is None


def test_ignored_fields_are_a_condition_to_the_end_and_one_event() -> None:
    job = o.job(vpcConfig=specs.VPC)
    status = live(job, [[o.starting()]])
    said = ignored(status)
    assert said is not None
    assert said.startswith("vpcConfig: pods run in the cluster's network")
    assert ("Warning", "FieldsIgnored") in [(event.kind, event.reason) for event in announcements(job, status)]
    later = after(job, status)
    over = step(o.snapshot(later, [o.over()]))
    assert ignored(over) == said
    assert "FieldsIgnored" not in [event.reason for event in announcements(later, over)]
