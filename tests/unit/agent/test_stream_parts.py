"""The pure parts of a stream: orders, records, gzip members, and lines on disk."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.agent.adapters.gzipped import Gunzip
from trainyard.agent.adapters.lines import Lines
from trainyard.agent.core import epochs, recordio


@given(st.integers(0, 50), st.integers(1, 6), st.integers(0, 3), st.none() | st.integers(-(2**63), 2**63 - 1))
def test_in_every_epoch_the_hosts_share_the_records_out(count: int, hosts: int, epoch: int, seed: int | None) -> None:
    shares = [list(epochs.order(count, epoch, seed, rank, hosts)) for rank in range(hosts)]
    assert sorted(number for share in shares for number in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares == [list(epochs.order(count, epoch, seed, rank, hosts)) for rank in range(hosts)]


def test_without_a_seed_the_order_is_that_of_the_records() -> None:
    assert list(epochs.order(4, 3, None)) == [0, 1, 2, 3]


def test_seeds_and_epochs_give_orders_of_their_own() -> None:
    orders = {tuple(epochs.order(20, epoch, seed)) for epoch in range(5) for seed in (1, 2, -1)}
    assert len(orders) == 15


@given(st.binary(max_size=20))
def test_a_record_is_as_long_as_it_says_and_ends_on_a_multiple_of_four(content: bytes) -> None:
    record = recordio.header(len(content)) + content + recordio.padding(len(content))
    assert len(record) % 4 == 0
    assert struct.unpack("<II", record[:8]) == (0xCED7230A, len(content))


def test_more_than_a_record_holds_is_refused() -> None:
    assert recordio.header(2**29 - 1)
    with pytest.raises(ValueError, match="536870912 bytes are more than"):
        recordio.header(2**29)


def unzipped(content: bytes, size: int) -> bytes:
    stream = Gunzip()
    found = b"".join(
        piece for first in range(0, len(content), size) for piece in stream.add(content[first : first + size])
    )
    stream.end()
    return found


@given(st.lists(st.binary(max_size=200), max_size=4), st.integers(1, 50), st.integers(0, 9))
def test_gzip_members_are_unzipped_however_they_are_cut(members: list[bytes], size: int, zeros: int) -> None:
    content = b"".join(gzip.compress(member) for member in members) + bytes(zeros if members else 0)
    assert unzipped(content, size) == b"".join(members)


def test_few_bytes_that_stand_for_many_come_in_pieces() -> None:
    pieces = list(Gunzip().add(gzip.compress(bytes(30 << 20))))
    assert sum(map(len, pieces)) == 30 << 20
    assert max(map(len, pieces)) <= 1 << 20


@pytest.mark.parametrize(
    "content", [b"no gzip at all, but plain text", gzip.compress(b"x" * 1000) + b"rest"], ids=["text", "more after it"]
)
def test_what_is_no_gzip_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="gzip data"):
        unzipped(content, 1000)


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_gzip_without_its_end_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="its end is missing"):
        unzipped(gzip.compress(b"x" * 1000)[:-cut], 1000)


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=30))
def test_any_line_can_be_read_by_its_number(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    kept = Lines(tmp_path_factory.mktemp("l") / "records")
    assert kept.write(lines) == len(lines)
    opened = kept.open()
    assert [opened[number] for number in reversed(range(len(lines)))] == lines[::-1]
    opened.close()


def test_lines_are_found_beyond_a_batch(tmp_path: Path) -> None:
    kept = Lines(tmp_path / "records")
    assert kept.write(b"%d" % number for number in range(25_001)) == 25_001
    assert [kept.open()[number] for number in (0, 9_999, 10_000, 25_000)] == [b"0", b"9999", b"10000", b"25000"]
