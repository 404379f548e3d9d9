"""TrainingJob: the CreateTrainingJob contract as a resource, under the field names of the AWS controllers for Kubernetes.

Source of types and limits: botocore's service model of SageMaker; `contract` says which fields act and why limits differ.
Defaults are the operator's: the CRD carries none, so that what is in Git is what is in the cluster.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from trainyard.api.algorithm import AlgorithmSpecification, InputMode
from trainyard.api.channels import Channel
from trainyard.api.crossrules import CROSS_RULES, unchanged
from trainyard.api.limits import RetryStrategy, StoppingCondition
from trainyard.api.observation import (
    DebugHookConfig,
    ExperimentConfig,
    ProfilerConfig,
    RuleConfiguration,
    TensorBoardOutputConfig,
)
from trainyard.api.output import CheckpointConfig, OutputDataConfig
from trainyard.api.resources import ResourceConfig
from trainyard.api.rules import Rule, SpecModel, absent, list_keys, off

# What may change while the job is there. All else is the request, and a request is not rewritten.
CONTROLS = ("stop", "suspend", "ttl_seconds_after_finished")
LONGEST_TTL = 31536000
ENVIRONMENT_NAME = "^[a-zA-Z_][a-zA-Z0-9_]*$"
_TAG = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$"
_FINE_TUNING = "fine-tuning as a service is AWS's own; leave it out and give an image that trains"
Opaque = dict[str, Any]


class Tag(SpecModel):
    """A key and a value, recorded with the job."""

    key: str = Field(pattern=_TAG, min_length=1, max_length=128, description="Key of the tag.", examples=["team"])
    value: str = Field(pattern=_TAG, max_length=256, description="Value of the tag.", examples=["forecasting"])


class VpcConfig(SpecModel):
    """The network of AWS in which SageMaker runs a job. Pods run in the cluster's."""

    security_group_ids: list[Annotated[str, Field(pattern="^[-0-9a-zA-Z]+$", max_length=32)]] = Field(
        min_length=1, max_length=5, description="Security groups on AWS.", examples=[["sg-0123456789abcdef0"]]
    )
    subnets: list[Annotated[str, Field(pattern="^[-0-9a-zA-Z]+$", max_length=32)]] = Field(
        min_length=1, max_length=16, description="Subnets on AWS.", examples=[["subnet-0123456789abcdef0"]]
    )


class RemoteDebugConfig(SpecModel):
    """A shell in the containers through AWS. `kubectl exec` gives one here."""

    enable_remote_debug: bool | None = Field(default=None, description="true or false: whether AWS is to give a shell.")


class InfraCheckConfig(SpecModel):
    """SageMaker's check of the instances before training. Nodes are the cluster's here."""

    enable_infra_check: bool | None = Field(
        default=None, description="true or false: whether to check instances first."
    )


class SessionChainingConfig(SpecModel):
    """Tags of sessions on AWS."""

    enable_session_tag_chaining: bool | None = Field(
        default=None, description="true or false: whether the session's tags are passed on."
    )


