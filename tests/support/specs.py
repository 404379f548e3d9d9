"""Specs for the contract: one that says as little as possible, patches of it, and the rules between fields with a case each."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]

MINIMAL: Spec = {
    "algorithmSpecification": {"trainingImage": "registry.example.com/image:1"},
    "outputDataConfig": {"s3OutputPath": "s3://bucket/out"},
    "resourceConfig": {"instanceType": "ml.m5.xlarge"},
}
FILES = {
    "fileSystemID": "fs-0123456789abcdef0",
    "fileSystemAccessMode": "ro",
    "fileSystemType": "EFS",
    "directoryPath": "/data",
}
VPC = {"securityGroupIDs": ["sg-1"], "subnets": ["subnet-1"]}
GROUPS = [{"instanceGroupName": "workers", "instanceType": "ml.m5.xlarge", "instanceCount": 2}]


def patched(spec: Spec, patch: Spec) -> Spec:
    """A copy of `spec` with `patch` merged into it; None removes."""
    merged = copy.deepcopy(spec)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = patched(merged[name], value)
        else:
            merged[name] = copy.deepcopy(value)
    return merged


def channel(name: str = "train", *, source: Spec | None = None, **more: Any) -> Spec:
    """`source` and `more` are fields of s3DataSource and of the channel."""
    s3 = {"s3URI": "s3://bucket/train"} | (source or {})
    return {"channelName": name, "dataSource": {"s3DataSource": s3}} | more


@dataclass(frozen=True)
class Case:
    """`valid` and `invalid` patch MINIMAL; `says` is in the answer to the invalid one, and never in that to the valid one."""

    says: str
    valid: Spec
    invalid: Spec


def _channels(*channels: Spec, **more: Any) -> Spec:
    return {"inputDataConfig": list(channels)} | more


def _files(directory: str, **more: Any) -> Spec:
    return channel(dataSource={"fileSystemDataSource": FILES | {"directoryPath": directory} | more})


_AUGMENTED = {"s3DataType": "AugmentedManifestFile", "attributeNames": ["source-ref"]}
_NO_TYPE = {"instanceType": None}

# By the number of the rule; what is not supported yet is valid if nothing else is said against it.
CASES: dict[str, Case] = {
    "1 an image or an algorithm, not both": Case(
        "exactly one of algorithmSpecification.trainingImage",
        {"algorithmSpecification": {"trainingImage": None, "algorithmName": "xgboost"}},
        {"algorithmSpecification": {"algorithmName": "xgboost"}},
    ),
    "1 an image or an algorithm, not neither": Case(
        "exactly one of algorithmSpecification.trainingImage",
        {},
        {"algorithmSpecification": {"trainingImage": None}},
    ),
    "2 a type, groups or preferences": Case(
        "exactly one of resourceConfig.instanceType",
        {"resourceConfig": _NO_TYPE | {"instanceGroups": GROUPS}},
        {"resourceConfig": {"instanceGroups": GROUPS}},
    ),
    "2 none of them": Case(
        "exactly one of resourceConfig.instanceType",
        {"resourceConfig": _NO_TYPE | {"instancePreferences": [{"instanceType": "ml.m5.large", "instanceCount": 1}]}},
        {"resourceConfig": _NO_TYPE},
    ),
    "2 a count belongs to a type": Case(
        "resourceConfig.instanceCount goes with instanceType",
        {"resourceConfig": {"instanceCount": 2}},
        {"resourceConfig": _NO_TYPE | {"instanceGroups": GROUPS, "instanceCount": 2}},
    ),
    "2 preferences are counted once": Case(
        "in each of resourceConfig.instancePreferences, or once",
        {"resourceConfig": _NO_TYPE | {"instancePreferences": [{"instanceType": "ml.m5.large"}], "instanceCount": 1}},
        {"resourceConfig": _NO_TYPE | {"instancePreferences": [{"instanceType": "ml.m5.large"}]}},
    ),
    "3 spot needs a wait": Case(
        "enableManagedSpotTraining needs stoppingCondition.maxWaitTimeInSeconds",
        {"enableManagedSpotTraining": True, "stoppingCondition": {"maxWaitTimeInSeconds": 86400}},
        {"enableManagedSpotTraining": True},
    ),
    "3 a wait is at least the runtime": Case(
        "must be at least stoppingCondition.maxRuntimeInSeconds",
        {
            "enableManagedSpotTraining": True,
            "stoppingCondition": {"maxRuntimeInSeconds": 60, "maxWaitTimeInSeconds": 60},
        },
        {
            "enableManagedSpotTraining": True,
            "stoppingCondition": {"maxRuntimeInSeconds": 60, "maxWaitTimeInSeconds": 59},
        },
    ),
    "3 a wait is at least the default runtime": Case(
        "must be at least stoppingCondition.maxRuntimeInSeconds",
        {"enableManagedSpotTraining": True, "stoppingCondition": {"maxWaitTimeInSeconds": 86400}},
        {"enableManagedSpotTraining": True, "stoppingCondition": {"maxWaitTimeInSeconds": 86399}},
    ),
    "3 a wait needs spot": Case(
        "maxWaitTimeInSeconds goes with enableManagedSpotTraining",
        {"stoppingCondition": {"maxPendingTimeInSeconds": 1800}},
        {"stoppingCondition": {"maxWaitTimeInSeconds": 86400}},
    ),
    "4 augmented manifests are piped": Case(
        "AugmentedManifestFile needs Pipe mode",
        _channels(channel(source=_AUGMENTED, inputMode="Pipe")),
        _channels(channel(source=_AUGMENTED)),
    ),
    "4 the job's own mode counts too": Case(
        "AugmentedManifestFile needs Pipe mode",
        _channels(channel(source=_AUGMENTED), algorithmSpecification={"trainingInputMode": "Pipe"}),
        _channels(channel(source=_AUGMENTED), algorithmSpecification={"trainingInputMode": "FastFile"}),
    ),
    "4 augmented manifests need attributes": Case(
        "AugmentedManifestFile needs attributeNames",
        _channels(channel(source=_AUGMENTED, inputMode="Pipe")),
        _channels(channel(source=_AUGMENTED | {"attributeNames": []}, inputMode="Pipe")),
    ),
    "4 attributes are those of augmented manifests": Case(
        "attributeNames belongs to s3DataType AugmentedManifestFile",
        _channels(channel(source={"attributeNames": []})),
        _channels(channel(source={"attributeNames": ["class"]})),
    ),
    "5 FastFile is for prefixes": Case(
        "FastFile mode needs s3DataType S3Prefix",
        _channels(channel(inputMode="FastFile")),
        _channels(channel(source={"s3DataType": "ManifestFile"}, inputMode="FastFile")),
    ),
    "6 file systems are for File mode": Case(
        "fileSystemDataSource needs File mode",
        _channels(channel(dataSource={"fileSystemDataSource": FILES}), vpcConfig=VPC),
        _channels(channel(dataSource={"fileSystemDataSource": FILES}, inputMode="Pipe"), vpcConfig=VPC),
    ),
    "6 file systems are in a VPC": Case(
        "fileSystemDataSource needs vpcConfig",
        _channels(channel(dataSource={"fileSystemDataSource": FILES}), vpcConfig=VPC),
        _channels(channel(dataSource={"fileSystemDataSource": FILES})),
    ),
    "6 a directory is reached without going up": Case(
        "write it without '..'",
        _channels(_files("/a/..b/c.."), vpcConfig=VPC),
        _channels(_files("/a/../b"), vpcConfig=VPC),
    ),
    "6 Lustre has a mount name": Case(
        "begins with its mount name",
        _channels(_files("/fsx", fileSystemType="FSxLustre"), vpcConfig=VPC),
        _channels(_files("//", fileSystemType="FSxLustre"), vpcConfig=VPC),
    ),
    "6 EFS has a root": Case(
        "write it without '..'",
        _channels(_files("/"), vpcConfig=VPC),
        _channels(_files("/.."), vpcConfig=VPC),
    ),
    "6 one source per channel": Case(
        "exactly one of dataSource.s3DataSource",
        _channels(channel()),
        _channels(channel(dataSource={})),
    ),
    "7 Gzip is for pipes": Case(
        "compressionType Gzip needs Pipe mode",
        _channels(channel(compressionType="Gzip", inputMode="Pipe")),
        _channels(channel(compressionType="Gzip")),
    ),
    "7 RecordIO is for pipes": Case(
        "recordWrapperType RecordIO needs Pipe mode",
        _channels(channel(recordWrapperType="RecordIO", inputMode="Pipe")),
        _channels(channel(recordWrapperType="RecordIO")),
    ),
    "7 None is for all": Case(
        "needs Pipe mode",
        _channels(channel(compressionType="None", recordWrapperType="None", inputMode="File")),
        _channels(channel(compressionType="Gzip", inputMode="FastFile")),
    ),
    "9 groups of a channel exist": Case(
        "instanceGroupNames must be names of resourceConfig.instanceGroups",
        _channels(
            channel(source={"instanceGroupNames": ["workers"]}),
            resourceConfig=_NO_TYPE | {"instanceGroups": GROUPS},
        ),
        _channels(
            channel(source={"instanceGroupNames": ["others"]}),
            resourceConfig=_NO_TYPE | {"instanceGroups": GROUPS},
        ),
    ),
    "9 without groups there are none": Case(
        "instanceGroupNames must be names of resourceConfig.instanceGroups",
        _channels(channel(source={"instanceGroupNames": []})),
        _channels(channel(source={"instanceGroupNames": ["workers"]})),
    ),
    "10 warm pools are not for spot": Case(
        "keepAlivePeriodInSeconds does not go with enableManagedSpotTraining",
        {"resourceConfig": {"keepAlivePeriodInSeconds": 600}},
        {
            "resourceConfig": {"keepAlivePeriodInSeconds": 600},
            "enableManagedSpotTraining": True,
            "stoppingCondition": {"maxWaitTimeInSeconds": 86400},
        },
    ),
    "10 warm pools are not for groups": Case(
        "keepAlivePeriodInSeconds does not go with resourceConfig.instanceGroups",
        {"resourceConfig": _NO_TYPE | {"instanceGroups": GROUPS, "keepAlivePeriodInSeconds": 0}},
        {"resourceConfig": _NO_TYPE | {"instanceGroups": GROUPS, "keepAlivePeriodInSeconds": 600}},
    ),
    "10 preferences are not for spot": Case(
        "instancePreferences does not go with enableManagedSpotTraining",
        {"resourceConfig": _NO_TYPE | {"instancePreferences": [{"instanceType": "ml.m5.large", "instanceCount": 1}]}},
        {
            "resourceConfig": _NO_TYPE
            | {"instancePreferences": [{"instanceType": "ml.m5.large", "instanceCount": 1}]},
            "enableManagedSpotTraining": True,
            "stoppingCondition": {"maxWaitTimeInSeconds": 86400},
        },
    ),
    "11 checkpoints have a directory of their own": Case(
        "localPath must be a full path",
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/opt/ml/checkpoints"}},
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/opt/ml/model/ck"}},
    ),
    "11 which is a full path": Case(
        "localPath must be a full path",
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/work/ck/"}},
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/work/../opt/ml/model"}},
    ),
    "11 which hides nothing that the image needs": Case(
        "localPath must be a full path",
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/usr/src/app/ck"}},
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/usr"}},
    ),
    "11 and can be mounted": Case(
        "without `:`",
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/work/step=1"}},
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/work/step:1"}},
    ),
    "TensorBoard's files have a directory": Case(
        "tensorBoardOutputConfig.localPath must be a full path",
        {"tensorBoardOutputConfig": {"s3OutputPath": "s3://bucket/tb", "localPath": "/opt/ml/output/tensorboard/"}},
        {"tensorBoardOutputConfig": {"s3OutputPath": "s3://bucket/tb", "localPath": "runs"}},
    ),
    "which holds nothing that a program needs to start": Case(
        "tensorBoardOutputConfig.localPath must be a full path",
        {"tensorBoardOutputConfig": {"s3OutputPath": "s3://bucket/tb", "localPath": "/usr/src/runs"}},
        {"tensorBoardOutputConfig": {"s3OutputPath": "s3://bucket/tb", "localPath": "/usr/lib/x86_64-linux-gnu"}},
    ),
    "nor anything of the agent's": Case(
        "tensorBoardOutputConfig.localPath must be a full path",
        {"tensorBoardOutputConfig": {"s3OutputPath": "s3://bucket/tb", "localPath": "/trainyard-runs"}},
        {"tensorBoardOutputConfig": {"s3OutputPath": "s3://bucket/tb", "localPath": "/trainyard/ca"}},
    ),
    "and not the place of the failure's text": Case(
        "tensorBoardOutputConfig.localPath must be a full path",
        {"tensorBoardOutputConfig": {"s3OutputPath": "s3://bucket/tb", "localPath": "/opt/ml/output/failures"}},
        {"tensorBoardOutputConfig": {"s3OutputPath": "s3://bucket/tb", "localPath": "/opt/ml/output/failure/"}},
    ),
    "in a path of one line": Case(
        "and control characters",
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/work/a b"}},
        {"checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/work/a\nb"}},
    ),
    "the debugger's tensors have one": Case(
        "debugHookConfig.localPath must be a full path",
        {"debugHookConfig": {"s3OutputPath": "s3://bucket/debug", "localPath": "/opt/ml/model/tensors"}},
        {"debugHookConfig": {"s3OutputPath": "s3://bucket/debug", "localPath": "/opt/ml/input/data"}},
    ),
}  # fmt: skip

# 8: told apart by the list's key, in other words than a rule's.
TWICE: Spec = _channels(channel("train"), channel("train"))

# As the SageMaker SDK sends a job for which nothing of the kind was asked, and DescribeTrainingJob echoes it.
ECHO: Spec = {
    "trainingJobName": "Diamonds-2026",
    "roleARN": "arn:aws:iam::123456789012:role/training",
    "inputDataConfig": [channel(compressionType="None", recordWrapperType="None", source={"s3DataType": "S3Prefix"})],
    "outputDataConfig": {"kmsKeyID": "", "compressionType": "GZIP"},
    "stoppingCondition": {"maxRuntimeInSeconds": 86400},
    "enableNetworkIsolation": False,
    "enableInterContainerTrafficEncryption": False,
    "enableManagedSpotTraining": False,
    "vpcConfig": VPC,
    "tags": [{"key": "team", "value": "forecasting"}],
    "experimentConfig": {"experimentName": "diamonds"},
    "debugHookConfig": {"s3OutputPath": "s3://bucket/debug", "collectionConfigurations": []},
    "profilerConfig": {"s3OutputPath": "s3://bucket/profile", "profilingIntervalInMilliseconds": 500},
    "profilerRuleConfigurations": [
        {
            "ruleConfigurationName": "ProfilerReport-1",
            "ruleEvaluatorImage": "registry.example.com/rules:latest",
            "ruleParameters": {"rule_to_invoke": "ProfilerReport"},
        }
    ],
    "debugRuleConfigurations": [],
    "remoteDebugConfig": {"enableRemoteDebug": False},
    "infraCheckConfig": {"enableInfraCheck": False},
    "sessionChainingConfig": {"enableSessionTagChaining": False},
}
# The fields that ECHO does not have and a job may.
REST: Spec = {
    "hyperParameters": {"eta": "0.3"},
    "environment": {"LOG_LEVEL": "debug"},
    "retryStrategy": {"maximumRetryAttempts": 1},
    "checkpointConfig": {"s3URI": "s3://bucket/ck", "localPath": "/work/ck"},
    "tensorBoardOutputConfig": {"s3OutputPath": "s3://bucket/tb", "localPath": "/opt/ml/output/tensorboard"},
}
# A change of each top field, as a merge patch.
CHANGED: Spec = {
    "algorithmSpecification": {"enableSageMakerMetricsTimeSeries": True},
    "outputDataConfig": {"s3OutputPath": "s3://bucket/other"},
    "resourceConfig": {"instanceCount": 2},
    "trainingJobName": "Other",
    "roleARN": "arn:aws:iam::123456789012:role/other",
    "inputDataConfig": [],
    "stoppingCondition": {"maxRuntimeInSeconds": 60},
    "enableNetworkIsolation": True,
    "enableInterContainerTrafficEncryption": True,
    "enableManagedSpotTraining": True,
    "vpcConfig": {"subnets": ["subnet-2"]},
    "tags": [],
    "experimentConfig": {"runName": "other"},
    "debugHookConfig": {"s3OutputPath": "s3://bucket/other"},
    "profilerConfig": {"disableProfiler": True},
    "profilerRuleConfigurations": [],
    "debugRuleConfigurations": [{"ruleConfigurationName": "a", "ruleEvaluatorImage": "b"}],
    "remoteDebugConfig": {"enableRemoteDebug": True},
    "infraCheckConfig": {"enableInfraCheck": True},
    "sessionChainingConfig": {"enableSessionTagChaining": True},
    "hyperParameters": {"eta": "0.4"},
    "environment": {"LOG_LEVEL": None},
    "retryStrategy": {"maximumRetryAttempts": 2},
    "checkpointConfig": {"localPath": None},
    "tensorBoardOutputConfig": {"localPath": "/work/tb"},
}

# What must be refused though the shape is right: path of the field -> patch.
REFUSED: dict[str, Spec] = {
    "spec.algorithmSpecification.algorithmName": {"algorithmSpecification": {"trainingImage": None, "algorithmName": "x"}},
    "spec.inputDataConfig[0].dataSource.s3DataSource.s3DataType": _channels(channel(source={"s3DataType": "Converse"})),
    "spec.inputDataConfig[0].dataSource.datasetSource": _channels(channel(dataSource={"datasetSource": {"datasetARN": "a"}})),
    "spec.resourceConfig.instanceGroups": {"resourceConfig": _NO_TYPE | {"instanceGroups": GROUPS}},
    "spec.resourceConfig.instancePreferences": {
        "resourceConfig": _NO_TYPE | {"instancePreferences": [{"instanceType": "ml.m5.large", "instanceCount": 1}]}
    },
    "spec.resourceConfig.selectedInstanceType": {"resourceConfig": {"selectedInstanceType": "ml.m5.large"}},
    "spec.resourceConfig.selectedInstanceCount": {"resourceConfig": {"selectedInstanceCount": 1}},
    "spec.enableNetworkIsolation": {"enableNetworkIsolation": True},
    "spec.enableInterContainerTrafficEncryption": {"enableInterContainerTrafficEncryption": True},
    "spec.serverlessJobConfig": {"serverlessJobConfig": {"jobType": "FineTuning"}},
    "spec.mlflowConfig": {"mlflowConfig": {"mlflowResourceARN": "arn:aws:x"}},
    "spec.modelPackageConfig": {"modelPackageConfig": {"modelPackageGroupARN": "arn:aws:x"}},
}  # fmt: skip
