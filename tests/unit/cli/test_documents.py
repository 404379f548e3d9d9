"""Text is read as kubectl reads it, and what cannot be read without loss is an error with its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from tests.support.contract import TEXT
from trainyard.cli.core import documents
from trainyard.cli.errors import Failed


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"a": 1}', [{"a": 1}]),
        ('{"a": 1}\n\n{"b": 2}', [{"a": 1}, {"b": 2}]),
        ('[{"a": 1}, {"b": 2}]', [{"a": 1}, {"b": 2}]),
        ("\N{ZERO WIDTH NO-BREAK SPACE}a: 1", [{"a": 1}]),
        ("a: 1\n---\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("{a: 1, b: [x]}", [{"a": 1, "b": ["x"]}]),
        ("when: 2026-11-23", [{"when": "2026-11-23"}]),
        ("ratio: 1:30", [{"ratio": "1:30"}]),
        ("eta: 1e3", [{"eta": 1000.0}]),
        ("sign: =", [{"sign": "="}]),
        ("1: a\non: b", [{"1": "a", "true": "b"}]),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2", [{"a": {"b": 1}, "c": {"b": 1, "d": 2}}]),
        ("a: &x {b: 1, c: 1}\nd:\n  <<: *x\n  b: 2", [{"a": {"b": 1, "c": 1}, "d": {"b": 2, "c": 1}}]),
        ("", []),
    ],
)
def test_what_text_means(text: str, read: list[object]) -> None:
    assert documents.read(text, "job") == read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "job: line 2: 'a' comes twice"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "job: 'c' comes twice in one object"),
        ("a: 1\n'a': 2", "job: line 2: 'a' comes twice"),
        ("a: [1", "job: line 1: "),
        ('{"a": 1,, "b": 2}', "job: line 1: "),
        ("a: b: c", "job: line 1: mapping values are not allowed"),
        ("? [a, b]\n: 1", "job: line 1: "),
        ("1.5: a", "job: line 1: a key must be text"),
        ("a: !!binary aGVsbG8=", "job: b'hello' has no form in JSON"),
        ("a: !!python/object:os.system {}", "job: line 1: could not determine a constructor"),
        ("a: &a [*a]", "job: holds more than 1000000 values"),
        ("a: \x07", "job: "),
        ("[" * 100_000, "job: nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_place(text: str, words: str) -> None:
    with pytest.raises(Failed) as raised:
        documents.read(text, "job")
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)


@given(TEXT)
def test_any_text_comes_back_from_yaml_and_from_json(text: str) -> None:
    document = {text: [text, {"": text}]}
    assert documents.read(documents.to_yaml([document]), "yaml") == [document]
    assert documents.read(documents.to_json([document]), "json") == [document]


@pytest.mark.parametrize(
    "text", ["1e3", "0o17", "012", "1_0", "y", "NO", "Off", "null", "~", "1:30", "2026-11-23", ".5", "0x1"]
)
def test_text_that_some_reader_would_take_for_something_else_is_quoted(text: str) -> None:
    assert documents.to_yaml([{"a": text, text: "a"}]) == f'a: "{text}"\n"{text}": a\n'


@pytest.mark.parametrize(
    "text", ["ml.m5.xlarge", "s3://bucket/a=b/c", "arn:aws:iam::123456789012:role/x", "text/csv", "None"]
)
def test_plain_words_stay_plain(text: str) -> None:
    assert documents.to_yaml([{"a": text}]) == f"a: {text}\n"


def test_half_a_surrogate_pair_stays_an_escape() -> None:
    document = json.loads('{"a": "\\ud83d"}')
    assert "\\ud83d" in documents.to_json([document])
    assert documents.read(documents.to_yaml([document]), "yaml") == [document]
