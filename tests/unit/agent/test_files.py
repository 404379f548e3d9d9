"""Directories for training, on a volume that training may have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainyard.agent.adapters import files


def test_a_directory_gets_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "d", 0o1777)
    assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o1777


def test_no_link_is_followed_to_change_a_mode(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("outside")
    with pytest.raises(OSError, match="link"):
        files.make_directory(tmp_path / "link")
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o700
