"""Large trees go through the packer in little memory: a sparse one of 100 GiB, and a million files, with TRAINYARD_LONG=1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LONG = os.environ.get("TRAINYARD_LONG") == "1"
GIB = 1024**3
MOST = 256 * 1024 * 1024
SPARSE = (10, 10 * GIB) if LONG else (4, GIB // 4)
FILES = 1_000_000 if LONG else 20_000


def packed(how: str, tmp_path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.support.packing", how, str(tmp_path / "ml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(
        f"\n{how}: {found['files']} files, {found['bytes'] / GIB:.1f} GiB in {found['seconds']} s, peak {found['peak'] / 1e6:.0f} MB"
    )
    return found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files in one directory: its list of names is what needs memory."""
    made = tmp_path_factory.mktemp("many")
    directory = made / "ml/model"
    directory.mkdir(parents=True)
    root = os.open(directory, os.O_RDONLY)
    for number in range(FILES):
        file = os.open(f"part-{number:08}.bin", os.O_WRONLY | os.O_CREAT, dir_fd=root)
        os.write(file, b"%d" % number)
        os.close(file)
    os.close(root)
    return made


@pytest.mark.timeout(3 * 3600 if LONG else 600)
def test_a_sparse_tree_is_a_stream_in_little_memory(tmp_path: Path) -> None:
    count, size = SPARSE
    (tmp_path / "ml/model").mkdir(parents=True)
    for number in range(count):
        with (tmp_path / f"ml/model/sparse-{number}").open("wb") as file:
            file.truncate(size)
            file.seek(size // 2)
            file.write(os.urandom(1000))
    found = packed("archive", tmp_path)
    assert (found["files"], found["bytes"], found["skips"]) == (count, count * size, 0)
    assert found["written"] < found["bytes"] // 50
    assert found["peak"] < MOST


@pytest.mark.timeout(3 * 3600 if LONG else 600)
@pytest.mark.parametrize("how", ["archive", "merge", "objects"])
def test_many_small_files_go_in_little_memory(many: Path, how: str) -> None:
    found = packed(how, many)
    assert (found["files"], found["skips"]) == (FILES, 0)
    assert found["bytes"] == sum(len(str(number)) for number in range(FILES))
    assert found["peak"] < MOST
