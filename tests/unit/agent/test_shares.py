"""A host's share of a channel: the same in any order of listing, within little memory, whatever the number of objects."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.builders import channel
from trainyard.agent.app import shares
from trainyard.agent.app.shares import Share, Source
from trainyard.agent.core import layout
from trainyard.agent.errors import ClientFailure
from trainyard.agent.ports import StoredObject
from trainyard.api.plan import ChannelPlan

SHARDED = channel(distribution="ShardedByS3Key")


def share(
    directory: Path,
    listing: Callable[[], Iterable[StoredObject]],
    prefix: str = "p/",
    of: ChannelPlan = channel(),  # noqa: B008 - frozen
    *,
    rank: int = 0,
    hosts: int = 1,
) -> Share:
    return Share(of, Source("b", prefix, listing), directory, rank=rank, hosts=hosts)


def paths(made: Share, *, sort: bool = False) -> list[str]:
    return [placed.path for placed in made.files(sort=sort)]


@pytest.mark.parametrize("keys", ["abcde", "ebadc"], ids=["in order", "in none"])
@pytest.mark.parametrize("hosts", [1, 2, 3, 7])
def test_a_share_is_the_same_however_the_listing_is_ordered(
    keys: str, hosts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "IN_MEMORY", 2)
    items = [StoredObject("p/", 0, ""), *(StoredObject(f"p/{key}", ord(key), f'"{key}"') for key in keys)]
    for rank in range(hosts):
        made = share(tmp_path, lambda: items, of=SHARDED, rank=rank, hosts=hosts)
        if keys != "abcde":
            with pytest.raises(layout.Unordered):
                paths(made)
        found = list(made.files(sort=keys != "abcde"))
        mine = "abcde"[rank::hosts]
        assert [placed.path for placed in found] == list(mine)
        assert [placed.source for placed in found] == [StoredObject(f"p/{k}", ord(k), f'"{k}"') for k in mine]
        assert (made.total, made.bytes) == (5, sum(map(ord, mine)))
        made.remove()
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_listed_twice_is_given_out_once(tmp_path: Path) -> None:
    items = [StoredObject(f"p/{key}", 1, "") for key in "abbcabcd"]
    made = share(tmp_path, lambda: items)
    with pytest.raises(layout.Unordered):
        paths(made)
    assert paths(made, sort=True) == list("abcd")


def test_of_objects_that_are_shared_by_size_a_page_that_came_twice_counts_once(tmp_path: Path) -> None:
    items = [StoredObject(f"p/{key}", size, "") for key, size in (("a", 3), ("b", 1), ("a", 3), ("b", 1))]
    even = channel(distribution="ShardedByS3Key", sharding="bytes")
    found = []
    for rank in range(2):
        made = share(tmp_path / str(rank), lambda: items, of=even, rank=rank, hosts=2)
        (tmp_path / str(rank)).mkdir()
        found += paths(made)
        assert made.total == 2
    assert found == ["a", "b"]


def test_an_object_is_given_out_before_the_listing_is_over(tmp_path: Path) -> None:
    asked = []

    def listing() -> Iterator[StoredObject]:
        for number in range(10_000):
            asked.append(number)
            yield StoredObject(f"p/{number:05}", 1, "")

    assert next(share(tmp_path, listing).files()).path == "00000"
    assert len(asked) < 2_000


def test_keys_that_are_no_utf_8_come_back_as_they_were(tmp_path: Path) -> None:
    items = [StoredObject("p/new\nline", 1, ""), StoredObject("p/\udce4", 1, "")]
    assert paths(share(tmp_path, lambda: items)) == ["new\nline", "\udce4"]


@pytest.mark.parametrize("ordered", [True, False], ids=["in order", "in none"])
def test_every_object_for_every_host_needs_no_memory_for_each(
    ordered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "IN_MEMORY", 3_000)
    count = 60_000

    def listing() -> Iterator[StoredObject]:
        for number in range(count) if ordered else reversed(range(count)):
            yield StoredObject(f"imagenet/train/n{number // 1300:08}/n{number:08}.JPEG", 1, f'"{number:032x}"')

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        made = share(tmp_path, listing, "imagenet/train")
        assert sum(1 for _ in made.files(sort=not ordered)) == count
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert most < 5_000_000  # all of them would be 30 MB


TAILS = st.sets(st.text("ap-/x", min_size=1, max_size=6), max_size=9)


@given(st.sampled_from(["p", "p/", "", "p/a"]), TAILS)
def test_what_is_given_out_is_what_can_lie_side_by_side(
    tmp_path_factory: pytest.TempPathFactory, prefix: str, tails: set[str]
) -> None:
    items = sorted((StoredObject(prefix + tail, 1, "") for tail in tails), key=layout.bytewise)
    items = [item for item in items if layout.path_fault(layout.local_path(prefix, item.key)) is None]
    try:
        layout.check_mixed(channel(), "b", prefix, lambda: items)
    except ClientFailure:
        with pytest.raises(ClientFailure):
            paths(share(tmp_path_factory.mktemp("s"), lambda: items, prefix))
    else:
        found = paths(share(tmp_path_factory.mktemp("s"), lambda: items, prefix))
        assert found == [layout.local_path(prefix, item.key) for item in items]


def test_a_clash_with_what_was_given_out_is_refused_before_the_second_is(tmp_path: Path) -> None:
    items = [StoredObject("r/t/tx", 1, ""), StoredObject("r/tx", 1, "")]
    following = share(tmp_path, lambda: items, "r/t").files()
    assert next(following).path == "tx"
    with pytest.raises(ClientFailure, match="both would be the file"):
        next(following)
