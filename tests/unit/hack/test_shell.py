"""What is half made is never mistaken for finished."""

from contextlib import suppress
from pathlib import Path

import pytest

from hack import shell
from hack.console import Problem


def test_an_interrupted_directory_keeps_the_old_one_and_the_next_attempt_starts_clean(tmp_path: Path) -> None:
    place = tmp_path / "tool"
    with shell.whole(place) as draft:
        draft.mkdir()
        (draft / "old").touch()

    with suppress(KeyboardInterrupt), shell.whole(place) as draft:
        draft.mkdir()
        (draft / "half").touch()
        raise KeyboardInterrupt
    assert [entry.name for entry in place.iterdir()] == ["old"]

    with shell.whole(place) as draft:
        assert not draft.exists()
        draft.mkdir()
    assert list(place.iterdir()) == []


def test_an_unchanged_file_is_left_alone_and_a_changed_one_replaced(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    inodes = []
    for text in ("a", "a", "b"):
        shell.write(path, text)
        inodes.append(path.stat().st_ino)
        assert path.read_text() == text
    assert inodes[0] == inodes[1] != inodes[2]


def test_a_failed_command_says_what_it_was_and_what_it_said() -> None:
    with pytest.raises(Problem, match=r"sh -c .* failed \(3\):\nout\nerr"):
        shell.run("sh", "-c", "echo out; echo err >&2; exit 3")
