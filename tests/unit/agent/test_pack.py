"""What becomes of files that change while they are read, and of names that only some places take."""

from __future__ import annotations

import io
import json
import os
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app.pack import Packer, TarStream
from trainyard.agent.core.archive import END_OF_ARCHIVE

SIZE = 3 * 1024 * 1024


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    return made


def pack(model: Path, meanwhile: Callable[[], None] = lambda: None) -> tuple[dict[str, bytes], dict[str, str], Packer]:
    """Files of the archive, why others are not there or not as they were, and the packer. `meanwhile`: once, as the first data is read."""
    made = io.BytesIO()
    once = iter([meanwhile])

    def write(data: bytes) -> None:
        if len(data) > 512:
            next(once, lambda: None)()
        made.write(data)

    packer = Packer(TarStream(write), io.StringIO(), "model", taken=None)
    packer.add_tree(model, "algo-1")
    made.write(END_OF_ARCHIVE)
    made.seek(0)
    with tarfile.open(fileobj=made, errors="surrogateescape") as archive:
        found = {each.name: file.read() for each in archive if (file := archive.extractfile(each))}
    return found, {entry["path"]: entry["why"] for entry in packer.notes.skipped}, packer


def test_a_file_that_grows_while_it_is_read_is_kept_as_it_was_and_named(model: Path) -> None:
    (model / "log").write_bytes(b"a" * SIZE)
    (model / "next").write_bytes(b"n")

    def grow() -> None:
        with (model / "log").open("ab") as file:
            file.write(b"b" * SIZE)

    found, why, _ = pack(model, grow)
    assert found == {"log": b"a" * SIZE, "next": b"n"}
    assert why == {"log": f"changed its size while it was read; kept as {SIZE} bytes"}


def test_a_file_that_shrinks_while_it_is_read_breaks_nothing_and_is_named(model: Path) -> None:
    (model / "log").write_bytes(b"a" * SIZE)
    (model / "next").write_bytes(b"n")
    found, why, _ = pack(model, lambda: os.truncate(model / "log", 10))
    assert len(found["log"]) == SIZE
    assert found["next"] == b"n"
    assert why == {"log": f"changed its size while it was read; kept as {SIZE} bytes"}


def test_a_file_that_is_written_to_while_it_is_read_is_named(model: Path) -> None:
    (model / "weights").write_bytes(b"a" * SIZE)

    def rewrite() -> None:
        with (model / "weights").open("r+b") as file:
            file.seek(SIZE - 1)
            file.write(b"b")
        os.utime(model / "weights", ns=(1, 1))  # two writes may be too close for the kernel's stamps

    _, why, _ = pack(model, rewrite)
    assert why["weights"].startswith("was written to while it was read")


def test_a_file_that_vanishes_while_it_is_read_is_whole(model: Path) -> None:
    (model / "a").write_bytes(b"a" * SIZE)
    found, why, _ = pack(model, (model / "a").unlink)
    assert (found, why) == ({"a": b"a" * SIZE}, {})


def test_files_that_vanish_before_they_are_read_are_named(model: Path) -> None:
    (model / "a").write_bytes(b"a" * SIZE)
    (model / "b").write_bytes(b"b")
    (model / "c").write_bytes(b"c")
    found, why, packer = pack(model, (model / "b").unlink)
    assert set(found) == {"a", "c"}
    assert why == {"b": "vanished or changed while it was read: No such file or directory"}
    assert packer.notes.skips == 1


def test_what_is_left_out_is_counted_also_where_it_is_not_listed(model: Path) -> None:
    for number in range(1200):
        (model / f"{number}").symlink_to("nowhere")
    _, why, packer = pack(model)
    assert (len(why), packer.notes.skips) == (1000, 1200)


def test_nothing_but_files_is_read(model: Path) -> None:
    os.mkfifo(model / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(model)  # a socket's path may not be long
        try:
            listener.bind("socket")
        finally:
            os.chdir(before)
    expected = {"fifo": "is a FIFO", "socket": "is a socket"}
    if os.geteuid() == 0:
        os.mknod(model / "zero", 0o600 | 0o020000, os.makedev(1, 5))
        expected["zero"] = "is a device"
    (model / "file").write_bytes(b"f")
    found, why, _ = pack(model)
    assert found == {"file": b"f"}
    assert why == expected


def test_paths_longer_than_any_system_call_takes_come_back_out_of_the_archive(model: Path) -> None:
    at = os.open(model, os.O_RDONLY)
    names = [f"{level:02}" + "d" * 250 for level in range(17)]
    for name in names:
        os.mkdir(name, dir_fd=at)
        at, above = os.open(name, os.O_RDONLY, dir_fd=at), at
        os.close(above)
    odd = ["line\nbreak", os.fsdecode(b"caf\xe9"), "x" * 255]
    for name in odd:
        os.close(os.open(name, os.O_CREAT, dir_fd=at))
    os.close(at)
    found, why, packer = pack(model)
    deep = "/".join(names)
    assert len(deep) > 4096
    assert set(found) == {f"{deep}/{name}" for name in odd}
    assert why == {}
    assert packer.files == 3


def test_a_digest_is_that_of_the_bytes_in_the_archive(model: Path) -> None:
    (model / "a").write_bytes(b"abc")
    listed = io.StringIO()
    Packer(TarStream(lambda _data: None), listed, "model", taken=None).add_tree(model, "algo-1")
    assert json.loads(listed.getvalue()) == {
        "path": "a",
        "size": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "host": "algo-1",
    }


def test_a_fifo_in_the_place_of_a_file_hangs_no_walk(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model / "file").write_bytes(b"f")
    really = os.stat

    def swapping(path: str, **named: int | bool) -> os.stat_result:
        found = really(path, **named)
        if path == "file":
            (model / "file").unlink()
            os.mkfifo(model / "file")
        return found

    monkeypatch.setattr(os, "stat", swapping)
    tree = Tree(model, "/opt/ml/model")
    assert list(tree.walk()) == []
    assert dict(tree.remarks.skipped) == {"file": "is a FIFO"}
