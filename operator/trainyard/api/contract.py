"""What becomes of every field of SageMaker's CreateTrainingJob request and DescribeTrainingJob response: one of four classes.

Paths are SageMaker's; `manifest_path` gives ours. What a refused field answers, and what to do, stands with its rule in the
models and is what `kubectl apply` shows. Limits that differ from botocore's have their reason here in `differs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trainyard.api.casing import to_manifest_name
from trainyard.api.observation import PROFILER_PATH, TENSORBOARD_PATH, TENSORS_PATH


class Treatment(StrEnum):
    ACTED_ON = "acted on"  # changes what happens; of a response: status has it
    RECORDED = "recorded"  # kept with the job and handed on, changes nothing
    REFUSED = "refused"  # the apiserver does not accept it, or not with these values, and says why
    NO_EFFECT = "no effect"  # about AWS alone: accepted, and the condition FieldsIgnored says what it means here


@dataclass(frozen=True)
class Difference:
    """Why limits are not botocore's, and of which kinds: required, min, max, pattern, enum. All others are."""

    why: str
    kinds: frozenset[str]


@dataclass(frozen=True)
class Entry:
    """`whole`: holds for everything below as well."""

    treatment: Treatment
    note: str = ""
    differs: Difference | None = None
    whole: bool = False


def _differs(why: str, *kinds: str) -> Difference:
    return Difference(why, frozenset(kinds))


def _acted(note: str = "", differs: Difference | None = None) -> Entry:
    return Entry(Treatment.ACTED_ON, note, differs)


def _kept(note: str, differs: Difference | None = None, *, whole: bool = False) -> Entry:
    return Entry(Treatment.RECORDED, note, differs, whole)


def _refused(note: str = "", *, whole: bool = False) -> Entry:
    return Entry(Treatment.REFUSED, note, None, whole)


def _ignored(note: str, differs: Difference | None = None, *, whole: bool = False) -> Entry:
    return Entry(Treatment.NO_EFFECT, note, differs, whole)


# Of all fields: `.*` and `.+` forbid line breaks on SageMaker and nothing else. Here they are let through, length still counts.
ANY_TEXT: Final = frozenset({".*", ".+", r"[\S\s]*"})

_S3_ONLY = _differs("s3:// alone: what https:// means is nowhere documented", "pattern")
_INSTANCE_TYPES = _differs(
    "an InstanceType of the cluster instead of a list that grows with AWS's offers", "enum", "pattern", "max"
)
_FULL_PATH = "a full path without a colon, of a directory that has no other meaning"
_FOLDER = "kept in S3 while training runs, and a last time when it has ended"
_BOUND = "bounded above, as rules over it need it"
_BOUNDED = _differs(_BOUND, "max")
_RULE_TYPES = _differs(f"any name: no instance is started for it; {_BOUND}", "enum", "max")

