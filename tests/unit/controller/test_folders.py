"""Where TensorBoard's files and the debugger's lie: in the container, on the storage volume, and in S3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import specs
from trainyard.api import names
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.controller.core import folders


def spec(**patch: Any) -> TrainingJobSpec:
    return TrainingJobSpec.model_validate(specs.patched(specs.MINIMAL, patch))


def board(local_path: str | None = None, uri: str = "s3://bucket/tb") -> specs.Spec:
    return {"s3OutputPath": uri} | ({"localPath": local_path} if local_path else {})


def test_without_any_there_is_nothing() -> None:
    made = spec()
    assert folders.storage(made) == names.ML_SUBPATHS
    assert folders.plans(made, "Job", 60) == []
    assert folders.config_files(made) == {}


def test_the_defaults_are_sagemakers() -> None:
    made = spec(
        tensorBoardOutputConfig=board(),
        debugHookConfig={"s3OutputPath": "s3://bucket/", "collectionConfigurations": [{"collectionName": "losses"}]},
        profilerConfig={"s3OutputPath": "s3://bucket/p"},
    )
    assert folders.storage(made) == names.ML_SUBPATHS, "they lie below /opt/ml/output, which is mounted"
    assert [(plan.s3_uri, plan.local_path, plan.directory) for plan in folders.plans(made, "Job", 60)] == [
        ("s3://bucket/tb/Job/tensorboard-output/", "/opt/ml/output/tensorboard", "output/tensorboard"),
        ("s3://bucket/Job/debug-output/", "/opt/ml/output/tensors", "output/tensors"),
        ("s3://bucket/p/Job/profiler-output/", "/opt/ml/output/profiler", "output/profiler"),
    ]
    assert folders.config_files(made) == {
        "tensorboardoutputconfig.json": {"LocalPath": "/opt/ml/output/tensorboard", "S3OutputPath": "s3://bucket/tb"},
        "debughookconfig.json": {
            "LocalPath": "/opt/ml/output/tensors",
            "S3OutputPath": "s3://bucket/",
            "CollectionConfigurations": [{"CollectionName": "losses"}],
        },
        "profilerconfig.json": {"S3OutputPath": "s3://bucket/p"},
    }


def test_a_users_own_names_are_not_touched() -> None:
    hook = {
        "s3OutputPath": "s3://bucket/d",
        "localPath": "/work/tensors/",
        "hookParameters": {"save_interval": "100"},
        "collectionConfigurations": [{"collectionName": "a", "collectionParameters": {"include_regex": "x"}}],
    }
    assert folders.config_files(spec(debugHookConfig=hook))["debughookconfig.json"] == {
        "LocalPath": "/work/tensors/",
        "S3OutputPath": "s3://bucket/d",
        "HookParameters": {"save_interval": "100"},
        "CollectionConfigurations": [{"CollectionName": "a", "CollectionParameters": {"include_regex": "x"}}],
    }


@pytest.mark.parametrize(
    ("path", "directory"),
    [
        ("/opt/ml/output/tensorboard/", "output/tensorboard"),
        ("/opt/ml/model/runs", "model/runs"),
        ("/opt/ml/checkpoints/runs", "folders/tensorboard-output"),  # which is elsewhere in this job
        ("/work/ck/runs", "checkpoints/runs"),
        ("/tmp/runs", "tmp/runs"),
        ("/opt/ml/outputs", "folders/tensorboard-output"),
        ("/work/runs", "folders/tensorboard-output"),
    ],
)
def test_a_directory_is_mounted_where_the_volume_is_not_seen_already(path: str, directory: str) -> None:
    made = spec(
        checkpointConfig={"s3URI": "s3://bucket/ck", "localPath": "/work/ck"}, tensorBoardOutputConfig=board(path)
    )
    (plan,) = folders.plans(made, "Job", 60)
    assert plan.directory == directory
    mounted = folders.storage(made)
    assert ("folders/tensorboard-output" in mounted) == (directory == "folders/tensorboard-output")
    sub_path = directory.split("/runs", maxsplit=1)[0].removesuffix("/tensorboard")
    assert path.startswith(mounted[sub_path])


def test_one_folder_may_lie_in_another() -> None:
    made = spec(
        tensorBoardOutputConfig=board("/work/logs/tb"),
        debugHookConfig={"s3OutputPath": "s3://bucket/d", "localPath": "/work/logs"},
    )
    assert [plan.directory for plan in folders.plans(made, "Job", 60)] == [
        "folders/tensorboard-output",
        "folders/debug-output",
    ]


def test_a_profiler_that_is_off_uploads_nothing_and_says_so() -> None:
    made = spec(profilerConfig={"s3OutputPath": "s3://bucket/p", "disableProfiler": True})
    assert folders.plans(made, "Job", 60) == []
    assert folders.config_files(made)["profilerconfig.json"]["DisableProfiler"] is True
