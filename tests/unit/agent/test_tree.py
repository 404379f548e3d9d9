"""Walking what hostile code wrote: nothing outside the directory is ever given out."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest

from trainyard.agent.adapters.trail import Skip
from trainyard.agent.adapters.tree import DEEPEST, RootError, Tree
from trainyard.agent.core.mirror import to_key

CANARY = b"canary"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(CANARY)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/file").write_bytes(CANARY)
    made = tmp_path / "model"
    made.mkdir()
    return made


def walked(model: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    tree = Tree(model, "/opt/ml/model")
    found = {entry.path: b"" if entry.directory else os.read(fd, 1 << 20) for entry, fd in tree.walk()}
    return found, dict(tree.remarks.skipped)


@pytest.mark.parametrize(
    "target",
    [
        "../secret", "../secrets", "/etc/passwd", "/proc/self/environ", "a/../../secret", "d/../../secret", "up/secret",
        "/opt/ml/model/../secret", "/opt/ml/modelx", "/opt/ml/model/up/secret", ".", "", "/", "..", "nothing", "me", "file/x", "d",
    ],
)  # fmt: skip
def test_a_link_that_is_not_to_a_file_inside_is_left_out(model: Path, target: str) -> None:
    (model / "d").mkdir()
    (model / "file").write_bytes(b"in")
    (model / "up").symlink_to("..")
    if target:
        (model / "me").symlink_to(target)
    found, skipped = walked(model)
    assert set(found) == {"d", "file"}
    assert CANARY not in found.values()
    assert set(skipped) == ({"up", "me"} if target else {"up"})


def test_links_to_files_inside_become_files(model: Path) -> None:
    (model / "d/e").mkdir(parents=True)
    (model / "d/e/file").write_bytes(b"in")
    (model / "one").symlink_to("d/e/file")
    (model / "two").symlink_to("./d/../d/e/../e/file")
    (model / "three").symlink_to("/opt/ml/model/one")
    (model / "d/back").symlink_to("../one")
    (model / "dir").symlink_to("d")
    (model / "through").symlink_to("dir/e/file")
    found, skipped = walked(model)
    assert {path for path, content in found.items() if content == b"in"} == {
        "one",
        "two",
        "three",
        "through",
        "d/back",
        "d/e/file",
    }
    assert set(skipped) == {"dir"}


def test_entries_come_in_bytewise_order_parents_first(model: Path) -> None:
    for name in ("b", "B", "a.txt", "a/z", "a/b"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(b"")
    assert list(walked(model)[0]) == ["B", "a", "a/b", "a/z", "a.txt", "b"]


def test_a_directory_that_was_replaced_by_a_link_is_not_entered(model: Path) -> None:
    model.rmdir()
    model.symlink_to("secrets")
    found, skipped = walked(model)
    assert not found
    assert list(skipped) == [""]


def test_a_directory_that_is_gone_is_an_empty_one(model: Path) -> None:
    model.rmdir()
    assert walked(model) == ({}, {})


def test_a_sparse_file_larger_than_its_volume_is_not_read(model: Path) -> None:
    with (model / "sparse").open("wb") as file:
        file.truncate(1 << 43)
    found, skipped = walked(model)
    assert not found
    assert "sparse" in skipped["sparse"]


def test_a_file_that_must_not_be_read_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "closed").write_bytes(b"x")
        (directory / "closed").chmod(0)
        me = os.geteuid()
        if me == 0:
            os.seteuid(1000)
        try:
            tree = Tree(directory, "/opt/ml/model")
            assert list(tree.walk()) == []
        finally:
            os.seteuid(me)
        assert tree.remarks.unreadable == ["closed"]


def test_directories_beyond_a_depth_are_listed_not_followed(model: Path) -> None:
    path = model
    for _ in range(DEEPEST + 5):
        path /= "d"
    path.mkdir(parents=True)
    found, skipped = walked(model)
    assert len(found) == DEEPEST + 1
    assert len(skipped) == 1


def test_a_fingerprint_changes_with_anything_that_is_written(model: Path) -> None:
    tree = Tree(model, "/opt/ml/model")
    prints = [tree.fingerprint()]
    (model / "a").write_bytes(b"1")
    prints.append(tree.fingerprint())
    (model / "a").write_bytes(b"2")
    prints.append(tree.fingerprint())
    (model / "a").rename(model / "b")
    prints.append(tree.fingerprint())
    assert len(set(prints)) == 4
    assert tree.fingerprint() == prints[-1]


def test_swapping_a_directory_for_a_link_while_it_is_walked_gains_nothing(model: Path) -> None:
    (model / "d").mkdir()
    (model / "d/file").write_bytes(b"in")
    link = model.parent / "link"
    link.symlink_to("../secrets")
    going = True

    def swap() -> None:
        while going:
            (model / "d").rename(model.parent / "kept")
            link.rename(model / "d")
            (model / "d").rename(link)
            (model.parent / "kept").rename(model / "d")

    racer = threading.Thread(target=swap)
    racer.start()
    try:
        for _ in range(1500):
            assert CANARY not in walked(model)[0].values()
    finally:
        going = False
        racer.join()
    shutil.rmtree(model)


def test_what_training_puts_in_the_way_to_a_directory_leads_nowhere(model: Path) -> None:
    (model / "a/runs").mkdir(parents=True)
    (model / "a/runs/events").write_bytes(b"in")
    tree = Tree(model, "/opt/ml/output/a/runs", "a/runs")
    assert [entry.path for entry, _ in tree.walk()] == ["events"]
    assert tree.survey()[1] == 2
    shutil.rmtree(model / "a")
    (model / "a").symlink_to("../secrets")
    (model.parent / "secrets/runs").mkdir()
    (model.parent / "secrets/runs/file").write_bytes(CANARY)
    with pytest.raises(RootError), tree.root():
        pass
    assert list(tree.walk()) == []


def test_opening_by_a_path_while_a_directory_on_it_is_swapped_gains_nothing(model: Path) -> None:
    (model / "d").mkdir()
    (model / "d/file").write_bytes(b"in")
    link = model.parent / "link"
    link.symlink_to("../secrets")
    going = True

    def swap() -> None:
        while going:
            (model / "d").rename(model.parent / "kept")
            link.rename(model / "d")
            (model / "d").rename(link)
            (model.parent / "kept").rename(model / "d")

    racer = threading.Thread(target=swap)
    racer.start()
    opened = rounds = 0
    until = time.monotonic() + 20
    tree = Tree(model, "/opt/ml/model")
    try:
        with tree.root() as root:
            while rounds < 3000 or (not opened and time.monotonic() < until):
                rounds += 1
                try:
                    with tree.opened(root, "d/file") as (_, descriptor, _status):
                        opened += 1
                        assert os.read(descriptor, 100) == b"in"
                except (OSError, Skip):
                    continue
    finally:
        going = False
        racer.join()
    assert opened


def glanced(model: Path) -> tuple[dict[str, int | None], dict[str, str]]:
    """Path -> size of what a glance shows, in its order; None for what cannot be told."""
    tree = Tree(model, "/opt/ml/model")
    with tree.root() as root:
        found = {path: status.st_size if status else None for path, status in tree.glance(root)}
    return found, dict(tree.remarks.skipped)


def test_a_glance_shows_the_files_that_a_walk_gives_in_the_order_of_the_ledgers_keys(model: Path) -> None:
    for path in ("a/b", "a-", "a!", "ü/x", "z", "a/sub/deep", "\U0001f600", "~"):
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_text(path)
    (model / "link").symlink_to("a/b")
    (model / "out").symlink_to("../secret")
    (model / "dir").symlink_to("a")
    os.mkfifo(model / "fifo")
    shown, skipped = glanced(model)
    found, walk_skipped = walked(model)
    assert shown == {path: len(content) for path, content in found.items() if not (model / path).is_dir()}
    assert skipped == walk_skipped
    assert list(shown) == sorted(shown, key=to_key)


def test_a_directory_that_cannot_be_opened_hides_what_is_below(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model / "a").mkdir()
    (model / "a/x").write_text("x")
    (model / "b").write_text("x")
    really = os.open

    def refusing(path: str | Path, *arguments: int, **named: int | None) -> int:
        if path == "a":
            raise PermissionError(13, "Permission denied")  # as in restricted mode, where the agent is not root
        return really(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refusing)
    shown, skipped = glanced(model)
    assert shown == {"a": None, "b": 1}
    assert skipped == {"a": "cannot be read: Permission denied"}


@pytest.mark.parametrize("kind", ["nothing", "link", "file"])
def test_a_directory_that_is_none_is_not_taken_for_an_empty_one(model: Path, kind: str) -> None:
    model.rmdir()
    if kind == "link":
        model.symlink_to("secrets")
    elif kind == "file":
        model.write_text("x")
    with pytest.raises(RootError):
        glanced(model)


@pytest.mark.parametrize(
    ("path", "raised"),
    [
        ("d/out", Skip),
        ("up/secret", OSError),
        ("gone", FileNotFoundError),
        ("gone/x", FileNotFoundError),
        ("file/x", OSError),
        ("d", None),
        ("d/in", None),
        ("file", None),
    ],
)
def test_a_path_is_opened_below_the_directory_or_not_at_all(
    model: Path, path: str, raised: type[Exception] | None
) -> None:
    (model / "d").mkdir()
    (model / "file").write_bytes(b"in")
    (model / "up").symlink_to("..")
    (model / "d/out").symlink_to("../../secret")
    (model / "d/in").symlink_to("../file")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    tree = Tree(model, "/opt/ml/model")
    with tree.root() as root:
        if raised is not None:
            with pytest.raises(raised), tree.opened(root, path):
                pass
        else:
            with tree.opened(root, path) as (_, descriptor, status):
                assert os.fstat(descriptor).st_ino == status.st_ino
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