REQUEST: Final[dict[str, Entry]] = {
    "TrainingJobName": _acted("unique in the namespace", _differs("optional: metadata.name if left out", "required")),
    "HyperParameters": _acted("hyperparameters.json, byte for byte"),
    "RoleArn": _acted(
        "names an ExecutionRole of the namespace",
        _differs("optional: the ExecutionRole `default` if left out", "required"),
    ),
    "AlgorithmSpecification": _acted(
        "", _differs("required: only jobs without servers of one's own lack it", "required")
    ),
    "AlgorithmSpecification.TrainingImage": _acted(
        "", _differs("not empty and no spaces: no node could pull it", "min", "pattern")
    ),
    "AlgorithmSpecification.AlgorithmName": _refused(),
    "AlgorithmSpecification.TrainingInputMode": _acted("", _differs("optional: File if left out", "required")),
    "AlgorithmSpecification.MetricDefinitions": _acted("read from the log lines of all hosts"),
    "AlgorithmSpecification.MetricDefinitions[].Name": _acted(),
    "AlgorithmSpecification.MetricDefinitions[].Regex": _acted(),
    "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries": _kept(
        "the operator's metrics endpoint has the values either way"
    ),
    "AlgorithmSpecification.ContainerEntrypoint": _acted("`command` of the training container"),
    "AlgorithmSpecification.ContainerArguments": _acted("`args` of the training container"),
    "AlgorithmSpecification.TrainingImageConfig": _ignored(
        "the node pulls the image; give credentials of a private registry as imagePullSecrets of the role's service account",
        whole=True,
    ),
    "InputDataConfig": _acted("", _differs("may be empty: a job may have no channel", "min")),
    "InputDataConfig[].ChannelName": _acted("a directory below /opt/ml/input/data; `.` and `..` are refused"),
    "InputDataConfig[].DataSource": _acted(),
    "InputDataConfig[].DataSource.S3DataSource": _acted(),
    "InputDataConfig[].DataSource.S3DataSource.S3DataType": _acted(
        "", _differs("optional: S3Prefix if left out", "required")
    ),
    "InputDataConfig[].DataSource.S3DataSource.S3Uri": _acted("", _S3_ONLY),
    "InputDataConfig[].DataSource.S3DataSource.S3DataDistributionType": _acted(),
    "InputDataConfig[].DataSource.S3DataSource.AttributeNames": _acted(),
    "InputDataConfig[].DataSource.S3DataSource.InstanceGroupNames": _acted(
        "hosts of other groups do not see the channel"
    ),
    "InputDataConfig[].DataSource.S3DataSource.ModelAccessConfig": _ignored(
        "nobody asks for consent to a licence", whole=True
    ),
    "InputDataConfig[].DataSource.S3DataSource.HubAccessConfig": _ignored(
        "AWS's hub cannot be reached; the data is read from s3URI", whole=True
    ),
    "InputDataConfig[].DataSource.FileSystemDataSource": _acted("a PersistentVolumeClaim of the namespace, mounted"),
    "InputDataConfig[].DataSource.FileSystemDataSource.FileSystemId": _acted(
        "names a claim by the ExecutionRole's fileSystems or by the label trainyard.dev/file-system-id"
    ),
    "InputDataConfig[].DataSource.FileSystemDataSource.FileSystemAccessMode": _acted("ro or rw"),
    "InputDataConfig[].DataSource.FileSystemDataSource.FileSystemType": _acted(
        "of FSxLustre the path's first part is the mount name"
    ),
    "InputDataConfig[].DataSource.FileSystemDataSource.DirectoryPath": _acted(
        "a directory that exists", _differs("a full path without `..` and control characters", "pattern")
    ),
    "InputDataConfig[].DataSource.DatasetSource": _refused(whole=True),
    "InputDataConfig[].ContentType": _acted("inputdataconfig.json"),
    "InputDataConfig[].CompressionType": _acted("Gzip in Pipe mode only"),
    "InputDataConfig[].RecordWrapperType": _acted("RecordIO in Pipe mode only"),
    "InputDataConfig[].InputMode": _acted(
        "FastFile is served by copies that cannot be written to, or by a volume that the ExecutionRole names"
    ),
    "InputDataConfig[].ShuffleConfig": _acted("in Pipe mode; files have no order, so it acts on nothing in File mode"),
    "InputDataConfig[].ShuffleConfig.Seed": _acted(),
    "OutputDataConfig": _acted(),
    "OutputDataConfig.S3OutputPath": _acted("", _S3_ONLY),
    "OutputDataConfig.KmsKeyId": _acted("all that the job writes but checkpoints; an empty one is none"),
    "OutputDataConfig.CompressionType": _acted(),
    "ResourceConfig": _acted("", _differs("required: only jobs without servers of one's own lack it", "required")),
    "ResourceConfig.InstanceType": _acted("", _INSTANCE_TYPES),
    "ResourceConfig.InstanceCount": _acted(
        "one pod each", _differs("1 to 1000: no job runs on no instance", "min", "max")
    ),
    "ResourceConfig.VolumeSizeInGB": _acted(
        "", _differs("1 to 16384 GiB: nothing fits on no volume, and no volume of AWS is larger", "min", "max")
    ),
    "ResourceConfig.VolumeKmsKeyId": _ignored(
        "the storage volume is on the node's disk, whose encryption is the cluster's matter"
    ),
    "ResourceConfig.KeepAlivePeriodInSeconds": _ignored(
        "no instance is kept for a next job; nodes are the cluster's, and stay"
    ),
    "ResourceConfig.InstanceGroups": _refused("an empty list is accepted", whole=True),
    "ResourceConfig.InstancePreferences": _refused(whole=True),
    "ResourceConfig.TrainingPlanArn": _ignored("capacity reserved on AWS is not used; nodes are the cluster's"),
    "ResourceConfig.InstancePlacementConfig": _ignored(
        "AWS's UltraServers are not there; the scheduler places pods", _BOUNDED, whole=True
    ),
    "ResourceConfig.SelectedInstanceType": _refused(),
    "ResourceConfig.SelectedInstanceCount": _refused(),
    "VpcConfig": _ignored(
        "pods run in the cluster's network, not in this VPC; NetworkPolicies restrict them", whole=True
    ),
    "StoppingCondition": _acted(),
    "StoppingCondition.MaxRuntimeInSeconds": _acted(
        "counts from trainingStartTime", _differs("at most 28 days, SageMaker's quota", "max")
    ),
    "StoppingCondition.MaxWaitTimeInSeconds": _acted(
        "counts from the job's creation", _differs(f"{_BOUND}: 60 days", "max")
    ),
    "StoppingCondition.MaxPendingTimeInSeconds": _acted(
        "for each attempt: from the job's creation, or from attemptStartTime"
    ),
    "Tags": _kept("kept in the spec"),
    "Tags[].Key": _kept("kept in the spec"),
    "Tags[].Value": _kept("kept in the spec"),
    "EnableNetworkIsolation": _refused("false is accepted"),
    "EnableInterContainerTrafficEncryption": _refused("false is accepted"),
    "EnableManagedSpotTraining": _acted("a job that the cluster interrupts is started again"),
    "CheckpointConfig": _acted("restored on every host before training, kept in S3 during it"),
    "CheckpointConfig.S3Uri": _acted("a folder: objects below it, and none beside it", _S3_ONLY),
    "CheckpointConfig.LocalPath": _acted("a full path without a colon, of a directory that has no other meaning"),
    "TensorBoardOutputConfig": _acted("tensorboardoutputconfig.json"),
    "TensorBoardOutputConfig.LocalPath": _acted(f"{_FOLDER}; {TENSORBOARD_PATH} if left out; {_FULL_PATH}"),
    "TensorBoardOutputConfig.S3OutputPath": _acted("", _S3_ONLY),
    "ExperimentConfig": _kept("kept in the spec", whole=True),
    "DebugHookConfig": _acted("debughookconfig.json, by which the hook of an image sets itself up"),
    "DebugHookConfig.LocalPath": _acted(f"{_FOLDER}; {TENSORS_PATH} if left out; {_FULL_PATH}"),
    "DebugHookConfig.S3OutputPath": _acted("", _S3_ONLY),
    "DebugHookConfig.HookParameters": _acted("debughookconfig.json"),
    "DebugHookConfig.CollectionConfigurations": _acted("debughookconfig.json"),
    "DebugHookConfig.CollectionConfigurations[].CollectionName": _acted("debughookconfig.json"),
    "DebugHookConfig.CollectionConfigurations[].CollectionParameters": _acted("debughookconfig.json"),
    "DebugRuleConfigurations": _ignored("no debugger rule is evaluated", _RULE_TYPES, whole=True),
    "ProfilerConfig": _acted("profilerconfig.json"),
    "ProfilerConfig.S3OutputPath": _acted(f"{_FOLDER}, {PROFILER_PATH}", _S3_ONLY),
    "ProfilerConfig.ProfilingIntervalInMilliseconds": _ignored(
        "the profiler does not measure the instances; the cluster's monitoring does", _BOUNDED
    ),
    "ProfilerConfig.ProfilingParameters": _acted("profilerconfig.json, for a library in the image that profiles"),
    "ProfilerConfig.DisableProfiler": _acted("with true nothing is uploaded"),
    "ProfilerRuleConfigurations": _ignored("no profiler rule is evaluated", _RULE_TYPES, whole=True),
    "Environment": _acted("environment variables of the training container"),
    "RetryStrategy": _acted(),
    "RetryStrategy.MaximumRetryAttempts": _acted("after InternalServerError alone"),
    "RemoteDebugConfig": _ignored("AWS gives no shell in these containers; use `kubectl exec`", whole=True),
    "InfraCheckConfig": _ignored(
        "nodes are not checked before training; the cluster watches over their health", whole=True
    ),
    "SessionChainingConfig": _ignored("there is no session of AWS whose tags could be passed on", whole=True),
    "ServerlessJobConfig": _refused(whole=True),
    "MlflowConfig": _refused(whole=True),
    "ModelPackageConfig": _refused(whole=True),
}

