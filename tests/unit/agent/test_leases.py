"""Whether a file is still open for writing, as the kernel tells it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from trainyard.agent.adapters.leases import being_written


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"x" * 4096)
    descriptor = os.open(path, os.O_RDONLY)
    known = being_written(descriptor)
    os.close(descriptor)
    if known is None:
        pytest.skip("this file system knows no leases")
    return path


def asked(path: Path) -> bool | None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return being_written(descriptor)
    finally:
        os.close(descriptor)


def test_a_file_counts_as_written_from_its_opening_to_its_close(file: Path) -> None:
    assert asked(file) is False
    with file.open("ab"):
        assert asked(file) is True
    assert asked(file) is False


def test_a_mapping_outlives_the_descriptor_it_was_made_of(file: Path) -> None:
    with file.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
    assert asked(file) is True
    mapped.close()
    assert asked(file) is False


def test_readers_do_not_matter_and_a_writer_is_not_kept_waiting(file: Path) -> None:
    with file.open("rb"):
        assert asked(file) is False
    with file.open("r+b") as opened:
        opened.write(b"y")
    assert file.read_bytes().startswith(b"y")


def test_where_nobody_can_tell_the_answer_is_none(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert being_written(directory) is None
    finally:
        os.close(directory)
