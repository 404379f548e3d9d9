"""ManifestFile: what it names, and what is said of one that cannot be read."""

from __future__ import annotations

import json

import pytest

from tests.unit.agent.builders import channel
from trainyard.agent.core.datamanifest import Named, manifest_file
from trainyard.agent.errors import ClientFailure

CHANNEL = channel(s3_uri="s3://b/lists/train.manifest", data_type="ManifestFile")


def read(*document: object) -> Named:
    return manifest_file(CHANNEL, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("prefix", "entry", "key", "folder"),
    [
        ("s3://bucket/some/prefix/", "rel/custdata-1", "some/prefix/rel/custdata-1", "some/prefix/"),
        ("s3://bucket/some/pre", "fix/x", "some/prefix/x", "some/"),
        ("s3://bucket/", "x", "x", ""),
        ("s3://buck", "et/x", "x", ""),
        ("s3://bucket/p/", ".amazon.part", "p/.amazon.part", "p/"),
    ],
)
def test_an_objects_uri_is_prefix_and_entry_put_together(prefix: str, entry: str, key: str, folder: str) -> None:
    found = read({"prefix": prefix}, entry)
    assert (found.bucket, found.folder, [*found.all_keys()]) == ("bucket", folder, [key])


def test_the_order_of_the_entries_is_kept_and_so_is_one_that_is_named_twice() -> None:
    assert [*read({"prefix": "s3://b/"}, "z", "a", "z").all_keys()] == ["z", "a", "z"]


@pytest.mark.parametrize(("prefix", "before"), [("s3://bucket/p/", ""), ("s3://buck", "et/p/")])
@pytest.mark.parametrize("names", [["z", "a", "z", "Z"], ["\uffff", "\U0001f600", "a", "\uffff"]], ids=["ascii", "not"])
def test_keys_are_ordered_by_their_bytes_and_each_is_there_once(prefix: str, before: str, names: list[str]) -> None:
    found = read({"prefix": prefix}, *(before + name for name in names))
    assert [*found.all_keys(ordered=True)] == sorted({f"p/{name}" for name in names}, key=str.encode)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[{", "is no JSON (Expecting property name"),
        (b"\xff", "is no JSON ("),
        (b"[" * 100_000, "is "),
        (b"{}", "is no array with a prefix"),
        (b"[]", "is no array with a prefix"),
        (b'["a"]', 'does not begin with an object that has a "prefix"'),
        (b'[{"prefix": ""}, "a"]', 'does not begin with an object that has a "prefix"'),
        (b'[{"prefix": "s3://"}, "a/b"]', 'does not begin with an object that has a "prefix"'),
        (b'[{"prefix": "https://b/"}, "a"]', 'does not begin with an object that has a "prefix"'),
        (b'[{"prefix": "s3://b/"}, "a", 7]', "has no string as entry 2 (7)"),
        (b'[{"prefix": "s3://b/"}, ""]', "has an entry 1 that names no object: 's3://b/'"),
        (b'[{"prefix": "s3://b"}, "c/x", "d/y"]', "names objects in several buckets (bc, bd)"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused_by_its_place_and_the_rule(content: bytes, words: str) -> None:
    with pytest.raises(ClientFailure) as caught:
        manifest_file(CHANNEL, content)
    assert caught.value.message.startswith(
        'ClientError: Data download failed:the manifest s3://b/lists/train.manifest of channel "train" '
    )
    assert words in caught.value.message
    assert caught.value.reason == "DataDownloadFailed"


def test_a_manifest_without_entries_is_no_data() -> None:
    with pytest.raises(ClientFailure) as caught:
        read({"prefix": "s3://b/"})
    assert caught.value.reason == "NoData"
