"""A host's share of a channel: the same in any order of listing, within little memory, whatever the number of objects."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.builders import channel
from trainyard.agent.app import shares
from trainyard.agent.app.shares import Share, Shares
from trainyard.agent.errors import ClientFailure
from trainyard.agent.ports import StoredObject

SHARDED = channel(distribution="ShardedByS3Key")


def paths(share: Share) -> list[str]:
    return [placed.path for placed in share.placed()]


@pytest.mark.parametrize("keys", ["abcde", "ebadc"], ids=["in order", "in none"])
@pytest.mark.parametrize("hosts", [1, 2, 3, 7])
def test_a_share_is_the_same_however_the_listing_is_ordered(
    keys: str, hosts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "IN_MEMORY", 2)
    items = [StoredObject("p/", 0, ""), *(StoredObject(f"p/{key}", ord(key), f'"{key}"') for key in keys)]
    for rank in range(hosts):
        share = Shares(tmp_path, rank, hosts).take(SHARDED, "b", "p/", lambda: items)
        mine = "abcde"[rank::hosts]
        assert (paths(share), share.total, share.bytes) == (list(mine), 5, sum(map(ord, mine)))
        assert [placed.source for placed in share.placed()] == [StoredObject(f"p/{k}", ord(k), f'"{k}"') for k in mine]
        share.remove()
    assert list(tmp_path.iterdir()) == []


def test_keys_that_are_no_utf_8_come_back_as_they_were(tmp_path: Path) -> None:
    items = [StoredObject("p/new\nline", 1, ""), StoredObject("p/\udce4", 1, "")]
    share = Shares(tmp_path, 0, 1).take(channel(), "b", "p/", lambda: items)
    assert paths(share) == ["new\nline", "\udce4"]


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
        share = Shares(tmp_path, 0, 1).take(channel(), "b", "imagenet/train", listing)
        assert sum(1 for _ in share.placed()) == count
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert most < 5_000_000  # all of them would be 30 MB


def test_a_clash_in_a_share_is_refused_at_once(tmp_path: Path) -> None:
    items = [StoredObject("r/t/tx", 1, ""), StoredObject("r/tx", 1, "")]
    with pytest.raises(ClientFailure, match="both would be the file"):
        Shares(tmp_path, 0, 1).take(channel(), "b", "r/t", lambda: items)
