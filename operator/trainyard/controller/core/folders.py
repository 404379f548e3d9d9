"""What a program leaves beside its model: TensorBoard's files, the debugger's and the profiler's, each in a folder of its own in S3.

Default paths, keys and the names of the configuration files are SageMaker's. A directory below one of the storage volume's mounts
needs none of its own; any other is a sub-path of the volume, mounted where the job wants it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainyard.api import names
from trainyard.api.casing import to_aws
from trainyard.api.observation import PROFILER_PATH, TENSORBOARD_PATH, TENSORS_PATH
from trainyard.api.plan import FolderPlan, output_uri
from trainyard.api.trainingjob import TrainingJobSpec


@dataclass(frozen=True)
class _Folder:
    what: str
    name: str
    s3_output_path: str
    local_path: str


def _folders(spec: TrainingJobSpec) -> list[_Folder]:
    found = []
    if (board := spec.tensor_board_output_config) is not None:
        path = board.local_path or TENSORBOARD_PATH
        found.append(_Folder("TensorBoard files", "tensorboard-output", board.s3_output_path, path))
    if (hook := spec.debug_hook_config) is not None:
        path = hook.local_path or TENSORS_PATH
        found.append(_Folder("debugger files", "debug-output", hook.s3_output_path, path))
    profiler = spec.profiler_config
    if profiler is not None and profiler.s3_output_path is not None and not profiler.disable_profiler:
        found.append(_Folder("profiler files", "profiler-output", profiler.s3_output_path, PROFILER_PATH))
    return found


def kept(spec: TrainingJobSpec) -> bool:
    """Does it have any?"""
    return bool(_folders(spec))


def storage(spec: TrainingJobSpec) -> dict[str, str]:
    """Sub-paths of the storage volume and where training sees them."""
    kept = spec.checkpoint_config
    mounts = names.ML_SUBPATHS | ({"checkpoints": kept.local_path.rstrip("/")} if kept is not None else {})
    for folder in _folders(spec):
        path = folder.local_path.rstrip("/")
        if _below(path, mounts) is None:
            mounts = mounts | {f"folders/{folder.name}": path}
    return mounts


def plans(spec: TrainingJobSpec, training_job_name: str, interval_seconds: float) -> list[FolderPlan]:
    mounts = storage(spec)
    planned = []
    for folder in _folders(spec):
        directory = _below(folder.local_path.rstrip("/"), mounts)
        assert directory is not None
        planned.append(
            FolderPlan(
                what=folder.what,
                s3_uri=f"{output_uri(folder.s3_output_path, training_job_name)}/{folder.name}/",
                local_path=folder.local_path,
                directory=directory,
                interval_seconds=interval_seconds,
            )
        )
    return planned


def config_files(spec: TrainingJobSpec) -> dict[str, dict[str, Any]]:
    """File name -> content, under SageMaker's names, with the directory that is used."""
    found: dict[str, dict[str, Any]] = {}
    if (board := spec.tensor_board_output_config) is not None:
        found["tensorboardoutputconfig.json"] = {"LocalPath": TENSORBOARD_PATH} | to_aws(board.to_dict())
    if (hook := spec.debug_hook_config) is not None:
        found["debughookconfig.json"] = {"LocalPath": TENSORS_PATH} | to_aws(hook.to_dict())
    if (profiler := spec.profiler_config) is not None:
        found["profilerconfig.json"] = to_aws(profiler.to_dict())
    return found


def _below(path: str, mounts: dict[str, str]) -> str | None:
    """The directory of the storage volume that training sees as `path`, if it sees one; of the innermost mount."""
    found = [
        (len(mount), sub_path + path[len(mount) :])
        for sub_path, mount in mounts.items()
        if path == mount or path.startswith(f"{mount}/")
    ]
    return max(found)[1] if found else None
