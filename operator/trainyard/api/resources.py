"""ResourceConfig: the ML compute instances of a job."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from trainyard.api.rules import Rule, SpecModel, absent, off

# A name of an InstanceType, hence of a cluster-wide resource.
InstanceTypeName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$", max_length=63)]
TrainingPlanARN = Annotated[
    str,
    Field(
        pattern=r"^arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:training-plan/.*$", min_length=50, max_length=2048
    ),
]
MAX_INSTANCES = 1000
_PLAN = "arn:aws:sagemaker:eu-central-1:123456789012:training-plan/p5"
_OUTPUT_ONLY = "SageMaker sets it in what it answers, no request has it; leave it out"


class InstanceGroup(SpecModel):
    """Some of a heterogeneous job's instances, all of one type."""

    instance_type: InstanceTypeName = Field(
        description="Name of an InstanceType of this cluster.", examples=["ml.g5.xlarge"]
    )
    instance_count: int = Field(
        ge=1, le=MAX_INSTANCES, description="How many instances (hosts) the group has.", examples=[2]
    )
    instance_group_name: str = Field(
        min_length=1,
        max_length=64,
        description="Name of the group, by which channels refer to it.",
        examples=["workers"],
    )


class InstancePreference(SpecModel):
    """An instance type to try, in the order of the list."""

    instance_type: InstanceTypeName = Field(
        description="Name of an InstanceType of this cluster.", examples=["ml.g5.xlarge"]
    )
    instance_count: int | None = Field(
        default=None,
        ge=1,
        le=MAX_INSTANCES,
        description="How many instances (hosts) of this type the job needs.",
        examples=[2],
    )
    training_plan_arns: list[TrainingPlanARN] | None = Field(
        default=None, min_length=1, max_length=1, description="Capacity reserved on AWS.", examples=[[_PLAN]]
    )


class PlacementSpecification(SpecModel):
    """Instances on one UltraServer."""

    ultra_server_id: str | None = Field(
        default=None, max_length=256, description="ID of the UltraServer, which is AWS's hardware.", examples=["us-1"]
    )
    instance_count: int = Field(ge=0, le=MAX_INSTANCES, description="How many instances are to be on it.", examples=[2])


class InstancePlacementConfig(SpecModel):
    """Where on AWS's UltraServers instances go."""

    enable_multiple_jobs: bool | None = Field(
        default=None, description="true or false: whether several jobs may share an UltraServer."
    )
    placement_specifications: list[PlacementSpecification] = Field(
        default_factory=list, max_length=10, description="Which instances go to which UltraServer."
    )


class ResourceConfig(SpecModel):
    """The ML compute instances."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.instanceType) ? 1 : 0) + (has(self.instanceGroups) && size(self.instanceGroups) > 0 ? 1 : 0)"
            " + (has(self.instancePreferences) ? 1 : 0) == 1",
            lambda said: (
                [
                    said.instance_type is not None,
                    bool(said.instance_groups),
                    said.instance_preferences is not None,
                ].count(True)
                == 1
            ),
            "give exactly one of resourceConfig.instanceType, resourceConfig.instanceGroups and resourceConfig.instancePreferences",
        ),
        Rule(
            "!has(self.instanceGroups) || size(self.instanceGroups) == 0 || !has(self.instanceCount)",
            lambda said: not said.instance_groups or "instance_count" not in said.model_fields_set,
            "resourceConfig.instanceCount goes with instanceType; leave it out, each of instanceGroups has its own",
        ),
        Rule(
            "!has(self.instancePreferences) || (has(self.instanceCount)"
            " ? self.instancePreferences.all(each, !has(each.instanceCount))"
            " : self.instancePreferences.all(each, has(each.instanceCount)))",
            lambda said: (
                said.instance_preferences is None
                or all(
                    (each.instance_count is None) == ("instance_count" in said.model_fields_set)
                    for each in said.instance_preferences
                )
            ),
            "give instanceCount in each of resourceConfig.instancePreferences, or once as resourceConfig.instanceCount",
        ),
        Rule(
            "!has(self.keepAlivePeriodInSeconds) || self.keepAlivePeriodInSeconds == 0 || !has(self.instanceGroups)"
            " || size(self.instanceGroups) == 0",
            lambda said: not said.keep_alive_period_in_seconds or not said.instance_groups,
            "resourceConfig.keepAlivePeriodInSeconds does not go with resourceConfig.instanceGroups; leave one of them out",
        ),
        off("instance_groups", "instance groups are not supported yet; use instanceType and instanceCount", at="[]"),
        absent(
            "instance_preferences", "instance preferences are not supported yet; use instanceType and instanceCount"
        ),
        absent("selected_instance_type", _OUTPUT_ONLY),
        absent("selected_instance_count", _OUTPUT_ONLY),
    )

    instance_type: InstanceTypeName | None = Field(
        default=None,
        description="Name of an InstanceType of this cluster; `kubectl get instancetypes` lists them.",
        examples=["ml.m5.xlarge"],
    )
    instance_count: int = Field(
        default=1,
        ge=1,
        le=MAX_INSTANCES,
        description="How many instances (hosts algo-1 to algo-N), each one pod.",
        examples=[2],
    )
    volume_size_in_gb: int = Field(
        default=30,
        ge=1,
        le=16384,
        description="Size in GiB of each instance's storage volume, which holds input, model, output and /tmp.",
        examples=[30],
    )
    volume_kms_key_id: str | None = Field(
        default=None,
        pattern="^[a-zA-Z0-9:/_-]*$",
        max_length=2048,
        description="KMS key of the storage volume on AWS. Here the node's disk decides whether it is encrypted.",
        examples=["alias/volumes"],
    )
    keep_alive_period_in_seconds: int | None = Field(
        default=None,
        ge=0,
        le=21600,
        description="Seconds for which SageMaker keeps the instances for a next job. Nodes are the cluster's here.",
        examples=[600],
    )
    instance_groups: list[InstanceGroup] = Field(
        default_factory=list, max_length=5, description="Instances of several types, in groups. Not supported yet."
    )
    instance_preferences: list[InstancePreference] | None = Field(
        default=None,
        min_length=1,
        max_length=5,
        description="Instance types of which the first that can be had is used. Not supported yet.",
    )
    training_plan_arn: TrainingPlanARN | None = Field(
        default=None, description="Capacity reserved on AWS. Nodes are the cluster's here.", examples=[_PLAN]
    )
    instance_placement_config: InstancePlacementConfig | None = Field(
        default=None, description="Where on AWS's UltraServers instances go. The scheduler places pods here."
    )
    selected_instance_type: InstanceTypeName | None = Field(
        default=None, description="Only in SageMaker's answers; not supported here.", examples=["ml.g5.xlarge"]
    )
    selected_instance_count: int | None = Field(
        default=None,
        ge=0,
        le=MAX_INSTANCES,
        description="Number of instances in SageMaker's answers; not supported here.",
        examples=[2],
    )
