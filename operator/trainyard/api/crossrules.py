"""The rules of a TrainingJob that look across its parts, and the one that forbids its change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainyard.api.casing import field_name
from trainyard.api.rules import VALIDATIONS, Rule, merged

IMMUTABLE = "a TrainingJob cannot be changed once created; delete it and create it again, or create one of another name"

STOP_STAYS = "stop: a stop cannot be taken back; create a new job instead"

# In CEL: of channel `c`, the input mode that holds, and its S3 source's type.
_MODE = (
    "(has(c.inputMode) ? c.inputMode : has(self.algorithmSpecification.trainingInputMode)"
    " ? self.algorithmSpecification.trainingInputMode : 'File')"
)
_S3 = "has(c.dataSource.s3DataSource)"
_TYPE = "(has(c.dataSource.s3DataSource.s3DataType) ? c.dataSource.s3DataSource.s3DataType : 'S3Prefix')"
_SPOT = "has(self.enableManagedSpotTraining) && self.enableManagedSpotTraining"
_GROUPS = "c.dataSource.s3DataSource.instanceGroupNames"
_WAIT = "has(self.stoppingCondition) && has(self.stoppingCondition.maxWaitTimeInSeconds)"


def _channels(cel: str) -> str:
    return f"!has(self.inputDataConfig) || self.inputDataConfig.all(c, {cel})"


def _every(holds: Callable[[Any, str, Any], bool]) -> Callable[[Any], bool]:
    """Of every channel, its input mode and its S3 source, if it has one."""
    return lambda spec: all(
        holds(channel, channel.input_mode or spec.algorithm_specification.training_input_mode, channel.data_source.s3_data_source)
        for channel in spec.input_data_config
    )  # fmt: skip


def _groups_exist(spec: Any) -> bool:
    groups = {group.instance_group_name for group in spec.resource_config.instance_groups}
    return _every(lambda _, __, s3: s3 is None or groups.issuperset(s3.instance_group_names))(spec)


CROSS_RULES: tuple[Rule, ...] = (
    Rule(
        f"!({_SPOT}) || ({_WAIT})",
        lambda spec: (
            not spec.enable_managed_spot_training or spec.stopping_condition.max_wait_time_in_seconds is not None
        ),
        "enableManagedSpotTraining needs stoppingCondition.maxWaitTimeInSeconds; say how long the job may wait and run together",
    ),
    Rule(
        f"!({_WAIT}) || ({_SPOT})",
        lambda spec: spec.stopping_condition.max_wait_time_in_seconds is None or spec.enable_managed_spot_training,
        "stoppingCondition.maxWaitTimeInSeconds goes with enableManagedSpotTraining; set that to true, or leave it out and use"
        " stoppingCondition.maxPendingTimeInSeconds",
    ),
    Rule(
        _channels(f"!{_S3} || {_TYPE} != 'AugmentedManifestFile' || {_MODE} == 'Pipe'"),
        _every(lambda _, mode, s3: s3 is None or s3.s3_data_type != "AugmentedManifestFile" or mode == "Pipe"),
        "inputDataConfig: a channel with s3DataType AugmentedManifestFile needs Pipe mode; set its inputMode to Pipe",
    ),
    Rule(
        _channels(f"!{_S3} || {_MODE} != 'FastFile' || {_TYPE} == 'S3Prefix'"),
        _every(lambda _, mode, s3: s3 is None or mode != "FastFile" or s3.s3_data_type == "S3Prefix"),
        "inputDataConfig: a channel in FastFile mode needs s3DataType S3Prefix; change its s3DataType or its inputMode",
    ),
    Rule(
        _channels(f"!has(c.dataSource.fileSystemDataSource) || {_MODE} == 'File'"),
        _every(lambda channel, mode, _: channel.data_source.file_system_data_source is None or mode == "File"),
        "inputDataConfig: a channel with fileSystemDataSource needs File mode; set its inputMode to File",
    ),
    Rule(
        f"has(self.vpcConfig) || ({_channels('!has(c.dataSource.fileSystemDataSource)')})",
        lambda spec: (
            spec.vpc_config is not None
            or all(channel.data_source.file_system_data_source is None for channel in spec.input_data_config)
        ),
        "inputDataConfig: a channel with fileSystemDataSource needs vpcConfig, as on SageMaker; give it or use s3DataSource",
    ),
    Rule(
        _channels(f"!has(c.compressionType) || c.compressionType != 'Gzip' || {_MODE} == 'Pipe'"),
        _every(lambda channel, mode, _: channel.compression_type != "Gzip" or mode == "Pipe"),
        "inputDataConfig: a channel with compressionType Gzip needs Pipe mode; leave compressionType out or set its inputMode to Pipe",
    ),
    Rule(
        _channels(f"!has(c.recordWrapperType) || c.recordWrapperType != 'RecordIO' || {_MODE} == 'Pipe'"),
        _every(lambda channel, mode, _: channel.record_wrapper_type != "RecordIO" or mode == "Pipe"),
        "inputDataConfig: a channel with recordWrapperType RecordIO needs Pipe mode; leave recordWrapperType out or set its inputMode to Pipe",
    ),
    Rule(
        _channels(
            f"!{_S3} || !has({_GROUPS}) || {_GROUPS}.all(name, has(self.resourceConfig.instanceGroups)"
            " && self.resourceConfig.instanceGroups.exists(group, group.instanceGroupName == name))"
        ),
        _groups_exist,
        "inputDataConfig: a channel's instanceGroupNames must be names of resourceConfig.instanceGroups; correct or leave out what is not",
    ),
    Rule(
        "!has(self.resourceConfig.keepAlivePeriodInSeconds) || self.resourceConfig.keepAlivePeriodInSeconds == 0"
        f" || !({_SPOT})",
        lambda spec: not spec.resource_config.keep_alive_period_in_seconds or not spec.enable_managed_spot_training,
        "resourceConfig.keepAlivePeriodInSeconds does not go with enableManagedSpotTraining; leave one of them out",
    ),
    Rule(
        f"!has(self.resourceConfig.instancePreferences) || !({_SPOT})",
        lambda spec: spec.resource_config.instance_preferences is None or not spec.enable_managed_spot_training,
        "resourceConfig.instancePreferences does not go with enableManagedSpotTraining; leave one of them out",
    ),
)


def unchanged(controls: tuple[str, ...]) -> Callable[[dict[str, Any]], None]:
    """For a model's `json_schema_extra`: one transition rule that all fields but `controls` are as they were, and that a stop stays.

    On the whole spec, as rules on fields do not see that a field was put in or taken out; one, because it is asked at every
    write of a status. Fields without known members are left out: they are refused in any case."""
    free = {field_name(name) for name in controls}

    def add(schema: dict[str, Any]) -> None:
        same = {
            f"{name}: {IMMUTABLE}": f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})"
            for name, node in schema["properties"].items()
            if name not in free and not _opaque(node)
        }
        stays = {STOP_STAYS: "!(has(oldSelf.stop) && oldSelf.stop) || (has(self.stop) && self.stop)"}
        said = merged(same | stays, IMMUTABLE)
        # Nearly every write is one of a status: one comparison then answers for all.
        schema.setdefault(VALIDATIONS, []).append(said | {"rule": f"self == oldSelf || ({said['rule']})"})

    return add


def _opaque(node: dict[str, Any]) -> bool:
    return any(member.get("additionalProperties") is True for member in node.get("anyOf", [node]))
