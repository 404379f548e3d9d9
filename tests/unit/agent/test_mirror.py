"""What differs between a directory and what is in S3 of it, whatever happened between two looks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.agent.adapters.ledger import Ledger
from trainyard.agent.core import mirror
from trainyard.agent.core.mirror import GONE, Change, Found, Kind, Known, compare, to_key, to_path

PATHS = st.lists(st.sampled_from(["a", "b", "a-", "a!", "ü", "\udcff", "\U0001f600"]), min_size=1, max_size=3).map(
    "/".join
)
VERSIONS = st.sampled_from([b"1", b"2", b"3"])


def found(files: dict[str, bytes | None]) -> list[Found]:
    return sorted((to_key(path), facts) for path, facts in files.items())


def changes(known: dict[str, tuple[bytes | None, bytes | None]], files: dict[str, bytes | None]) -> dict[str, Change]:
    rows = sorted(Known(to_key(path), *facts) for path, facts in known.items())
    return {to_path(change.key): change for change in compare(rows, found(files))}


@given(
    known=st.dictionaries(PATHS, st.tuples(st.none() | VERSIONS, st.none() | VERSIONS | st.just(GONE))),
    files=st.dictionaries(PATHS, VERSIONS),
)
def test_every_difference_is_found_once_and_nothing_else(
    known: dict[str, tuple[bytes | None, bytes | None]], files: dict[str, bytes]
) -> None:
    seen = changes(known, dict(files))
    for path in known.keys() | files.keys():
        stored, pending = known.get(path, (None, None))
        now = files.get(path)
        change = seen.pop(path, None)
        if now is None and stored is None:
            assert change == Change(to_key(path), Kind.SETTLED)
        elif now is None:
            assert change == Change(to_key(path), Kind.REMOVED, steady=pending == GONE)
        elif now != stored:
            assert change == Change(to_key(path), Kind.WRITTEN, now, steady=now == pending)
        elif pending is not None:
            assert change == Change(to_key(path), Kind.SETTLED, now)
        else:
            assert change is None
    assert seen == {}


@given(known=st.dictionaries(PATHS, VERSIONS), hidden=PATHS)
def test_what_cannot_be_seen_is_not_taken_for_vanished(known: dict[str, bytes], hidden: str) -> None:
    seen = changes({path: (facts, None) for path, facts in known.items()}, {hidden: None})
    below = {path for path in known if path == hidden or path.startswith(f"{hidden}/")}
    assert set(seen) == known.keys() - below


@given(st.lists(PATHS))
def test_keys_come_back_as_paths(paths: list[str]) -> None:
    assert [to_path(to_key(path)) for path in paths] == paths


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("m.sagemaker-uploading", True),
        ("d/m.sagemaker-uploaded", True),
        ("d/m.tmp.sagemaker-ignore", True),
        ("m.sagemaker-ignored", False),
        ("m.sagemaker-uploading/x", False),
    ],
)
def test_markers_and_temporary_files_stay_here(path: str, local: bool) -> None:
    assert mirror.local(path) is local


@pytest.mark.parametrize(
    ("path", "output", "why"),
    [
        ("step-1", "out/Job", None),
        ("ü" * 510, None, None),
        ("ü" * 511, None, "too long for S3"),
        ("\udcff", None, "not UTF-8"),
        ("out/Job/trainyard-attempt.json", "ck/out/Job", "belongs to the job's output"),
        ("out/Job/trainyard-attempt.json", "out/Job", None),
    ],
)
def test_a_name_that_cannot_be_an_object_is_said_so(path: str, output: str | None, why: str | None) -> None:
    said = mirror.unfit(path, "ck/", output)
    assert (said is None) == (why is None)
    assert (why or "") in (said or "")


@pytest.mark.parametrize(("key", "prefix"), [("", ""), ("ck", "ck/"), ("ck/", "ck/"), ("a/ck//", "a/ck//")])
def test_an_s3_uri_is_a_folder(key: str, prefix: str) -> None:
    assert mirror.prefix_of(key) == prefix


def test_the_ledger_keeps_what_it_was_told_for_a_successor(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger")
    first.adopt([(b"b", b"1"), (b"a", b"1")])
    first.store(b"a", b"2")
    first.pend(b"b", GONE)
    first.pend(b"c", b"1")
    first.close()
    second = Ledger(tmp_path / "ledger")
    assert list(second.rows()) == [(b"a", b"2", None), (b"b", b"1", GONE), (b"c", None, b"1")]
    assert second.count() == 2
    second.pend(b"b", None)
    second.forget(b"c")
    assert list(second.rows()) == [(b"a", b"2", None), (b"b", b"1", None)]


def test_changes_come_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.note(
        [(b"a", "written", b"1", True, 30), (b"b", "written", b"2", False, 10), (b"c", "removed", GONE, True, 0)]
    )
    assert list(ledger.noted("written")) == [(b"b", b"2", False), (b"a", b"1", True)]
    ledger.note([])
    assert list(ledger.noted("written")) == []


def test_a_look_at_many_files_needs_no_memory_for_each(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    many = 50_000

    def there() -> Iterator[tuple[bytes, bytes]]:
        return ((b"step\0%07d" % number, mirror.signature(number, number, number)) for number in range(many))

    ledger.adopt(there())
    tracemalloc.start()
    assert sum(1 for _ in compare((Known(*row) for row in ledger.rows()), there())) == 0
    new = ((key + b"-", Kind.WRITTEN.value, facts, False, 0) for key, facts in there())
    ledger.note(new)
    assert sum(1 for _ in ledger.noted("written")) == many
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
