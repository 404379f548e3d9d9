"""What DescribeTrainingJob adds to the request, and Kubernetes' conditions: the status of a TrainingJob."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field

from trainyard.api.base import DNS_SUBDOMAIN, Model, Size

# Whoever may write a status may write nonsense into it. What passes these limits is safe to count and to name objects with.
Time = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC))]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
HOST_NAME: Final = r"^algo-[1-9][0-9]*$"


class TrainingJobStatus(StrEnum):
    """The primary status, as DescribeTrainingJob has it."""

    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


TERMINAL = frozenset({TrainingJobStatus.COMPLETED, TrainingJobStatus.FAILED, TrainingJobStatus.STOPPED})


class SecondaryStatus(StrEnum):
    """Where in its life a job is, as DescribeTrainingJob has it; retired values are left out."""

    PENDING = "Pending"
    STARTING = "Starting"
    DOWNLOADING = "Downloading"
    TRAINING = "Training"
    UPLOADING = "Uploading"
    INTERRUPTED = "Interrupted"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"
    MAX_WAIT_TIME_EXCEEDED = "MaxWaitTimeExceeded"
    COMPLETED = "Completed"
    FAILED = "Failed"


class Transition(Model):
    """One stretch of a job's life; contiguous with the next one."""

    status: str = Field(description="Secondary status during it.", examples=["Training"])
    start_time: Time = Field(description="When it began, from the pods' evidence.", examples=["2026-11-23T12:01:30Z"])
    end_time: Time | None = Field(
        default=None, description="When it ended: the next one's startTime.", examples=["2026-11-23T12:31:30Z"]
    )
    status_message: str = Field(description="What happened in it.", examples=["Downloading input data"])


