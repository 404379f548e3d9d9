"""Which objects a host gets, and under which names."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.builders import channel
from trainyard.agent.core import layout
from trainyard.agent.core.layout import Part, Placement
from trainyard.agent.errors import ClientFailure
from trainyard.agent.ports import StoredObject


def stored(*keys: str, size: int = 1) -> list[StoredObject]:
    return [StoredObject(key, size, '"e"') for key in keys]


def checked(prefix: str, items: Iterable[StoredObject]) -> list[Placement]:
    """All data objects, as one host that gets everything has them."""
    data = list(Part(0, 1).of_ordered(sorted(items, key=layout.bytewise)))
    layout.check_mixed(channel(), "b", prefix, lambda: data)
    return list(layout.place(prefix, data))


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
        checked("p/train", stored(key))
    assert f"s3://b/{key}" in caught.value.message
    assert caught.value.message.startswith("ClientError: Data download failed:the object ")


def test_two_dots_inside_a_name_are_no_way_up() -> None:
    (placed,) = checked("p/train", stored("p/train/a..b"))
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
        checked(prefix, stored(*keys))
    assert words in caught.value.text
    assert all(f"s3://b/{key} " in caught.value.text for key in keys)


def test_folder_markers_do_not_count_and_empty_objects_do() -> None:
    items = [StoredObject("p/train/", 0, ""), StoredObject("p/train/sub/", 0, ""), StoredObject("p/train/empty", 0, "")]
    assert [placed.path for placed in checked("p/train/", items)] == ["empty"]


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


def shares(keys: Iterable[str], hosts: int) -> list[list[str]]:
    ordered = sorted(stored(*keys), key=layout.bytewise)
    sharded = channel(distribution="ShardedByS3Key")
    return [[item.key for item in Part.of(sharded, rank, hosts).of_ordered(ordered)] for rank in range(hosts)]


def test_keys_are_shared_in_bytewise_order() -> None:
    assert shares(["p/b", "p/B", "p/ä", "p/a"], 2) == [["p/B", "p/b"], ["p/a", "p/ä"]]


LATIN = "p/\udce4"  # one byte that is no UTF-8


def test_a_key_that_is_no_utf_8_is_a_file_like_any_other() -> None:
    placed = checked("p/", stored(LATIN, "p/z"))
    assert [item.path for item in placed] == ["z", "\udce4"]


def test_the_refusal_of_such_a_key_can_be_written_down() -> None:
    with pytest.raises(ClientFailure) as caught:
        checked("p/", stored(f"{LATIN}//x"))
    assert "s3://b/p/\ufffd//x" in caught.value.message.encode().decode()


def test_a_host_beyond_the_number_of_objects_gets_nothing() -> None:
    assert shares(["p/a"], 2) == [["p/a"], []]


@given(st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), max_size=40), st.integers(1, 7))
def test_shares_are_disjoint_complete_and_differ_by_one_at_most(names: set[str], hosts: int) -> None:
    found = shares(names, hosts)
    assert sorted(name for share in found for name in share) == sorted(names)
    assert max(map(len, found)) - min(map(len, found)) <= 1
    everything = [Part.of(channel(), rank, hosts) for rank in range(hosts)]
    assert all((part.first, part.step) == (0, 1) for part in everything)


def test_a_listing_out_of_order_is_noticed() -> None:
    with pytest.raises(layout.Unordered):
        list(Part(0, 1).of_ordered(stored("p/b", "p/a")))


PARTS = st.sampled_from(["", ".", "..", "a", "b", "train", "train-x", "a.b"])


@given(
    st.lists(PARTS, max_size=4).map("/".join),
    st.lists(st.lists(PARTS, min_size=1, max_size=5).map("/".join), max_size=6),
)
def test_whatever_is_placed_stays_below_its_channel(prefix: str, tails: list[str]) -> None:
    keys = {prefix + tail for tail in tails if prefix + tail}
    try:
        placed = checked(prefix, stored(*keys))
    except ClientFailure:
        return
    paths = [item.path for item in placed]
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert posixpath.normpath(path) == path
        assert not path.startswith(("/", "../"))
        assert path not in {"", ".", ".."}
        assert not any(other.startswith(f"{path}/") for other in paths)


@given(st.sampled_from(["p", "p/", "", "p/a", "p/a/"]), st.sets(st.text("ap-/x", min_size=1, max_size=7), max_size=9))
def test_just_what_cannot_lie_side_by_side_is_refused(prefix: str, tails: set[str]) -> None:
    keys = {prefix + tail for tail in tails}
    items = [item for item in stored(*keys) if layout.path_fault(layout.local_path(prefix, item.key)) is None]
    paths = [layout.local_path(prefix, item.key) for item in items]
    clash = len(set(paths)) < len(paths) or any(one.startswith(f"{other}/") for one in paths for other in paths)
    try:
        checked(prefix, items)
    except ClientFailure:
        assert clash
    else:
        assert not clash
