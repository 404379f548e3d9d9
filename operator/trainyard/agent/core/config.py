"""The files in /opt/ml/input/config, as the container contract has them."""

from __future__ import annotations

import json
from typing import Any

from trainyard.api.plan import MountedChannel, Plan

NETWORK_INTERFACE = "eth0"


def hyperparameters(plan: Plan) -> dict[str, str]:
    """Every value stays the string it was: `"1"` must not become 1."""
    return dict(plan.hyper_parameters)


def input_data_config(plan: Plan, host: str) -> dict[str, dict[str, str]]:
    """The host's channels by name. The key is S3DistributionType here, unlike the API's S3DataDistributionType."""
    config = {each.name: _mounted(each) for each in plan.mounted}
    for channel in plan.channels_of(host):
        entry = {"ContentType": channel.content_type} if channel.content_type else {}
        config[channel.name] = entry | {
            "TrainingInputMode": channel.input_mode,
            "S3DistributionType": channel.distribution,
            "RecordWrapperType": channel.record_wrapper,
        }
        if channel.compression == "Gzip":
            config[channel.name]["CompressionType"] = "Gzip"
    return config


def _mounted(channel: MountedChannel) -> dict[str, str]:
    """Every host sees all of it."""
    return ({"ContentType": channel.content_type} if channel.content_type else {}) | {
        "TrainingInputMode": channel.input_mode,
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }


def resource_config(plan: Plan, host: str) -> dict[str, Any]:
    """Who takes part. Host names are sorted as strings and alike on every host: readers take the first as master."""
    me = plan.host(host)
    groups: dict[str, dict[str, Any]] = {}
    for each in plan.hosts:
        group = groups.setdefault(
            each.instance_group,
            {"instance_group_name": each.instance_group, "instance_type": each.instance_type, "hosts": []},
        )
        group["hosts"] = sorted([*group["hosts"], each.name])
    return {
        "current_host": me.name,
        "current_instance_type": me.instance_type,
        "current_group_name": me.instance_group,
        "hosts": sorted(each.name for each in plan.hosts),
        "instance_groups": list(groups.values()),
        "network_interface_name": NETWORK_INTERFACE,
    }


def checkpoint_config(plan: Plan) -> dict[str, dict[str, str]]:
    """The file is there only for a job that keeps checkpoints."""
    kept = plan.checkpoints
    return {"checkpointconfig.json": {"S3Uri": kept.s3_uri, "LocalPath": kept.local_path}} if kept is not None else {}


def config_files(plan: Plan, host: str) -> dict[str, str]:
    """File name -> content. ASCII only: images of any age read them in any locale."""
    content = {
        "hyperparameters.json": hyperparameters(plan),
        "inputdataconfig.json": input_data_config(plan, host),
        "resourceconfig.json": resource_config(plan, host),
    } | checkpoint_config(plan)
    content |= plan.config_files
    return {name: json.dumps(each) for name, each in content.items()}