_WATCHED = "nothing evaluates rules, so it is never there"

# Of DescribeTrainingJob what is not an echo of the request. Limits do not apply: the operator alone writes it, and keeps to them.
RESPONSE: Final[dict[str, Entry]] = {
    "TrainingJobArn": _acted("built from the role's region and account"),
    "ModelArtifacts": _acted(),
    "ModelArtifacts.S3ModelArtifacts": _acted(),
    "TrainingJobStatus": _acted("without Deleting: a resource that is being deleted has a deletionTimestamp"),
    "SecondaryStatus": _acted(
        "never LaunchingMLInstances, PreparingTrainingStack and DownloadingTrainingImage, which SageMaker has retired, nor"
        " Updating and Restarting, which it does not document: a job that starts again is Starting"
    ),
    "FailureReason": _acted(),
    "CreationTime": _acted(),
    "TrainingStartTime": _acted(),
    "TrainingEndTime": _acted(),
    "LastModifiedTime": _acted(),
    "SecondaryStatusTransitions": _acted(),
    "SecondaryStatusTransitions[].Status": _acted(),
    "SecondaryStatusTransitions[].StartTime": _acted(),
    "SecondaryStatusTransitions[].EndTime": _acted(),
    "SecondaryStatusTransitions[].StatusMessage": _acted(),
    "FinalMetricDataList": _acted(),
    "FinalMetricDataList[].MetricName": _acted(),
    "FinalMetricDataList[].Value": _acted(),
    "FinalMetricDataList[].Timestamp": _acted(),
    "TrainingTimeInSeconds": _acted(),
    "BillableTimeInSeconds": _acted(),
    "WarmPoolStatus": _ignored("no instance is kept, so it is never there", whole=True),
    "TuningJobArn": _ignored("no tuning job of AWS makes these jobs, so it is never there"),
    "LabelingJobArn": _ignored("no labeling job of AWS makes these jobs, so it is never there"),
    "AutoMLJobArn": _ignored("no AutoML job of AWS makes these jobs, so it is never there"),
    "DebugRuleEvaluationStatuses": _ignored(_WATCHED, whole=True),
    "ProfilerRuleEvaluationStatuses": _ignored(_WATCHED, whole=True),
    "ProfilingStatus": _ignored("the profiler does not run, so it is never there"),
    "BillableTokenCount": _ignored("of fine-tuning as a service, so it is never there"),
    "MlflowDetails": _ignored("of AWS's MLflow, so it is never there", whole=True),
    "ProgressInfo": _ignored("of fine-tuning as a service, so it is never there", whole=True),
    "OutputModelPackageArn": _ignored("of fine-tuning as a service, so it is never there"),
}  # fmt: skip


def find(path: str) -> Entry | None:
    """The entry of a field by SageMaker's path, or of the nearest field above that stands for all below it."""
    known = REQUEST | RESPONSE
    if path in known:
        return known[path]
    while "." in path:
        path = path.rpartition(".")[0].removesuffix("[]")
        if (entry := known.get(path)) is not None:
            return entry if entry.whole else None
    return None


def manifest_path(path: str) -> str:
    """`InputDataConfig[].DataSource` -> `inputDataConfig[].dataSource`."""
    parts = (part.partition("[]") for part in path.split("."))
    return ".".join(to_manifest_name(name) + brackets for name, brackets, _ in parts)
