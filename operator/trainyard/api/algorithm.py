"""AlgorithmSpecification: what runs, and what is read from its log."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from trainyard.api.rules import Rule, SpecModel, absent, list_keys

InputMode = Literal["Pipe", "File", "FastFile"]
ALGORITHM_NAME = (
    # SageMaker's pattern forbids a `-` at the end by looking behind, which RE2 cannot.
    r"^(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*/)?[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$"
)
Word = Annotated[str, Field(max_length=256)]


class MetricDefinition(SpecModel):
    """A number in the log that is worth keeping."""

    name: str = Field(min_length=1, max_length=255, description="Name of the metric.", examples=["validation:rmse"])
    regex: str = Field(
        min_length=1,
        max_length=500,
        description="Searched in each log line; its first group is the number.",
        examples=["validation-rmse:([0-9.]+)"],
    )


class TrainingRepositoryAuthConfig(SpecModel):
    """How SageMaker signs in to a private registry."""

    training_repository_credentials_provider_arn: str = Field(
        pattern=r"^arn:[0-9A-Za-z\-]+:lambda:[0-9A-Za-z\-]+:[0-9]{12}:function:.*$",
        min_length=1,
        max_length=2048,
        description="ARN of the Lambda function that gives SageMaker the registry's credentials. Nobody calls it here.",
        examples=["arn:aws:lambda:eu-central-1:123456789012:function:registry"],
    )


class TrainingImageConfig(SpecModel):
    """How SageMaker reaches a private registry."""

    training_repository_access_mode: Literal["Platform", "Vpc"] = Field(
        description="Platform: the image is in ECR. Vpc: it is in a private registry. Either way the node pulls it here."
    )
    training_repository_auth_config: TrainingRepositoryAuthConfig | None = Field(
        default=None, description="How SageMaker signs in to a private registry."
    )


class AlgorithmSpecification(SpecModel):
    """What runs."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.trainingImage) != has(self.algorithmName)",
            lambda said: (said.training_image is None) != (said.algorithm_name is None),
            "give exactly one of algorithmSpecification.trainingImage and algorithmSpecification.algorithmName",
        ),
        absent(
            "algorithm_name", "algorithms by name are not supported yet; give the algorithm's image as trainingImage"
        ),
    )

    training_image: str | None = Field(
        default=None,
        pattern="^[!-~]+$",
        min_length=1,
        max_length=255,
        description="Container image of the training program, as `docker run IMAGE train` would run it.",
        examples=["registry.example.com/team/xgboost:1"],
    )
    algorithm_name: str | None = Field(
        default=None,
        pattern=ALGORITHM_NAME,
        min_length=1,
        max_length=170,
        description="Name or ARN of an algorithm, in place of trainingImage. Not supported yet.",
        examples=["xgboost"],
    )
    training_input_mode: InputMode = Field(
        default="File",
        description="How input reaches the container unless a channel says otherwise. File: copied before training starts."
        " Pipe: streamed through FIFOs. FastFile: files that cannot be written to.",
    )
    metric_definitions: list[MetricDefinition] = Field(
        default_factory=list,
        max_length=40,
        description="Metrics that are read from the log lines of all hosts.",
        json_schema_extra=list_keys("name"),
    )
    enable_sage_maker_metrics_time_series: bool | None = Field(
        default=None,
        description="true or false: recorded. Metrics of metricDefinitions are on the operator's metrics endpoint either way.",
    )
    container_entrypoint: list[Word] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Replaces the image's ENTRYPOINT; `train` is then not passed.",
        examples=[["python3", "/opt/program/main.py"]],
    )
    container_arguments: list[Word] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Replaces the argument `train`.",
        examples=[["train", "--fast"]],
    )
    training_image_config: TrainingImageConfig | None = Field(
        default=None, description="How SageMaker reaches a private registry. The node pulls the image here."
    )
