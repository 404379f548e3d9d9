"""TrainingJob: the CreateTrainingJob contract as a resource, under the field names of the AWS controllers for Kubernetes.

Source of types and limits: botocore's service model of SageMaker. What a CRD alone knows (cross-field rules, list keys)
stands beside the field in `json_schema_extra` and is carried over by `trainyard.api.crd`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from trainyard.api.base import S3_URI, Model


def rules(*rules: tuple[str, str], **more: Any) -> dict[str, Any]:
    """CEL rules as (expression, message) pairs, for `json_schema_extra`."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules], **more}


class MetricDefinition(Model):
    """A number in the log that is worth keeping."""

    name: str = Field(min_length=1, max_length=255, description="Name of the metric.", examples=["validation:rmse"])
    regex: str = Field(
        min_length=1,
        max_length=500,
        description="Searched in each log line; its first group is the number.",
        examples=["validation-rmse:([0-9.]+)"],
    )


class AlgorithmSpecification(Model):
    """What runs."""

    training_image: str = Field(
        min_length=1,
        max_length=255,
        description="Container image of the training program, as `docker run IMAGE train` would run it.",
        examples=["registry.example.com/team/xgboost:1"],
    )
    training_input_mode: Literal["File"] = Field(
        default="File",
        description="How input reaches the container unless a channel says otherwise. File: copied before training starts.",
    )
    metric_definitions: list[MetricDefinition] = Field(
        default_factory=list,
        max_length=40,
        description="Metrics that are read from the log lines of all hosts.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    container_entrypoint: list[Annotated[str, Field(max_length=256)]] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Replaces the image's ENTRYPOINT; `train` is then not passed.",
        examples=[["python3", "/opt/program/main.py"]],
    )
    container_arguments: list[Annotated[str, Field(max_length=256)]] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Replaces the argument `train`.",
        examples=[["train", "--fast"]],
    )


class S3DataSource(Model):
    """Objects in S3."""

    s3_data_type: Literal["S3Prefix"] = Field(
        default="S3Prefix", description="S3Prefix: every object whose key begins with the key in s3URI."
    )
    s3_uri: str = Field(
        pattern=S3_URI,
        max_length=1024,
        description="A key-name prefix, as s3://BUCKET/PREFIX; no slash is needed at its end, and it may be one exact key.",
        examples=["s3://datasets/diamonds/train/"],
    )
    s3_data_distribution_type: Literal["FullyReplicated", "ShardedByS3Key"] = Field(
        default="FullyReplicated",
        description="FullyReplicated: every host gets every object. ShardedByS3Key: each host gets its share of the objects.",
    )


class DataSource(Model):
    """Where a channel's data is."""

    s3_data_source: S3DataSource = Field(description="Objects in S3.")


class Channel(Model):
    """One named input, found by the training program under /opt/ml/input/data/<channelName>."""

    channel_name: str = Field(
        pattern=r"^[A-Za-z0-9.\-_]+$",
        min_length=1,
        max_length=64,
        description="Name of the channel and of its directory.",
        examples=["train"],
        json_schema_extra=rules(
            ("self != '.' && self != '..'", "channelName is a directory's name: '.' and '..' cannot be one")
        ),
    )
    data_source: DataSource = Field(description="Where the data is.")
    content_type: str | None = Field(
        default=None, max_length=256, description="MIME type, handed to the program as it is.", examples=["text/csv"]
    )
    compression_type: Literal["None"] | None = Field(
        default=None, description="None: objects reach the program as they are, which is all that File mode knows."
    )
    record_wrapper_type: Literal["None"] | None = Field(
        default=None, description="None: objects are not wrapped, which is all that File mode knows."
    )
    input_mode: Literal["File"] | None = Field(
        default=None, description="Overrides algorithmSpecification.trainingInputMode for this channel."
    )


class OutputDataConfig(Model):
    """Where results go."""

    s3_output_path: str = Field(
        pattern=S3_URI,
        max_length=1024,
        description="The model goes to <s3OutputPath>/<trainingJobName>/output/model.tar.gz.",
        examples=["s3://models/diamonds"],
    )
    compression_type: Literal["GZIP"] = Field(default="GZIP", description="GZIP: one model.tar.gz.")


class ResourceConfig(Model):
    """The ML compute instances."""

    instance_type: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$",
        max_length=63,
        description="Name of an InstanceType of this cluster; `kubectl get instancetypes` lists them.",
        examples=["ml.m5.xlarge"],
    )
    instance_count: int = Field(
        default=1, ge=1, le=1000, description="How many instances (hosts algo-1 to algo-N), each one pod.", examples=[2]
    )
    volume_size_in_gb: int = Field(
        default=30,
        ge=1,
        le=16384,
        description="Size in GiB of each instance's storage volume, which holds input, model, output and /tmp.",
        examples=[30],
    )


