"""Metric definitions against log lines: what matches, in which form, which one counts, and what no regex can do."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.controller.adapters.lines import Lines
from trainyard.controller.core.loglines import (
    Found,
    Matcher,
    Sample,
    complaint,
    matcher,
    moment,
    nanoseconds,
    parse_stamp,
    usable,
)

NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
XGBOOST = rf".*\[[0-9]+\].*#011validation-rmse:{NUMBER}.*"
START = 1_795_508_140 * 10**9


def stamp(nanos: int) -> bytes:
    whole = moment(nanos).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{nanos % 10**9:09}Z".encode()


def log(*texts: str | bytes, first: int = START, step: int = 1000) -> list[bytes]:
    """Lines as the kubelet sends them, so many nanoseconds apart."""
    return [
        stamp(first + number * step) + b" " + (text.encode() if isinstance(text, str) else text)
        for number, text in enumerate(texts)
    ]


def scan(regex: str, *texts: str | bytes) -> Found:
    return Matcher((("m", regex),)).scan(log(*texts), 0)


def value(regex: str, *texts: str | bytes) -> float | None:
    found = scan(regex, *texts).samples.get("m")
    return found.value if found is not None else None


# -- what matches


def test_the_first_group_of_the_last_line_that_matches_is_the_value() -> None:
    found = scan(r"loss=([0-9.]+) acc=([0-9.]+)", "loss=0.5 acc=0.1", "loss=0.4 acc=0.2", "nothing")
    assert found.samples == {"m": Sample(0.4, START + 1000, 0)}
    assert (found.first, found.last) == (START, START + 2000)


@pytest.mark.parametrize(
    "line", ["[12]\ttrain-rmse:0.1\tvalidation-rmse:0.25", "[12]#011train-rmse:0.1#011validation-rmse:0.25"]
)
def test_a_tab_matches_in_its_octal_form_and_as_it_is(line: str) -> None:
    assert value(XGBOOST, line) == 0.25
    assert value(rf"(?:\t|#011)validation-rmse:{NUMBER}", line) == 0.25


@pytest.mark.parametrize(("character", "form"), [("\x01", "#001"), ("\x1b", "#033"), ("\x7f", "#177"), ("\r", "#015")])
def test_every_control_character_has_an_octal_form(character: str, form: str) -> None:
    assert value(f"a{form}b([0-9])", f"a{character}b7") == 7


def test_a_line_whose_form_as_it_is_gives_no_number_is_searched_in_the_other() -> None:
    assert value(r"x:(.*?)(?:#011|$)", "x:1.5\ty") == 1.5


def test_anchors_mean_the_line_without_its_time() -> None:
    assert value(r"^loss=(\d+)$", "loss=3") == 3
    assert value(r"^loss=(\d+)$", "loss=3\r") == 3
    assert value(r"^2026.*?(\d+)$", "loss=3") is None


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1_000", "abc", "", "1e999"])
def test_what_is_no_finite_number_is_passed_over_and_told(text: str) -> None:
    found = scan(r"loss=(\S*)", "loss=0.5", f"loss={text}")
    assert (found.samples["m"].value, found.numberless) == (0.5, frozenset())
    assert scan(r"loss=(\S*)", f"loss={text}").numberless == {"m"}


def test_a_group_that_takes_no_part_gives_nothing() -> None:
    assert value(r"a(\d+)|b", "b") is None


def test_bytes_that_are_no_utf_8_do_not_hide_the_rest_of_a_line() -> None:
    assert value(r"^.*loss=(\d+)", b"\xff\xfe caf\xc3\xa9 loss=4") == 4


def test_a_number_in_another_script_s_neighbourhood_is_found() -> None:
    assert value(r"потери=([0-9.]+)", "эпоха потери=0.75") == 0.75


def test_each_of_forty_definitions_has_its_own_value() -> None:
    definitions = tuple((f"m{n}", rf"\bm{n}=(\d+)") for n in range(40))
    line = " ".join(f"m{n}={n * n}" for n in range(40))
    found = Matcher(definitions).scan(log("m0=5", line, "m7=1"), 3)
    assert {name: sample.value for name, sample in found.samples.items()} == {
        f"m{n}": (1 if n == 7 else n * n) for n in range(40)
    }
    assert {sample.rank for sample in found.samples.values()} == {3}


def test_a_line_without_a_time_is_kept_as_what_the_kubelet_says() -> None:
    found = Matcher((("m", r"(\d+)"),)).scan([b'unable to retrieve container logs for containerd://1"'], 0)
    assert (found.first, found.last, found.samples) == (None, None, {})
    assert found.strange.startswith("unable to retrieve")


@given(st.lists(st.sampled_from(["loss=1", "loss=2.5", "loss=nan", "other", "a\tloss=4", ""]), max_size=30))
def test_one_slice_gives_the_same_as_many(texts: list[str]) -> None:
    lines, by_line = log(*texts), Matcher((("m", r"loss=(\S+)"),))
    whole = by_line.scan(lines, 0).samples.get("m")
    parts = [part for line in lines if (part := by_line.scan([line], 0).samples.get("m")) is not None]
    assert whole == (parts[-1] if parts else None)


# -- what cannot be used


@pytest.mark.parametrize(
    ("regex", "word"),
    [
        (r"(?<=loss=)(\d+)", "look-around"),
        (r"(a)\1", "back-references"),
        (r"(\d+)\Z", "not supported"),
        (r"loss=(\d+", "missing )"),
        (r"loss=\d+", "no group"),
        (r"(?:x{1000}){1000}(y)", "smaller repetitions"),
        (r"(.{0,1000}.{0,1000})", "smaller repetitions"),
        ("(\ud800)", "no valid text"),
    ],
)
def test_a_regex_that_cannot_be_used_is_told_with_what_to_do(regex: str, word: str) -> None:
    assert word in complaint(regex)
    assert usable((("bad", regex), ("good", r"(\d+)"))) == (("good", r"(\d+)"),)
    assert Matcher((("bad", regex), ("good", r"x=(\d+)"))).scan(log("x=5"), 0).samples["good"].value == 5


def test_a_regex_that_can_be_used_has_no_complaint() -> None:
    assert [complaint(regex) for regex in (XGBOOST, r"(?P<v>\d+)", r"(?i)LOSS: (\S+)", "(.{0,500})")] == [""] * 4


@pytest.mark.parametrize("regex", [r"((a+)+)+$(b)", r"((x|xx)*)*y", r"(a|a)*c", r".{0,500}q(\d+)"])
def test_no_regex_takes_more_than_moments_for_the_longest_line(regex: str) -> None:
    lines, slow = log("a" * 8192 + "x" * 8192), Matcher((("m", regex),))
    began = time.thread_time()
    slow.scan(lines, 0)
    assert time.thread_time() - began < 5


def test_regexes_that_are_too_many_for_one_set_still_match() -> None:
    definitions = tuple((f"m{n}", rf"[a-m].{{0,400}}x{n}=(\d+)") for n in range(40))
    found = Matcher(definitions)
    assert found._set is None
    assert found.scan(log("a x3=4", "a x4=5"), 0).samples == {
        "m3": Sample(4, START, 0),
        "m4": Sample(5, START + 1000, 0),
    }
    assert found.scan(log("nothing"), 0).numberless == frozenset()


def test_a_set_that_gives_up_is_noticed() -> None:
    class GivenUp:
        def Match(self, _text: bytes) -> list[int]:  # noqa: N802 - RE2's name
            return []

    found = Matcher((("m", r"x=(\d+)"), ("n", r"y=(\d+)")))
    found._set = GivenUp()
    assert found.scan(log("x=4"), 0).samples == {"m": Sample(4, START, 0)}


def test_jobs_with_the_same_definitions_share_what_was_compiled() -> None:
    assert matcher((("m", "(a)"),)) is matcher((("m", "(a)"),))


# -- times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"2026-11-24T08:15:40.123456789Z", START + 123456789),
        (b"2026-11-24T08:15:40.5Z", START + 500_000_000),
        (b"2026-11-24T08:15:40Z", START),
        (b"2026-11-24T10:15:40.000000001+02:00", START + 1),
        (b"2026-13-24T08:15:40Z", None),
        (b"epoch", None),
        (b"", None),
    ],
)
def test_times_are_read_to_the_nanosecond(text: bytes, expected: int | None) -> None:
    assert parse_stamp(text) == expected


@given(st.integers(0, 4 * 10**18))
def test_a_status_keeps_times_to_the_microsecond(at: int) -> None:
    assert nanoseconds(moment(at)) == at - at % 1000
    assert parse_stamp(stamp(at)) == at
    assert moment(at).tzinfo is UTC
    assert datetime.fromisoformat(moment(at).isoformat()) == moment(at)


# -- lines


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
def test_lines_are_those_of_the_stream_however_it_arrives_and_never_longer_than_allowed(
    pieces: list[bytes], limit: int
) -> None:
    lines = Lines(limit)
    found = [line for piece in pieces for line in lines.feed(piece)] + lines.end()
    whole = b"".join(pieces).split(b"\n")
    if whole[-1] == b"":
        whole.pop()
    assert found == [line[:limit] for line in whole]
