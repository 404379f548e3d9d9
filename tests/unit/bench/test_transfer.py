"""The pure parts of the benchmarks of staging, upload and archive."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from tests.bench.transfer import archive, channels, loads, measured, sharded, staging, upload
from tests.bench.transfer.measured import MIB, Contender, Row, Took
from tests.bench.transfer.servers import PART, Known, etag


def row(name: str, *seconds: float, rss: int = MIB, size: int = 0, first: float | None = None) -> Row:
    return Row(name, [Took(each, each / 2, rss, size=size, first=first) for each in seconds])


def test_runs_take_turns_and_what_is_slow_runs_once() -> None:
    ran: list[str] = []

    def contender(name: str, *, slow: bool = False) -> Contender:
        def run() -> Took:
            ran.append(name)
            return Took(1, 1, 1)

        return Contender(name, run, slow)

    rows = measured.in_turns([contender("a"), contender("b", slow=True), contender("c")], 3)
    assert "".join(ran) == "abccaca"
    assert [len(each.runs) for each in rows] == [3, 1, 3]


def test_contenders_are_compared_run_by_run_and_not_by_their_medians() -> None:
    # The machine was three times as slow in the second round, for both.
    assert measured.pairs(row("a", 1, 3, 1), row("b", 2, 6, 2)) == 2


def test_a_row_tells_the_median_and_the_largest_memory() -> None:
    found = Row("x", [Took(3, 1, 5 * MIB), Took(1, 1, 7 * MIB), Took(2, 1, 6 * MIB)])
    assert (found.seconds, found.rss) == (2, 7 * MIB)
    assert "500 obj/s" in measured.line(found, size=0, objects=1000)
    assert "5 MB/s" in measured.line(found, size=10_000_000)
    assert "*" in measured.line(row("x", 1), size=1)
    assert "*" not in measured.line(found, size=1)


def test_who_may_fail_is_shown_as_failed_and_others_are_an_error() -> None:
    def run() -> Took:
        raise RuntimeError("s5cmd ended with 1: \nno such thing")

    (found,) = measured.in_turns([Contender("a", run, may_fail=True)], 2)
    assert "failed 2 of 2: no such thing" in measured.line(found, size=1)
    found.runs.append(Took(1, 1, 1))
    assert "1.00" in measured.line(found, size=1)
    assert "failed 2 of 3: no such thing" in measured.line(found, size=1)
    with pytest.raises(RuntimeError, match="no such thing"):
        measured.in_turns([Contender("a", run)], 1)


def test_what_a_command_took_is_measured_and_its_failure_is_one(tmp_path: Path) -> None:
    took = measured.run(["sh", "-c", "head -c 30000000 /dev/zero | tail -c 30000000 > /dev/null"], tmp_path)
    assert took.seconds > 0
    assert took.rss > 25_000_000  # of its processes together
    with pytest.raises(RuntimeError, match="no such thing"):
        measured.run(["sh", "-c", "echo no such thing >&2; exit 3"], tmp_path)


def test_loads_are_the_same_each_time() -> None:
    assert loads.small(20) == loads.small(20)
    assert loads.mixed(20) == loads.mixed(20)
    assert sum(map(len, loads.mixed(4_000).values())) / 4_000 == pytest.approx(110_000, rel=0.05)
    assert {len(body) for body in loads.large(2, 3 * MIB).values()} == {3 * MIB}


def test_a_models_directory_has_its_files_and_about_its_size(tmp_path: Path) -> None:
    size = loads.model(tmp_path / "model", 20 * MIB)
    assert size == pytest.approx(20 * MIB, rel=0.1)
    assert len([path for path in (tmp_path / "model").rglob("*") if path.is_file()]) == loads.MODEL_FILES


def test_etags_are_those_that_s3_would_give() -> None:
    assert etag(b"abc") == f'"{hashlib.md5(b"abc").hexdigest()}"'
    parts = hashlib.md5(bytes(PART)).digest() + hashlib.md5(b"\0").digest()
    assert etag(bytes(PART + 1)) == f'"{hashlib.md5(parts).hexdigest()}-2"'
    assert Known.of(b"123456789", checksum=True).crc32 == "y/Q5Jg=="


def test_a_copy_that_is_short_or_wrong_is_found(tmp_path: Path) -> None:
    check = channels.check(channels.Load("two", "p", {"p/a": b"aa", "p/d/b": b"bb"}, True))
    (tmp_path / "d").mkdir()
    (tmp_path / "a").write_bytes(b"aa")
    with pytest.raises(AssertionError, match="1 files instead of 2"):
        check(tmp_path)
    (tmp_path / "d/b").write_bytes(b"bX")
    with pytest.raises(AssertionError, match="d/b is not what was put"):
        check(tmp_path)
    (tmp_path / "d/b").write_bytes(b"bb")
    check(tmp_path)


def test_a_repeated_body_is_as_long_as_it_is_said_to_be_and_checked_as_such(tmp_path: Path) -> None:
    body = loads.Repeated(b"abc", 8)
    assert b"".join(loads.blocks(body)) == b"abcabcab"
    assert Known.of(body, checksum=True) == Known(body, "", Known.of(b"abcabcab", checksum=True).crc32)
    check = channels.check(channels.Load("one", "one", {"one/0.bin": body}, False))
    (tmp_path / "0.bin").write_bytes(b"abcabcab")
    check(tmp_path)
    for wrong in (b"abcabca", b"abcabcabc", b"abcababc"):
        (tmp_path / "0.bin").write_bytes(wrong)
        with pytest.raises(AssertionError, match=r"0\.bin is not what was put"):
            check(tmp_path)


def test_shares_that_overlap_or_leave_something_out_are_found(tmp_path: Path) -> None:
    load = channels.Load("two", "p", {"p/a": b"aa", "p/d/b": b"bb"}, True)
    one, two = tmp_path / "1", tmp_path / "2"

    def put(directory: Path, name: str, body: bytes) -> None:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(body)

    put(one, "a", b"aa")
    with pytest.raises(AssertionError, match="1 files instead of 2"):
        sharded.shares(load, [one, two], tmp_path / "short")
    put(one, "a", b"aa")
    put(two, "a", b"aa")
    with pytest.raises(AssertionError, match="a is in two shares"):
        sharded.shares(load, [one, two], tmp_path / "twice")
    put(one, "a", b"aa")
    (two / "a").unlink()
    put(two, "d/b", b"bb")
    sharded.shares(load, [one, two], tmp_path / "whole")


def test_an_archive_that_lacks_files_is_found(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 1000)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "x", arcname="./x")
    with (tmp_path / "x.tar.gz").open("rb") as file:
        assert archive.sizes(file) == {"x": 1000}


def test_figures_of_staging_are_against_s5cmd_and_the_best_of_all() -> None:
    small = {"agent": row("agent", 1, 1, first=0.3, rss=50 * MIB), "s5cmd": row("s5cmd", 2.5, 2.5)}
    large = {"agent": row("agent", 2, 2, rss=100 * MIB), "s5cmd": row("s5cmd", 3, 3), "rclone": row("rclone", 2.2, 2.2)}
    found = staging.figures(small, large, [small, large])
    assert found == {"small_vs_s5cmd": 2.5, "large_vs_best": 1.1, "first_get_s": 0.3, "peak_rss_mib": 100}


def test_figures_of_upload_and_archive() -> None:
    rows = row("agent", 2, rss=80 * MIB), row("agent, a model", 9, rss=90 * MIB), row("s5cmd", 3)
    one = {each.name: each for each in rows}
    assert upload.figures(one, [one]) == {"upload_vs_s5cmd": 1.5, "peak_rss_mib": 90}
    packed = {"agent": row("agent", 1, size=99, rss=80 * MIB), archive.GZIP: row(archive.GZIP, 12, size=100)}
    assert archive.figures(packed) == {"archive_vs_gzip": 12.0, "archive_ratio": 0.99, "peak_rss_mib": 80}
