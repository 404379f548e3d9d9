"""Metric definitions against log lines. RE2 alone, whose time grows with the line's length and with nothing else.

The log driver of SageMaker escapes control characters, and regexes rely on it (`#011` is a TAB), so each line that has any
is searched as it is and in that form. Called in threads: the search itself does not hold Python's lock.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import re2

# What the compiled form of one regex may take. Enough for `.{0,500}`; more would make a line of 16 KiB take seconds.
_REGEX_BYTES = 256 << 10
# The same for all regexes of a job at once, the cache of what was searched included.
_SET_BYTES = 2 << 20
# Jobs of one team have the same definitions. With more sets at work than this, each is compiled anew for every slice.
_SETS = 32
_CONTROLS = bytes([*range(0x20), 0x7F])
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_LINE_ENDS = b"\r"
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS = 10**9
_FIRST_YEAR, _LAST_YEAR = 1970, 2999  # what a status can hold

# (name, regex) of each definition; what compiled forms are kept by.
Definitions = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sample:
    """One value. `at` is the line's time in nanoseconds since 1970, `rank` the host's: on a tie the higher host counts."""

    value: float
    at: int
    rank: int

    @property
    def order(self) -> tuple[int, int]:
        return self.at, self.rank


@dataclass(frozen=True)
class Found:
    """What some lines gave: the last sample of each metric, the times of the first and the last line (None: no line had one).

    `numberless` are metrics that matched, but only with a first group that is no finite number, `strange` a line without a time:
    the kubelet's word for why there is no log.
    """

    samples: dict[str, Sample] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None
    numberless: frozenset[str] = frozenset()
    strange: str = ""


def _options(size: int) -> re2.Options:
    options = re2.Options()
    options.max_mem, options.log_errors = size, False
    return options


@lru_cache(maxsize=4096)
def complaint(regex: str) -> str:
    """Why a regex cannot be used, and what to do; empty if it can. Only the words are kept, not the compiled form."""
    try:
        groups = re2.compile(regex, _options(_REGEX_BYTES)).groups
    except re2.error as error:
        told = error.args[0] if error.args else ""
        told = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
        if "perl operator" in told or "escape sequence" in told:
            return f"{told}: look-around and back-references are not supported, write it without (RE2 syntax)"
        if "too large" in told or "repetition" in told:
            return f"{told}: write it with smaller repetitions"
        return f"{told}: correct it (RE2 syntax)"
    except UnicodeEncodeError:
        return "it is no valid text"
    return "" if groups else "it has no group: put the number in parentheses"


def usable(definitions: Definitions) -> Definitions:
    return tuple((name, regex) for name, regex in definitions if not complaint(regex))


class Matcher:
    """The usable definitions of a job, compiled. Safe to use from several threads."""

    def __init__(self, definitions: Definitions) -> None:
        found = usable(definitions)
        self._names = [name for name, _ in found]
        self._regexes = [re2.compile(regex, _options(_REGEX_BYTES)) for _, regex in found]
        self._set = _set([regex for _, regex in found])

    def scan(self, lines: Sequence[bytes], rank: int) -> Found:
        """Lines as the kubelet sends them with timestamps. From the last to the first, as only the last match counts.

        For lines whose times run backwards (a clock was set) that is the last one of the slice, not of all.
        """
        samples: dict[str, Sample] = {}
        numberless: set[str] = set()
        for line in reversed(lines):
            stamp, _, text = line.partition(b" ")
            hits = [hit for form in _forms(text) for hit in self._hits(form)]
            at = parse_stamp(stamp) if hits else None
            if at is None:
                continue
            for index, form in hits:
                name = self._names[index]
                if name in samples:
                    continue
                match = self._regexes[index].search(form)
                if match is None:
                    continue
                value = _finite(match.group(1))
                if value is None:
                    numberless.add(name)
                else:
                    samples[name] = Sample(value, at, rank)
            if len(samples) == len(self._names):
                break
        first, strange = _first_stamp(lines)
        last, _ = _first_stamp(reversed(lines))
        return Found(samples, first, last, frozenset(numberless - samples.keys()), strange[:200])

    def _hits(self, form: bytes) -> Iterable[tuple[int, bytes]]:
        """Definitions that match it; where the set cannot tell, all of them."""
        found = self._set.Match(form) if self._set is not None else []
        given_up = len(self._names)
        if given_up not in found:
            return [(index, form) for index in range(given_up)]
        return [(index, form) for index in found if index != given_up] if len(found) > 1 else ()


def _first_stamp(lines: Iterable[bytes]) -> tuple[int | None, str]:
    """The first time that a line has, and the first line before it that has none."""
    strange = ""
    for line in lines:
        if (at := parse_stamp(line.partition(b" ")[0])) is not None:
            return at, strange
        strange = strange or line.decode("utf-8", "replace")
    return None, strange


def _set(regexes: list[str]) -> re2.Set | None:
    """All regexes as one, so that a line that matches none costs one look; None if that is too large.

    The last one is empty and matches everything: where it is missing among the matches, the search has given up.
    """
    found = re2.Set.SearchSet(_options(_SET_BYTES))
    try:
        for regex in [*regexes, ""]:
            found.Add(regex)
        found.Compile()
    except re2.error:
        return None
    return found


@lru_cache(maxsize=_SETS)
def matcher(definitions: Definitions) -> Matcher:
    """The compiled form, made once for jobs with the same definitions and forgotten when others need the place."""
    return Matcher(definitions)


def _forms(text: bytes) -> tuple[bytes, ...]:
    """The line as UTF-8, and where it has control characters also with these as `#ooo`, octal."""
    text = text.rstrip(_LINE_ENDS)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            text = text.decode("utf-8", "replace").encode()
    if len(text.translate(None, _CONTROLS)) == len(text):
        return (text,)
    return text, _CONTROL.sub(_octal, text)


def _octal(match: re.Match[bytes]) -> bytes:
    return b"#%03o" % match[0][0]


def _finite(text: bytes | None) -> float | None:
    if text is None or b"_" in text:  # Python reads 1_000 as a number, nobody else does
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def parse_stamp(stamp: bytes) -> int | None:
    """RFC 3339 with up to nine digits of a second, in nanoseconds since 1970; None if it is none."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat((match[1] + match[3]).decode())
    except ValueError:
        return None
    if not _FIRST_YEAR <= whole.year <= _LAST_YEAR:
        return None
    return round((whole - _EPOCH).total_seconds()) * _NANOS + int((match[2] or b"").ljust(9, b"0"))


def moment(at: int) -> datetime:
    """Nanoseconds since 1970 as a time, cut to microseconds, which is what a status can hold."""
    seconds, rest = divmod(at, _NANOS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def nanoseconds(moment_: datetime) -> int:
    return round(moment_.replace(microsecond=0).timestamp()) * _NANOS + moment_.microsecond * 1000