class TrainingJobSpec(SpecModel):
    """The CreateTrainingJob request. Immutable but for `stop`, `suspend` and `ttlSecondsAfterFinished`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=unchanged(CONTROLS))
    IMMUTABLE: ClassVar[bool] = True
    RULES: ClassVar[tuple[Rule, ...]] = (
        *CROSS_RULES,
        off("enable_network_isolation", "network isolation is not supported yet; leave it out, or ask for a NetworkPolicy", at="false"),
        off(
            "enable_inter_container_traffic_encryption",
            "traffic between hosts is not encrypted here; leave it out if the cluster's network does that, or is trusted",
            at="false",
        ),
        absent("serverless_job_config", _FINE_TUNING),
        absent("mlflow_config", "AWS's MLflow cannot be reached from here; leave it out and let the program log to a server"),
        absent("model_package_config", _FINE_TUNING),
    )  # fmt: skip

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        if broken := list(self.broken()):
            raise ValueError("; ".join(broken))
        return self

    def mode_of(self, channel: Channel) -> InputMode:
        """How a channel's data reaches the program."""
        return channel.input_mode or self.algorithm_specification.training_input_mode

    training_job_name: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$",
        min_length=1,
        max_length=63,
        description="SageMaker's name of the job, upper case allowed; unique in the namespace. metadata.name if left out.",
        examples=["Diamonds-2026-11-23"],
    )
    role_arn: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z\-]*:iam::[0-9]{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$",
        min_length=20,
        max_length=2048,
        description="Names the ExecutionRole of this namespace whose spec.roleARN equals it; the one named `default` if left out.",
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
        json_schema_extra=list_keys("channelName"),
    )
    output_data_config: OutputDataConfig = Field(description="Where results go.")
    resource_config: ResourceConfig = Field(description="The ML compute instances.")
    stopping_condition: StoppingCondition = Field(
        default_factory=StoppingCondition, description="How long the job may take."
    )
    retry_strategy: RetryStrategy | None = Field(
        default=None, description="Whether and how often the job is started again after an InternalServerError."
    )
    enable_managed_spot_training: bool = Field(
        default=False,
        description="true: a job that the cluster interrupts (drain, preemption, loss of a node) is started again from Interrupted,"
        " as often as stoppingCondition.maxWaitTimeInSeconds allows. false: it is not.",
    )
    environment: dict[
        Annotated[str, Field(max_length=512, pattern=ENVIRONMENT_NAME)], Annotated[str, Field(max_length=512)]
    ] = Field(
        default_factory=dict,
        max_length=100,
        description="Environment variables of the training container.",
        examples=[{"LOG_LEVEL": "debug"}],
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": f"self.all(name, name.matches('{ENVIRONMENT_NAME}'))",
                    "message": "environment: a variable's name consists of letters, digits and _ and does not begin with a digit",
                }
            ]
        },
    )
    tags: list[Tag] = Field(
        default_factory=list, max_length=50, description="Recorded with the job.", json_schema_extra=list_keys("key")
    )
    vpc_config: VpcConfig | None = Field(
        default=None, description="The network of AWS in which SageMaker runs a job. Pods run in the cluster's."
    )
    enable_network_isolation: bool = Field(
        default=False,
        description="true: no network for the container, not supported yet. false: the cluster's network.",
    )
    enable_inter_container_traffic_encryption: bool = Field(
        default=False,
        description="true: not supported. false: traffic between hosts is as the cluster's network has it.",
    )
    checkpoint_config: CheckpointConfig | None = Field(
        default=None,
        description="Where checkpoints are kept: restored on every host before training and at each restart, and kept in S3 while"
        " training runs.",
    )
    tensor_board_output_config: TensorBoardOutputConfig | None = Field(
        default=None, description="Where TensorBoard's files are kept, while training runs and after it."
    )
    experiment_config: ExperimentConfig | None = Field(
        default=None, description="The experiment that the job belongs to. Recorded with the job."
    )
    debug_hook_config: DebugHookConfig | None = Field(
        default=None, description="What SageMaker's Debugger saves, if the image has its hook."
    )
    debug_rule_configurations: list[RuleConfiguration] = Field(
        default_factory=list, max_length=20, description="Rules of SageMaker's Debugger. None is evaluated here."
    )
    profiler_config: ProfilerConfig | None = Field(
        default=None, description="What SageMaker's profiler measures. It does not run here."
    )
    profiler_rule_configurations: list[RuleConfiguration] = Field(
        default_factory=list, max_length=20, description="Rules of SageMaker's profiler. None is evaluated here."
    )
    remote_debug_config: RemoteDebugConfig | None = Field(
        default=None, description="A shell in the containers through AWS. `kubectl exec` gives one here."
    )
    infra_check_config: InfraCheckConfig | None = Field(
        default=None, description="SageMaker's check of the instances before training. Nodes are the cluster's here."
    )
    session_chaining_config: SessionChainingConfig | None = Field(
        default=None, description="Tags of sessions on AWS. There is none here."
    )
    serverless_job_config: Opaque | None = Field(
        default=None,
        description="Fine-tuning as a service of AWS. Not supported.",
        examples=[{"jobType": "FineTuning"}],
    )
    mlflow_config: Opaque | None = Field(
        default=None, description="MLflow as a service of AWS. Not supported.", examples=[{"mlflowRunName": "run-1"}]
    )
    model_package_config: Opaque | None = Field(
        default=None,
        description="Fine-tuning as a service of AWS. Not supported.",
        examples=[{"modelPackageGroupARN": "arn:aws:..."}],
    )
    stop: bool = Field(
        default=False,
        description="Set to true to stop the job: SIGTERM, 120 s later SIGKILL, then what is there is uploaded. Cannot be taken back"
        " to false.",
    )
    suspend: bool = Field(
        default=False,
        description="While true the job has no pods and its clock stands still; set to false it goes on as a new attempt.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=LONGEST_TTL,
        description="Seconds after the job's end at which its pods and other children are removed. The job itself stays, unless its"
        " annotation trainyard.dev/delete-after-ttl is `true`.",
        examples=[86400],
    )
