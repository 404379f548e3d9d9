"""Debugger, profiler, TensorBoard and experiments: what SageMaker watches or notes beside the training itself."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from trainyard.api.output import folder_path
from trainyard.api.rules import Rule, SpecModel
from trainyard.api.uris import S3_URI

TENSORBOARD_PATH = "/opt/ml/output/tensorboard"
TENSORS_PATH = "/opt/ml/output/tensors"
PROFILER_PATH = "/opt/ml/output/profiler"
FolderURI = Annotated[str, Field(pattern=S3_URI, max_length=1024)]
# As SageMaker has it; the value is kept, and nothing is read from or written to it.
AnyS3URI = Annotated[str, Field(pattern="^(https|s3)://([^/]+)/?(.*)$", max_length=1024)]
LocalPath = Annotated[str, Field(max_length=4096)]
Parameters = dict[Annotated[str, Field(min_length=1, max_length=256)], Annotated[str, Field(max_length=256)]]
ExperimentName = Annotated[str, Field(pattern="^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}$", min_length=1, max_length=120)]


class CollectionConfiguration(SpecModel):
    """A collection of tensors."""

    collection_name: str | None = Field(
        default=None, min_length=1, max_length=256, description="Name of the collection.", examples=["losses"]
    )
    collection_parameters: Parameters = Field(
        default_factory=dict,
        max_length=20,
        description="Settings of the collection.",
        examples=[{"save_interval": "100"}],
    )


class DebugHookConfig(SpecModel):
    """What SageMaker's Debugger saves: its hook, if the image has one, finds this in debughookconfig.json."""

    RULES: ClassVar[tuple[Rule, ...]] = (folder_path("debugHookConfig", TENSORS_PATH),)

    local_path: LocalPath | None = Field(
        default=None, description="Where the hook writes in the container.", examples=[TENSORS_PATH]
    )
    s3_output_path: FolderURI = Field(
        description="What is in localPath goes to <s3OutputPath>/<trainingJobName>/debug-output/ while training runs.",
        examples=["s3://models/debug"],
    )
    hook_parameters: Parameters = Field(
        default_factory=dict, max_length=20, description="Settings of the hook.", examples=[{"save_interval": "100"}]
    )
    collection_configurations: list[CollectionConfiguration] = Field(
        default_factory=list, max_length=20, description="Collections of tensors to save."
    )


class RuleConfiguration(SpecModel):
    """A rule of SageMaker's Debugger or profiler. No rule is evaluated here."""

    rule_configuration_name: str = Field(
        min_length=1, max_length=256, description="Name of the rule.", examples=["LossNotDecreasing"]
    )
    local_path: LocalPath | None = Field(
        default=None, description="Where the rule writes in its container.", examples=["/opt/ml/processing/output/rule"]
    )
    s3_output_path: AnyS3URI | None = Field(
        default=None, description="Where the rule's output would go.", examples=["s3://models/rules"]
    )
    rule_evaluator_image: str = Field(
        max_length=255, description="Image that evaluates the rule.", examples=["registry.example.com/rules:latest"]
    )
    instance_type: str | None = Field(
        default=None, max_length=63, description="ML instance type that evaluates the rule.", examples=["ml.t3.medium"]
    )
    volume_size_in_gb: int | None = Field(
        default=None,
        ge=0,
        le=16384,
        description="Size in GiB of the storage volume that the evaluation has.",
        examples=[10],
    )
    rule_parameters: Parameters = Field(
        default_factory=dict, max_length=100, description="Settings of the rule.", examples=[{"patience": "5"}]
    )


class ProfilerConfig(SpecModel):
    """What SageMaker's profiler measures. It does not run here; a library in the image that does finds this in profilerconfig.json."""

    s3_output_path: FolderURI | None = Field(
        default=None,
        description="What is in /opt/ml/output/profiler goes to <s3OutputPath>/<trainingJobName>/profiler-output/ while training runs.",
        examples=["s3://models/profiles"],
    )
    profiling_interval_in_milliseconds: int | None = Field(
        default=None, ge=0, le=2**31, description="How often to measure, in milliseconds.", examples=[500]
    )
    profiling_parameters: Parameters = Field(
        default_factory=dict, max_length=20, description="Settings of the profiler.", examples=[{"NumSteps": "5"}]
    )
    disable_profiler: bool | None = Field(
        default=None,
        description="true: nothing is uploaded, and profilerconfig.json says so. false: as if it were left out.",
    )


class TensorBoardOutputConfig(SpecModel):
    """Where TensorBoard's files are kept."""

    RULES: ClassVar[tuple[Rule, ...]] = (folder_path("tensorBoardOutputConfig", TENSORBOARD_PATH),)

    local_path: LocalPath | None = Field(
        default=None, description="Where the program writes them.", examples=[TENSORBOARD_PATH]
    )
    s3_output_path: FolderURI = Field(
        description="What is in localPath goes to <s3OutputPath>/<trainingJobName>/tensorboard-output/ while training runs.",
        examples=["s3://models/tensorboard"],
    )


class ExperimentConfig(SpecModel):
    """The experiment that the job belongs to. Recorded with the job."""

    experiment_name: ExperimentName | None = Field(
        default=None, description="Name of the experiment.", examples=["diamonds"]
    )
    trial_name: ExperimentName | None = Field(default=None, description="Name of the trial.", examples=["depth-6"])
    trial_component_display_name: ExperimentName | None = Field(
        default=None, description="Name of the trial's component to show.", examples=["training"]
    )
    run_name: ExperimentName | None = Field(default=None, description="Name of the run.", examples=["run-1"])
