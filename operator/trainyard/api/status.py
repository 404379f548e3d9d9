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

    status: str = Field(description="Secondary status during it.")
    start_time: Time = Field(description="When it began, from the pods' evidence.")
    end_time: Time | None = Field(default=None, description="When it ended: the next one's startTime.")
    status_message: str = Field(description="What happened in it.")


class Condition(Model):
    """A condition as Kubernetes' metav1.Condition."""

    type: str = Field(
        max_length=316,
        description="Accepted, Ready, Reconciling, Stalled, Suspended, DataReady, ArtifactsUploaded, Complete, Failed, Finished or"
        " FieldsIgnored; of a job with checkpointConfig also CheckpointsKept, with metricDefinitions MetricsRead and LogLinesLost.",
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: Size = Field(default=0, description="The spec's generation that this speaks of.")
    last_transition_time: Time = Field(description="When `status` last changed.")
    reason: str = Field(max_length=1024, description="CamelCase reason.")
    message: str = Field(default="", max_length=32768, description="What is so, where, and what to do.")


class ModelArtifacts(Model):
    """The result."""

    s3_model_artifacts: str = Field(description="URI of model.tar.gz; named also if the program wrote no model.")


class MetricData(Model):
    """The latest value of one metric."""

    metric_name: str = Field(description="Name of the metric definition.")
    value: float = Field(description="The last value that a log line had.")
    timestamp: Time = Field(description="When that line was written.")


class AttemptRecord(Model):
    """An attempt that is over, after which the job was started again."""

    attempt: Number = Field(description="Its number, from 1.")
    start_time: Time | None = Field(
        default=None, description="When its downloads began, image or data; absent if they never did."
    )
    end_time: Time = Field(description="When it ended.")
    reason: str = Field(pattern="^(Retrying|Interrupted|Suspended)$", description="Retrying, Interrupted or Suspended.")
    message: str = Field(max_length=1024, description="What happened, and where.")


class ChannelStatus(Model):
    """How the data of one channel reaches the program."""

    channel_name: str = Field(pattern=r"^[A-Za-z0-9\.\-_]+$", max_length=64, description="Name of the channel.")
    input_mode: Literal["Pipe", "File", "FastFile"] = Field(description="The mode that holds for it.")
    served_by: Literal["Staging", "Stream", "Volume"] = Field(
        description="Staging: copied to each host before training starts; of a FastFile channel nothing can be written to the"
        " copy. Stream: written into FIFOs while training reads them. Volume: mounted from a PersistentVolumeClaim."
    )
    claim_name: str | None = Field(
        default=None, max_length=253, description="The PersistentVolumeClaim, of a channel that a volume serves."
    )


class Choices(Model):
    """What the job's annotations chose when its first pods were recorded; all later attempts keep to it."""

    sharding: Literal["objects", "bytes"] = Field(description="Annotation trainyard.dev/sharding.")
    manifest_paths: Literal["relative", "key"] = Field(description="Annotation trainyard.dev/manifest-paths.")


class HostStatus(Model):
    """One ML compute instance: its pod and its share of the input."""

    name: str = Field(pattern=HOST_NAME, max_length=15, description="algo-<n>.")
    pod: str = Field(pattern=DNS_SUBDOMAIN, max_length=253, description="Name of its pod.")
    node: str | None = Field(default=None, description="Node it runs on.")
    objects: Size | None = Field(default=None, description="Input objects of its share that are on it.")
    bytes: Size | None = Field(default=None, description="Their bytes together.")
    exit_code: int | None = Field(
        default=None, ge=-(2**31), le=2**31 - 1, description="Exit code of its training container."
    )
    last_log_time: Time | None = Field(
        default=None, description="Time of the last line of its log that finalMetricDataList accounts for."
    )


class JobStatus(Model):
    """What DescribeTrainingJob adds to the request, and conditions."""

    training_job_status: TrainingJobStatus | None = Field(
        default=None, description="InProgress, Completed, Failed, Stopping or Stopped."
    )
    secondary_status: SecondaryStatus | None = Field(default=None, description="Where in its life the job is.")
    secondary_status_transitions: list[Transition] = Field(
        default_factory=list, description="Its life so far, oldest first."
    )
    failure_reason: str | None = Field(
        default=None,
        max_length=1024,
        description="Why it failed: AlgorithmError, ClientError, InternalServerError or CapacityError, then the text.",
    )
    training_job_name: str | None = Field(default=None, description="SageMaker's name of the job, default filled in.")
    training_job_arn: str | None = Field(default=None, description="ARN built from region, account and name.")
    model_artifacts: ModelArtifacts | None = Field(default=None, description="The result.")
    creation_time: Time | None = Field(default=None, description="When the job was created.")
    training_start_time: Time | None = Field(
        default=None, description="When the first downloads began, image or data: the clock of maxRuntimeInSeconds."
    )
    training_end_time: Time | None = Field(
        default=None, description="When artifacts were uploaded, or the failure was seen."
    )
    last_modified_time: Time | None = Field(default=None, description="When the status last changed.")
    training_time_in_seconds: Count | None = Field(
        default=None, description="From trainingStartTime to trainingEndTime, at least 1."
    )
    billable_time_in_seconds: Count | None = Field(
        default=None,
        description="Running time of all attempts together, at least 1: what lay between them is left out.",
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
    attempt: Number | None = Field(default=None, description="Number of the attempt, from 1.")
    attempt_start_time: Time | None = Field(
        default=None, description="When the present attempt was due, if it is not the first or the job was suspended."
    )
    earlier_attempts: list[AttemptRecord] = Field(
        default_factory=list, max_length=10, description="The latest of the attempts before this one, oldest first."
    )
    retry_attempts: Count | None = Field(
        default=None, description="How many of retryStrategy.maximumRetryAttempts are used."
    )
    interruptions: Count | None = Field(
        default=None, description="How often the cluster interrupted the job (enableManagedSpotTraining)."
    )
    earlier_running_time_in_seconds: Count | None = Field(
        default=None, description="Running time of all earlier attempts together; counts for maxRuntimeInSeconds."
    )
    suspended_time_in_seconds: Count | None = Field(
        default=None, description="How long the job was suspended; does not count for maxWaitTimeInSeconds."
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
        description="The spec's generation that this status speaks of; -1 until the operator has seen the job.",
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Accepted, Ready, Reconciling, Stalled, Suspended, DataReady, ArtifactsUploaded, Complete, Failed, Finished;"
        " FieldsIgnored where fields of the spec have no effect, and those of checkpoints and metrics of a job that has them.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