class StoppingCondition(Model):
    """How long a job may take."""

    max_runtime_in_seconds: int = Field(
        default=86400,
        ge=1,
        le=2419200,
        description="Running time in seconds, from the start of staging, after which the job is stopped and its model kept.",
        examples=[3600],
    )
    max_wait_time_in_seconds: int | None = Field(
        default=None,
        ge=1,
        le=5184000,
        description="With enableManagedSpotTraining: seconds from the job's creation for waiting and running together, after which"
        " the job is stopped. At least maxRuntimeInSeconds.",
        examples=[7200],
    )
    max_pending_time_in_seconds: int | None = Field(
        default=None,
        ge=1800,
        le=2419200,
        description="How long the job may wait for capacity, in seconds from its creation, after which it is stopped.",
        examples=[7200],
    )


class RetryStrategy(Model):
    """What happens after an InternalServerError: a lost node, an evicted pod, a fault of the platform."""

    maximum_retry_attempts: int = Field(
        ge=1,
        le=30,
        description="How often the job is started again after an InternalServerError. Nothing else is retried.",
        examples=[3],
    )


class Tag(Model):
    """A key and a value, recorded with the job."""

    key: str = Field(min_length=1, max_length=128, description="Key of the tag.", examples=["team"])
    value: str = Field(max_length=256, description="Value of the tag.", examples=["forecasting"])


IMMUTABLE = "a TrainingJob cannot be changed once created; delete it and create it again, or create one of another name"


def _immutable() -> list[tuple[str, str]]:
    """A rule per field; what has a default is always there, the rest may be absent on either side."""
    always = ("algorithmSpecification", "outputDataConfig", "resourceConfig", "stoppingCondition")
    optional = (
        "trainingJobName",
        "roleARN",
        "inputDataConfig",
        "hyperParameters",
        "environment",
        "tags",
        "retryStrategy",
        "enableManagedSpotTraining",
    )
    same = [(name, f"self.{name} == oldSelf.{name}") for name in always]
    same += [
        (name, f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})")
        for name in optional
    ]
    return [(rule, f"{name}: {IMMUTABLE}") for name, rule in same]


class TrainingJobSpec(Model):
    """The CreateTrainingJob request. Immutable but for `stop`, `suspend` and `ttlSecondsAfterFinished`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=rules(*_immutable()))

    training_job_name: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$",
        max_length=63,
        description="SageMaker's name of the job, upper case allowed; unique in the namespace. Default: metadata.name.",
        examples=["Diamonds-2026-11-23"],
    )
    role_arn: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$",
        min_length=20,
        max_length=2048,
        description="Names the ExecutionRole of this namespace whose spec.roleARN equals it. Default: the ExecutionRole `default`.",
        examples=["arn:aws:iam::123456789012:role/training"],
    )
    algorithm_specification: AlgorithmSpecification = Field(description="What runs.")
    hyper_parameters: dict[Annotated[str, Field(max_length=256)], Annotated[str, Field(max_length=2500)]] = Field(
        default_factory=dict,
        max_length=100,
        description="Handed to the program in hyperparameters.json, byte for byte; all values are strings.",
        examples=[{"num_round": "100"}],
    )
    input_data_config: list[Channel] = Field(
        default_factory=list,
        max_length=20,
        description="The input channels.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["channelName"]},
    )
    output_data_config: OutputDataConfig = Field(description="Where results go.")
    resource_config: ResourceConfig = Field(description="The ML compute instances.")
    stopping_condition: StoppingCondition = Field(
        default_factory=StoppingCondition, description="How long the job may take."
    )
    retry_strategy: RetryStrategy | None = Field(
        default=None, description="Whether and how often the job is started again after an InternalServerError."
    )
    enable_managed_spot_training: bool | None = Field(
        default=None,
        description="A job that the cluster interrupts (drain, preemption, loss of a node) is started again from Interrupted, as"
        " often as stoppingCondition.maxWaitTimeInSeconds allows.",
        examples=[True],
    )
    environment: dict[
        Annotated[str, Field(max_length=512)],
        Annotated[str, Field(max_length=512)],
    ] = Field(
        default_factory=dict,
        max_length=100,
        description="Environment variables of the training container.",
        examples=[{"LOG_LEVEL": "debug"}],
        json_schema_extra=rules(
            (
                "self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",
                "environment: a variable's name consists of letters, digits and _ and does not begin with a digit",
            )
        ),
    )
    tags: list[Tag] = Field(
        default_factory=list,
        max_length=50,
        description="Recorded with the job.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["key"]},
    )
    stop: bool = Field(
        default=False,
        description="Set to true to stop the job: SIGTERM, 120 s later SIGKILL, then what is there is uploaded. Cannot be taken back.",
        json_schema_extra=rules(("self || !oldSelf", "stop: a stop cannot be taken back; create a new job instead")),
    )
    suspend: bool = Field(
        default=False,
        description="While true the job has no pods and its clock stands still; set to false it goes on as a new attempt.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=31536000,
        description="Seconds after the job's end at which its pods and other children are removed. The job itself stays, unless its"
        " annotation trainyard.dev/delete-after-ttl is `true`.",
        examples=[86400],
    )
