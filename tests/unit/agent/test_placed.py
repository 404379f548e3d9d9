"""What is in place is known to the next process, and to none after a restart of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainyard.agent.adapters import placed
from trainyard.agent.adapters.placed import Placed
from trainyard.agent.ports import StoredObject

ITEM = StoredObject("k/\udce4", 3, '"e"')


def made(directory: Path, name: str = "file") -> str:
    (directory / name).write_bytes(b"123")
    return str(directory / name)


def test_what_was_added_is_known_to_the_next_process_and_nothing_else(tmp_path: Path) -> None:
    first = Placed(tmp_path / "placed")
    first.add([(made(tmp_path), ITEM)])
    assert not first.has(made(tmp_path), ITEM), "it is about what an earlier process did"
    for _ in range(2):
        following = Placed(tmp_path / "placed")
        assert following.has(made(tmp_path), ITEM)
        assert not following.has(made(tmp_path, "other"), ITEM)
        assert not following.has(made(tmp_path), StoredObject(ITEM.key, 3, '"f"'))
    Path(made(tmp_path)).write_bytes(b"12")
    assert not following.has(str(tmp_path / "file"), ITEM), "it is not as long as it was"


def test_an_entry_that_was_cut_off_is_none(tmp_path: Path) -> None:
    Placed(tmp_path / "placed").add([(made(tmp_path), ITEM)])
    path = tmp_path / "placed"
    path.write_bytes(path.read_bytes()[:-1])
    assert not Placed(path).has(made(tmp_path), ITEM)


def test_what_was_cleared_is_gone(tmp_path: Path) -> None:
    Placed(tmp_path / "placed").add([(made(tmp_path), ITEM)])
    second = Placed(tmp_path / "placed")
    second.clear()
    assert not second.has(made(tmp_path), ITEM)
    second.add([(made(tmp_path, "other"), ITEM)])
    third = Placed(tmp_path / "placed")
    assert (third.has(made(tmp_path), ITEM), third.has(made(tmp_path, "other"), ITEM)) == (False, True)


def test_after_a_restart_of_the_machine_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Placed(tmp_path / "placed").add([(made(tmp_path), ITEM)])
    other = tmp_path / "boot_id"
    other.write_text("another")
    monkeypatch.setattr(placed, "BOOT_ID", other)
    assert not Placed(tmp_path / "placed").has(made(tmp_path), ITEM)
