"""Channels that a volume serves: `stage` looks whether their directory is there, and copies nothing."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.unit.agent.builders import channel, plan
from trainyard.agent.adapters import beneath
from trainyard.agent.app import mounted
from trainyard.agent.app.input import Input
from trainyard.agent.app.patience import Patience
from trainyard.agent.app.progress import Progress
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.store import Store
from trainyard.agent.core import config
from trainyard.agent.errors import ClientFailure
from trainyard.api.plan import MountedChannel
from trainyard.api.reasons import Reason


def files(**fields: object) -> MountedChannel:
    values = {"name": "train", "volume": "claim-0", "path": "a/b", "source": "fs-1:/a/b", "claim": "shared"}
    return MountedChannel(**(values | fields))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    made = tmp_path / "volumes" / "claim-0"
    (made / "a/b").mkdir(parents=True)
    (made / "file").touch()
    (made / "inner").symlink_to("a/b")
    (made / "absolute").symlink_to("/a/b")
    (made / "outer").symlink_to("../..")
    (made / "loop").symlink_to("loop")
    return made


@pytest.mark.parametrize("path", ["", "a", "a/b", "inner"])
def test_a_directory_is_found_also_behind_a_link_that_stays_in_the_volume(volume: Path, path: str) -> None:
    assert beneath.fault(volume, path) == ""


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("missing", "does not exist"),
        ("a/b/c", "does not exist"),
        ("file/x", "does not exist"),
        ("file", "is not a directory"),
        ("absolute", "does not exist, or leads out of it by a symbolic link"),
        ("outer", "is, or lies behind, a symbolic link that leads out of it"),
        ("outer/volumes", "is, or lies behind, a symbolic link that leads out of it"),
        ("loop", "cannot be looked at: Too many levels of symbolic links"),
        ("n" * 300, "cannot be looked at: File name too long"),
    ],
)
def test_what_the_kubelet_would_make_or_refuse_is_refused_before(volume: Path, path: str, fault: str) -> None:
    assert beneath.fault(volume, path) == fault


def settings(directory: Path) -> Settings:
    made = Settings("algo-1", ml=directory / "ml", state=directory / "state", volumes=directory / "volumes")
    (made.ml / "input/data").mkdir(parents=True)
    made.scratch.mkdir(parents=True)
    return made


def test_a_missing_directory_fails_the_job_by_name_and_is_not_made(tmp_path: Path, volume: Path) -> None:
    with pytest.raises(ClientFailure) as failure:
        mounted.check(settings(tmp_path), plan(mounted=[files(path="a/c", source="fs-1:/a/c")]))
    assert failure.value.reason is Reason.DATA_DOWNLOAD_FAILED
    assert failure.value.message == (
        "ClientError: Data download failed:fs-1:/a/c of channel \"train\" cannot be used: the directory 'a/c' of"
        " PersistentVolumeClaim shared, which serves it, does not exist. Create the directory, or correct directoryPath."
    )
    assert not (volume / "a/c").exists()


def test_a_fastfile_channel_without_objects_has_no_data(tmp_path: Path, volume: Path) -> None:
    assert volume.is_dir()
    with pytest.raises(ClientFailure) as failure:
        mounted.check(settings(tmp_path), plan(mounted=[files(path="x", source="s3://b/x", input_mode="FastFile")]))
    assert failure.value.reason is Reason.NO_DATA


def test_nothing_of_a_mounted_channel_is_copied_or_counted(tmp_path: Path, volume: Path) -> None:
    (volume / "a/b/data").write_text("data")
    where = settings(tmp_path)
    progress = Progress(where.stage_progress)
    Input(where, plan(mounted=[files()]), cast("Store", None), Patience(1), progress).bring()
    assert list((where.ml / "input/data/train").iterdir()) == []
    assert (progress.objects, progress.bytes) == (0, 0)


def test_the_fifos_of_a_channel_are_no_directory_of_a_mounted_one(tmp_path: Path, volume: Path) -> None:
    assert volume.is_dir()
    where = settings(tmp_path)
    made = plan(channels=[channel(input_mode="Pipe")], mounted=[files(name="train_0")])
    with pytest.raises(ClientFailure, match='another channel is called "train_0"'):
        Input(where, made, cast("Store", None), Patience(1), Progress(where.stage_progress)).bring()


def test_programs_find_a_mounted_channel_in_their_configuration() -> None:
    made = plan(2, mounted=[files(content_type="text/csv"), files(name="v", input_mode="FastFile")])
    assert config.input_data_config(made, "algo-2") == {
        "train": {
            "ContentType": "text/csv",
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        },
        "v": {"TrainingInputMode": "FastFile", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"},
    }
