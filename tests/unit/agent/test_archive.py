"""The archive's form, its merge and its parts."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.agent.adapters.inventory import Taken
from trainyard.agent.core import archive
from trainyard.agent.core.archive import MIB, Merge, Ruling


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=200).filter(
        lambda n: n not in {".", ".."}
    ),
    st.binary(max_size=1200),
)
def test_any_name_and_content_come_back_out_of_the_tar(name: str, content: bytes) -> None:
    data = (
        archive.header(f"d/{name}", size=len(content), mode=0o4755, mtime=123) + content + archive.padding(len(content))
    )
    with tarfile.open(fileobj=io.BytesIO(data + archive.END_OF_ARCHIVE)) as opened:
        (member,) = opened.getmembers()
        found = opened.extractfile(member)
        assert found is not None
        assert (member.name, found.read()) == (f"d/{name}", content)
    assert (member.uid, member.gid, member.mtime, member.mode) == (0, 0, 123, 0o755)


def test_a_name_that_is_no_unicode_comes_back_byte_for_byte() -> None:
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    data = archive.header(name, size=0, mode=0o600, mtime=0) + archive.END_OF_ARCHIVE
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as opened:
        assert opened.getnames() == [name]


def test_the_lowest_host_wins_a_path() -> None:
    merge = Merge(Taken())
    merge.took("a/b", "sha")
    assert merge.rule("a/b", directory=False) is Ruling.COMPARE
    assert merge.digest("a/b") == "sha"
    assert merge.rule("a/c", directory=False) is Ruling.TAKE
    assert merge.rule("a", directory=True) is Ruling.SKIP
    assert merge.rule("a", directory=False) is Ruling.CLASH
    assert merge.rule("a/b", directory=True) is Ruling.CLASH
    assert merge.rule("a/b/c", directory=False) is Ruling.CLASH


@pytest.mark.parametrize("total", [0, 10**6, 80 * 10**9, 300 * 10**9, 10**12])
def test_parts_suffice_and_fit_into_memory(total: int) -> None:
    plan = archive.part_plan(total)
    assert plan is not None
    assert plan.size * 10_000 >= total * 1.05
    assert plan.size * (plan.in_flight + 1) <= 128 * MIB
    assert plan.size >= 8 * MIB


def test_what_no_plan_fits_is_said_to_be_too_large() -> None:
    assert archive.part_plan(5 * 2**40) is None
