"""Debugger, profiler, TensorBoard and experiments: what SageMaker watches or notes beside the training itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trainyard.api.rules import SpecModel

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
    """What SageMaker's Debugger saves. Its hook is not set up here, so no tensors are saved."""

    local_path: LocalPath | None = Field(
        default=None, description="Where the hook writes in the container.", examples=["/opt/ml/output/tensors"]
    )
    s3_output_path: AnyS3URI = Field(description="Where tensors would go.", examples=["s3://models/debug"])
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
    """What SageMaker's profiler measures. It does not run here."""

    s3_output_path: AnyS3URI | None = Field(
        default=None, description="Where measurements would go.", examples=["s3://models/profiles"]
    )
    profiling_interval_in_milliseconds: int | None = Field(
        default=None, ge=0, le=2**31, description="How often to measure, in milliseconds.", examples=[500]
    )
    profiling_parameters: Parameters = Field(
        default_factory=dict, max_length=20, description="Settings of the profiler.", examples=[{"NumSteps": "5"}]
    )
    disable_profiler: bool | None = Field(
        default=None, description="true: do not profile, which is so here in any case. false: profile."
    )


class TensorBoardOutputConfig(SpecModel):
    """Where TensorBoard's files are kept."""

    local_path: LocalPath | None = Field(
        default=None, description="Where the program writes them.", examples=["/opt/ml/output/tensorboard"]
    )
    s3_output_path: AnyS3URI = Field(description="Where they are kept.", examples=["s3://models/tensorboard"])


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
