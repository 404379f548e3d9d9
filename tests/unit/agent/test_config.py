"""The three configuration files, as images read them."""

from __future__ import annotations

import json

from tests.unit.agent.builders import channel, plan
from trainyard.agent.core import config
from trainyard.api.plan import CheckpointPlan, Host


def test_nothing_given_gives_empty_objects() -> None:
    files = config.config_files(plan(), "algo-1")
    assert files["hyperparameters.json"] == files["inputdataconfig.json"] == "{}"


def test_hyperparameters_stay_the_strings_they_were() -> None:
    given = {"num_round": "128", "optimizer": '"adam"', "flag": "true", "u": "ü\u2028"}
    content = config.config_files(plan(hyper_parameters=given), "algo-1")["hyperparameters.json"]
    assert json.loads(content) == given
    assert content.isascii()


def test_channels_say_s3_distribution_type_and_leave_out_what_is_unset() -> None:
    made = plan(channels=[channel(content_type="text/csv", distribution="ShardedByS3Key"), channel(name="validation")])
    assert config.input_data_config(made, "algo-1") == {
        "train": {
            "ContentType": "text/csv",
            "TrainingInputMode": "File",
            "S3DistributionType": "ShardedByS3Key",
            "RecordWrapperType": "None",
        },
        "validation": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        },
    }


def test_a_channel_of_other_groups_is_not_there() -> None:
    hosts = [
        Host(name="algo-1", address="a", instance_type="ml.c5.xlarge", instance_group="leaders"),
        Host(name="algo-2", address="b", instance_type="ml.p3.2xlarge", instance_group="workers"),
    ]
    made = plan(hosts=2, channels=[channel(instance_groups=["workers"]), channel(name="all")])
    made = made.but(hosts=hosts)
    assert [list(config.input_data_config(made, host.name)) for host in hosts] == [["all"], ["train", "all"]]


def test_hosts_are_sorted_as_strings() -> None:
    resources = config.resource_config(plan(hosts=11), "algo-2")
    assert resources["hosts"][:4] == ["algo-1", "algo-10", "algo-11", "algo-2"]
    assert resources["instance_groups"][0]["hosts"] == resources["hosts"]
    assert resources["current_host"] == "algo-2"


def test_a_heterogeneous_job_looks_as_on_sagemaker_and_alike_on_every_host() -> None:
    hosts = [
        Host(name="algo-1", address="a", instance_type="ml.p3.2xlarge", instance_group="group2"),
        Host(name="algo-2", address="b", instance_type="ml.c5.xlarge", instance_group="group1"),
        Host(name="algo-3", address="c", instance_type="ml.p3.2xlarge", instance_group="group2"),
    ]
    made = plan(hosts=3).but(hosts=hosts)
    assert config.resource_config(made, "algo-3") == {
        "current_host": "algo-3",
        "current_instance_type": "ml.p3.2xlarge",
        "current_group_name": "group2",
        "hosts": ["algo-1", "algo-2", "algo-3"],
        "instance_groups": [
            {"instance_group_name": "group2", "instance_type": "ml.p3.2xlarge", "hosts": ["algo-1", "algo-3"]},
            {"instance_group_name": "group1", "instance_type": "ml.c5.xlarge", "hosts": ["algo-2"]},
        ],
        "network_interface_name": "eth0",
    }


def test_only_a_job_that_keeps_checkpoints_is_told_where() -> None:
    assert "checkpointconfig.json" not in config.config_files(plan(), "algo-1")
    kept = CheckpointPlan(s3_uri="s3://b/ck/", local_path="/work/ck/")
    content = config.config_files(plan(checkpoints=kept), "algo-1")["checkpointconfig.json"]
    assert json.loads(content) == {"S3Uri": "s3://b/ck/", "LocalPath": "/work/ck/"}
