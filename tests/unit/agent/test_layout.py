"""Which objects a host gets, and under which names."""

from __future__ import annotations

import gc
import posixpath
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.builders import channel
from trainyard.agent.core import layout
from trainyard.agent.errors import ClientFailure
from trainyard.agent.ports import StoredObject


def stored(*keys: str, size: int = 1) -> list[StoredObject]:
    return [StoredObject(key, size, '"e"') for key in keys]


@pytest.mark.parametrize(
    ("prefix", "key", "path"),
    [
        ("p/train/", "p/train/x/a.csv", "x/a.csv"),
        ("p/train", "p/train/x/a.csv", "x/a.csv"),
        ("p/train", "p/train-data.csv", "train-data.csv"),
        ("p/f.csv", "p/f.csv", "f.csv"),
        ("", "a/b.csv", "a/b.csv"),
        ("p/train", "p/train/x", "x"),
        ("p/train", "p/train_lst/y", "train_lst/y"),
        ("tr", "train.csv", "train.csv"),
    ],
)
def test_the_contracts_table_of_prefixes_holds(prefix: str, key: str, path: str) -> None:
    assert layout.local_path(prefix, key) == path


@pytest.mark.parametrize(
    "key",
    [
        "p/train/../x",
        "p/train//x",
        "p/train/a//b",
        "p/train/./x",
        "p/train/a/..",
        "p/train/n\0",
        f"p/train/{'x' * 256}",
    ],
)
def test_a_key_that_is_no_file_name_is_refused_by_name(key: str) -> None:
    with pytest.raises(ClientFailure) as caught:
        layout.place(channel(), "b", "p/train", stored(key))
    assert f"s3://b/{key}" in caught.value.message
    assert caught.value.message.startswith("ClientError: Data download failed:the object ")


def test_two_dots_inside_a_name_are_no_way_up() -> None:
    (placed,) = layout.place(channel(), "b", "p/train", stored("p/train/a..b"))
    assert placed.path == "a..b"


@pytest.mark.parametrize(
    ("prefix", "keys", "words"),
    [
        ("r/t", ("r/t/tt", "r/tt"), 'both would be the file "tt"'),
        ("r/t", ("r/t/a", "r/t/a/b"), '"a" would have to be a file and a directory'),
        ("r/t", ("r/t/tx/c/d", "r/tx"), '"tx" would have to be a file and a directory'),
    ],
)
def test_objects_that_cannot_lie_side_by_side_are_both_named(prefix: str, keys: tuple[str, str], words: str) -> None:
    with pytest.raises(ClientFailure) as caught:
        layout.place(channel(), "b", prefix, stored(*keys))
    assert words in caught.value.text
    assert all(f"s3://b/{key} " in caught.value.text for key in keys)


def test_folder_markers_do_not_count_and_empty_objects_do() -> None:
    items = [StoredObject("p/train/", 0, ""), StoredObject("p/train/sub/", 0, ""), StoredObject("p/train/empty", 0, "")]
    assert [placed.path for placed in layout.place(channel(), "b", "p/train/", items)] == ["empty"]


@pytest.mark.parametrize(
    ("prefix", "key", "own"),
    [
        ("out", "out/Job/trainyard-attempt.json", True),
        ("out", "out/Job/output/model.tar.gz", True),
        ("out/Job", "out/Job/output/model.tar.gz", True),
        ("out/J", "out/Job2/x", False),
        ("out/J", "out/Job", False),
        ("", "out/Job/output/model.tar.gz", True),
        ("out/Job/", "out/Job/output/model.tar.gz", False),
        ("out/Job/output/", "out/Job/output/model.tar.gz", False),
        ("out/Job/", "out/Job/trainyard-attempt.json", True),
        ("out/Job/", "out/Job/trainyard-shares/u-1/algo-2/model.tar.gz", True),
    ],
)
def test_what_the_job_itself_writes_is_no_input_unless_the_channel_names_it(prefix: str, key: str, own: bool) -> None:
    assert layout.written_by_job(key, prefix, "out/Job") is own


