"""Sharing by size: the same on every host, nothing lost, nothing twice, and even."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.builders import channel
from trainyard.agent.app import shares
from trainyard.agent.app.shares import Share, Source
from trainyard.agent.ports import StoredObject

BY_SIZE = channel(distribution="ShardedByS3Key", sharding="bytes")


def divided(directory: Path, items: list[StoredObject], hosts: int, seed: int = 0) -> list[list[StoredObject]]:
    """Each host's objects; every host lists them in another order."""
    found = []
    for rank in range(hosts):
        listed = list(items)
        random.Random(f"{seed}/{rank}").shuffle(listed)
        share = Share(BY_SIZE, Source("b", "p/", lambda listed=listed: listed), directory, rank=rank, hosts=hosts)
        found.append([placed.source for placed in share.files()])
        assert share.total == len(items)
        assert share.bytes == sum(item.size for item in found[-1])
        share.remove()
    return found


@given(st.lists(st.integers(0, 1000), max_size=40), st.integers(1, 6), st.integers(0, 100))
def test_shares_by_size_are_disjoint_complete_and_even(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], hosts: int, seed: int
) -> None:
    items = [StoredObject(f"p/{number:03}", size, "") for number, size in enumerate(sizes)]
    directory = tmp_path_factory.mktemp("s")
    found = divided(directory, items, hosts, seed)
    assert sorted(item.key for share in found for item in share) == [item.key for item in items]
    assert all(share == sorted(share, key=lambda item: item.key) for share in found)
    assert list(directory.iterdir()) == []
    fullest = max(sum(item.size for item in share) for share in found)
    # Whoever has the most got its last object when nobody had less (Graham).
    assert fullest <= sum(sizes) / hosts + max(sizes, default=0) * (1 - 1 / hosts)


def test_one_large_object_outweighs_many_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "IN_MEMORY", 7)
    items = [StoredObject("p/00", 100, ""), *(StoredObject(f"p/{number:02}", 1, "") for number in range(1, 101))]
    assert [len(share) for share in divided(tmp_path, items, 2)] == [1, 100]


def test_empty_objects_are_spread_too(tmp_path: Path) -> None:
    items = [StoredObject(f"p/{number}", 0, "") for number in range(6)]
    assert [len(share) for share in divided(tmp_path, items, 3)] == [2, 2, 2]


def test_folder_markers_are_no_data(tmp_path: Path) -> None:
    share = Share(BY_SIZE, Source("b", "p/", lambda: [StoredObject("p/", 0, "")]), tmp_path)
    assert list(share.files()) == []
    assert share.total == 0