class Condition(Model):
    """A condition as Kubernetes' metav1.Condition."""

    type: str = Field(
        max_length=316,
        description="Accepted, Ready, Reconciling, Stalled, Suspended, DataReady, ArtifactsUploaded, Complete, Failed, Finished or"
        " FieldsIgnored; of a job with checkpointConfig also CheckpointsKept, with metricDefinitions MetricsRead and LogLinesLost.",
        examples=["Ready"],
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds: True, False or Unknown.")
    observed_generation: Size = Field(
        default=0, description="The spec's generation that this speaks of, a number without unit.", examples=[1]
    )
    last_transition_time: Time = Field(description="When `status` last changed.", examples=["2026-11-23T12:01:30Z"])
    reason: str = Field(max_length=1024, description="Why, in one word.", examples=["UploadBlocked"])
    message: str = Field(
        default="",
        max_length=32768,
        description="What is so, where, and what to do.",
        examples=["Training in progress"],
    )


class ModelArtifacts(Model):
    """The result."""

    s3_model_artifacts: str = Field(
        description="URI of model.tar.gz; named also if the program wrote no model.",
        examples=["s3://models/diamonds/Diamonds-2026-11-23/output/model.tar.gz"],
    )


class MetricData(Model):
    """The latest value of one metric."""

    metric_name: str = Field(description="Name of the metric definition.", examples=["validation:rmse"])
    value: float = Field(description="The last value that a log line had.", examples=[0.125])
    timestamp: Time = Field(description="When that line was written.", examples=["2026-11-23T12:31:20Z"])


class AttemptRecord(Model):
    """An attempt that is over, after which the job was started again."""

    attempt: Number = Field(description="Its number, from 1, without unit.", examples=[1])
    start_time: Time | None = Field(
        default=None,
        description="When its downloads began, image or data; absent if they never did.",
        examples=["2026-11-23T12:01:00Z"],
    )
    end_time: Time = Field(description="When it ended.", examples=["2026-11-23T12:12:40Z"])
    reason: str = Field(
        pattern="^(Retrying|Interrupted|Suspended)$",
        description="Retrying, Interrupted or Suspended.",
        examples=["Retrying"],
    )
    message: str = Field(
        max_length=1024,
        description="What happened, and where.",
        examples=["InternalServerError: host algo-2 was lost: its node was drained"],
    )


class ChannelStatus(Model):
    """How the data of one channel reaches the program."""

    channel_name: str = Field(
        pattern=r"^[A-Za-z0-9\.\-_]+$", max_length=64, description="Name of the channel.", examples=["train"]
    )
    input_mode: Literal["Pipe", "File", "FastFile"] = Field(
        description="The mode that holds for it: Pipe, File or FastFile."
    )
    served_by: Literal["Staging", "Stream", "Volume"] = Field(
        description="Staging: copied to each host before training starts; of a FastFile channel nothing can be written to the"
        " copy. Stream: written into FIFOs while training reads them. Volume: mounted from a PersistentVolumeClaim."
    )
    claim_name: str | None = Field(
        default=None,
        max_length=253,
        description="The PersistentVolumeClaim, of a channel that a volume serves.",
        examples=["datasets"],
    )


class Choices(Model):
    """What the job's annotations chose when its first pods were recorded; all later attempts keep to it."""

    sharding: Literal["objects", "bytes"] = Field(description="Annotation trainyard.dev/sharding: objects or bytes.")
    manifest_paths: Literal["relative", "key"] = Field(
        description="Annotation trainyard.dev/manifest-paths: relative or key."
    )


class HostStatus(Model):
    """One ML compute instance: its pod and its share of the input."""

    name: str = Field(pattern=HOST_NAME, max_length=15, description="algo-<n>.", examples=["algo-1"])
    pod: str = Field(
        pattern=DNS_SUBDOMAIN, max_length=253, description="Name of its pod.", examples=["diamonds-1-algo-1"]
    )
    node: str | None = Field(default=None, description="Node it runs on.", examples=["worker-3"])
    objects: Size | None = Field(
        default=None, description="Input objects of its share that are on it.", examples=[1200]
    )
    bytes: Size | None = Field(default=None, description="Their bytes together.", examples=[73400320])
    exit_code: int | None = Field(
        default=None,
        ge=-(2**31),
        le=2**31 - 1,
        description="Exit code of its training container, a number without unit.",
        examples=[0],
    )
    last_log_time: Time | None = Field(
        default=None,
        description="Time of the last line of its log that finalMetricDataList accounts for.",
        examples=["2026-11-23T12:31:20Z"],
    )


class JobStatus(Model):
    """What DescribeTrainingJob adds to the request, and conditions."""

    training_job_status: TrainingJobStatus | None = Field(
        default=None, description="InProgress, Completed, Failed, Stopping or Stopped."
    )
    secondary_status: SecondaryStatus | None = Field(
        default=None,
        description="Where in its life the job is: Pending, Starting, Downloading, Training, Uploading, Interrupted, Stopping, Stopped,"
        " MaxRuntimeExceeded, MaxWaitTimeExceeded, Completed or Failed.",
    )
    secondary_status_transitions: list[Transition] = Field(
        default_factory=list, description="Its life so far, oldest first."
    )
    failure_reason: str | None = Field(
        default=None,
        max_length=1024,
        description="Why it failed: AlgorithmError, ClientError, InternalServerError or CapacityError, then the text.",
        examples=["AlgorithmError: no column price, exit code: 1"],
    )
    training_job_name: str | None = Field(
        default=None, description="SageMaker's name of the job, default filled in.", examples=["Diamonds-2026-11-23"]
    )
    training_job_arn: str | None = Field(
        default=None,
        description="ARN built from region, account and name.",
        examples=["arn:aws:sagemaker:eu-central-1:123456789012:training-job/Diamonds-2026-11-23"],
    )
    model_artifacts: ModelArtifacts | None = Field(default=None, description="The result.")
    creation_time: Time | None = Field(
        default=None, description="When the job was created.", examples=["2026-11-23T12:00:00Z"]
    )
    training_start_time: Time | None = Field(
        default=None,
        description="When the first downloads began, image or data: the clock of maxRuntimeInSeconds.",
        examples=["2026-11-23T12:01:00Z"],
    )
    training_end_time: Time | None = Field(
        default=None,
        description="When artifacts were uploaded, or the failure was seen.",
        examples=["2026-11-23T12:32:10Z"],
    )
    last_modified_time: Time | None = Field(
        default=None, description="When the status last changed.", examples=["2026-11-23T12:32:10Z"]
    )
    training_time_in_seconds: Count | None = Field(
        default=None, description="Seconds from trainingStartTime to trainingEndTime, at least 1.", examples=[1870]
    )
    billable_time_in_seconds: Count | None = Field(
        default=None,
        description="Running time of all attempts together in seconds, at least 1: what lay between them is left out.",
        examples=[1870],
    )
    final_metric_data_list: list[MetricData] = Field(
        default_factory=list,
        max_length=40,
        description="The last value of each metric that any log line had.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["metricName"]},
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict,
        description="What the platform filled in where the spec says nothing: field path -> value.",
        examples=[{"stoppingCondition.maxRuntimeInSeconds": 86400}],
    )
    choices: Choices | None = Field(
        default=None,
        description="What the annotations chose when the first pods were recorded. Later attempts keep to it.",
    )
    attempt: Number | None = Field(
        default=None, description="Number of the attempt, from 1, without unit.", examples=[1]
    )
    attempt_start_time: Time | None = Field(
        default=None,
        description="When the present attempt was due, if it is not the first or the job was suspended.",
        examples=["2026-11-23T12:12:50Z"],
    )
    earlier_attempts: list[AttemptRecord] = Field(
        default_factory=list, max_length=10, description="The latest of the attempts before this one, oldest first."
    )
    retry_attempts: Count | None = Field(
        default=None,
        description="How many of retryStrategy.maximumRetryAttempts are used, a number without unit.",
        examples=[1],
    )
    interruptions: Count | None = Field(
        default=None,
        description="How many times the cluster interrupted the job (enableManagedSpotTraining).",
        examples=[2],
    )
    earlier_running_time_in_seconds: Count | None = Field(
        default=None,
        description="Running time of all earlier attempts together in seconds; counts for maxRuntimeInSeconds.",
        examples=[700],
    )
    suspended_time_in_seconds: Count | None = Field(
        default=None,
        description="For how many seconds the job was suspended; does not count for maxWaitTimeInSeconds.",
        examples=[3600],
    )
    hosts: list[HostStatus] = Field(
        default_factory=list,
        description="The ML compute instances.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    channels: list[ChannelStatus] = Field(
        default_factory=list,
        max_length=20,
        description="The input channels, and how each is served.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["channelName"]},
    )
    observed_generation: int | None = Field(
        default=None,
        ge=-1,
        le=2**53,
        description="The spec's generation that this status speaks of, a number without unit; -1 until the operator has seen the job.",
        examples=[1],
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Accepted, Ready, Reconciling, Stalled, Suspended, DataReady, ArtifactsUploaded, Complete, Failed, Finished;"
        " FieldsIgnored where fields of the spec have no effect, and those of checkpoints and metrics of a job that has them.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