def test_keys_are_shared_in_bytewise_order() -> None:
    placed = layout.place(channel(), "b", "p/", stored("p/b", "p/B", "p/ä", "p/a"))
    sharded = channel(distribution="ShardedByS3Key")
    assert [[p.path for p in layout.share(sharded, placed, rank, 2)] for rank in (0, 1)] == [["B", "b"], ["a", "ä"]]


LATIN = "p/\udce4"  # one byte that is no UTF-8


def test_a_key_that_is_no_utf_8_is_a_file_like_any_other() -> None:
    placed = layout.place(channel(), "b", "p/", stored(LATIN, "p/z"))
    assert [item.path for item in placed] == ["z", "\udce4"]


def test_the_refusal_of_such_a_key_can_be_written_down() -> None:
    with pytest.raises(ClientFailure) as caught:
        layout.place(channel(), "b", "p/", stored(f"{LATIN}//x"))
    assert "s3://b/p/\ufffd//x" in caught.value.message.encode().decode()


@pytest.mark.parametrize("keys", [("p/a", "p/b", "p/c", "p/d", "p/e"), ("p/e", "p/b", "p/a", "p/d", "p/c")])
@pytest.mark.parametrize("hosts", [1, 2, 3, 7])
def test_a_share_is_the_same_however_the_listing_is_ordered(keys: tuple[str, ...], hosts: int) -> None:
    sharded = channel(distribution="ShardedByS3Key")
    items = [StoredObject("p/", 0, ""), *stored(*keys)]
    for rank in range(hosts):
        mine, count = layout.place_share(sharded, "b", "p/", lambda: items, rank=rank, hosts=hosts)
        assert ([item.path for item in mine], count) == (["a", "b", "c", "d", "e"][rank::hosts], 5)


def test_of_an_ordered_listing_only_the_share_is_kept() -> None:
    kept: list[weakref.ref[object]] = []

    class Watched(StoredObject):
        __slots__ = ("__weakref__",)

    def listing() -> Iterator[StoredObject]:
        for number in range(100):
            item = Watched(f"p/{number:03}", 1, "")
            kept.append(weakref.ref(item))
            yield item

    mine, _ = layout.place_share(channel(distribution="ShardedByS3Key"), "b", "p/", listing, rank=3, hosts=10)
    gc.collect()
    assert sum(item() is not None for item in kept) == len(mine) == 10


def test_a_host_beyond_the_number_of_objects_gets_nothing() -> None:
    placed = layout.place(channel(), "b", "p/", stored("p/a"))
    assert layout.share(channel(distribution="ShardedByS3Key"), placed, 1, 2) == []


@given(st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), max_size=40), st.integers(1, 7))
def test_shares_are_disjoint_complete_and_differ_by_one_at_most(names: set[str], hosts: int) -> None:
    placed = [layout.Placement(item, item.key) for item in sorted(stored(*names), key=lambda item: item.key.encode())]
    sharded = channel(distribution="ShardedByS3Key")
    shares = [layout.share(sharded, placed, rank, hosts) for rank in range(hosts)]
    assert sorted(p.path for share in shares for p in share) == sorted(names)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(len(layout.share(channel(), placed, rank, hosts)) == len(names) for rank in range(hosts))


PARTS = st.sampled_from(["", ".", "..", "a", "b", "train", "train-x", "a.b"])


@given(
    st.lists(PARTS, max_size=4).map("/".join),
    st.lists(st.lists(PARTS, min_size=1, max_size=5).map("/".join), max_size=6),
)
def test_whatever_is_placed_stays_below_its_channel(prefix: str, tails: list[str]) -> None:
    keys = {prefix + tail for tail in tails if prefix + tail}
    try:
        placed = layout.place(channel(), "b", prefix, stored(*keys))
    except ClientFailure:
        return
    paths = [item.path for item in placed]
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert posixpath.normpath(path) == path
        assert not path.startswith(("/", "../"))
        assert path not in {"", ".", ".."}
        assert not any(other.startswith(f"{path}/") for other in paths)
