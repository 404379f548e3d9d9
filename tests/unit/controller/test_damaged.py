"""A status, or a pod's, that somebody has filled with nonsense: no pass breaks on it, and the job says which field it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

import orjson
import pytest

from tests.support import objects as o
from trainyard.controller.adapters.cluster import PODS
from trainyard.controller.core import read
from trainyard.controller.core.actions import actions
from trainyard.controller.core.announce import announcements
from trainyard.controller.core.decision import Act
from trainyard.controller.core.naming import rank_of
from trainyard.controller.core.observed import Pod, parse_report
from trainyard.controller.core.policies import decide
from trainyard.controller.core.snapshot import Snapshot
from trainyard.controller.core.status import reduce

Raw = dict[str, Any]
SPECS: tuple[Raw, ...] = (
    {},
    {"enableManagedSpotTraining": True, "stoppingCondition": {"maxWaitTimeInSeconds": 86400}},
    {"retryStrategy": {"maximumRetryAttempts": 3}, "stoppingCondition": {"maxPendingTimeInSeconds": 1800}},
    {"suspend": True},
    {"ttlSecondsAfterFinished": 60},
    {"stop": True},
)
TIMES = (
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "2026-11-23T12:00:00+05:00",
)
TEXTS = ("", "²", "algo-²", "algo-" + "9" * 5000, "x" * 400, "../../x?y", "\x00", "Bogus", "algo-0")
NUMBERS = (-1, 0, 2**31, 2**63 - 1, -(2**63), 1e30, 1e300)
AGAIN: Raw = {
    "attempt": 2,
    "attemptStartTime": o.stamp(100),
    "retryAttempts": 1,
    "interruptions": 1,
    "earlierRunningTimeInSeconds": 7,
    "suspendedTimeInSeconds": 3,
    "hosts": [],
    "earlierAttempts": [
        {"attempt": 1, "startTime": o.stamp(0), "endTime": o.stamp(5), "reason": "Retrying", "message": "x"}
    ],
}


def lives() -> list[list[Pod]]:
    made = [o.pulling(), o.staging(), o.training(), o.uploading(), o.over(), o.over(code=3), o.stage_failed()]
    return [[], *([pod] for pod in made)]


def step(snapshot: Snapshot) -> Raw:
    """A whole pass, and what would be written."""
    decision = decide(snapshot)
    actions(snapshot, decision)
    status = reduce(snapshot, decision)
    announcements(snapshot.job, status)
    orjson.dumps(status.to_dict())
    return status.to_dict()


def statuses() -> list[Raw]:
    """Those that jobs have, at each step of their life."""
    found = list[Raw]()
    for spec in SPECS:
        status: Raw = {}
        for pods in lives():
            status = step(o.snapshot(o.job(status=status, **spec), pods))
            found += [status, status | AGAIN]
    return found


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """(what holds it, its key) of every value below."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from places(node[key])


def damage(dice: Random, status: Raw) -> None:
    found = list(places(status))
    if not found:
        return
    holder, key = dice.choice(found)
    value = holder[key]
    if dice.randrange(8) == 0:
        del holder[key]
    elif isinstance(value, str):
        holder[key] = dice.choice(TIMES if value[:4].isdigit() and "T" in value else TEXTS)
    elif isinstance(value, list):
        holder[key] = dice.choice([[], value * 2, value[::-1]])
    else:
        holder[key] = {} if isinstance(value, dict) else dice.choice(NUMBERS)


def test_no_pass_breaks_on_a_status_whatever_is_in_it() -> None:
    known = statuses()
    for number in range(600):
        dice = Random(number)
        status = copy.deepcopy(dice.choice(known))
        for _ in range(dice.choice((1, 1, 2, 4))):
            damage(dice, status)
        for pods in lives():
            step(o.snapshot(o.job(status=status, **dice.choice(SPECS)), pods))


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("attemptStartTime", {"attemptStartTime": "9999-12-31T23:59:59Z"}),
        ("suspendedTimeInSeconds", {"suspendedTimeInSeconds": 2**62}),
        ("attempt", {"attempt": 0}),
        ("hosts.0.name", {"hosts": [{"name": "algo-²", "pod": "x"}]}),
        ("hosts.0.pod", {"hosts": [{"name": "algo-1", "pod": "../secrets/x"}]}),
        ("hosts.0.bytes", {"hosts": [{"name": "algo-1", "pod": "x", "bytes": 1e30}]}),
        (
            "earlierAttempts.0.reason",
            {"earlierAttempts": [{"attempt": 1, "endTime": o.stamp(5), "reason": "Bogus", "message": ""}]},
        ),
    ],
)
def test_a_status_that_cannot_be_is_left_alone_and_the_field_is_named(field: str, status: Raw) -> None:
    decision = decide(o.snapshot(o.job(status=status)))
    assert decision.act is Act.NOTHING
    assert f": {field}: " in decision.message
    assert "--subresource=status" in decision.message


def test_a_host_s_rank_is_read_of_nothing_but_a_host_s_name() -> None:
    assert (rank_of("algo-1"), rank_of("algo-10")) == (0, 9)
    assert {rank_of(name) for name in ("algo-", "algo-0", "algo-²", "algo-" + "9" * 5000, "1")} == {1 << 30}


@pytest.mark.parametrize("time", [*TIMES[:4], "1970-01-01T00:00:00Z", "yesterday"])
def test_a_time_that_no_clock_says_reads_as_none(time: str) -> None:
    assert read.time({"at": time}, "at") is None


def test_a_report_with_impossible_numbers_is_none() -> None:
    assert parse_report('{"host": "algo-1", "phase": "Done", "objects": -1}') is None


def test_a_name_stays_one_part_of_a_request_s_path() -> None:
    assert PODS.path("a", "../secrets/x?watch=true") == "/api/v1/namespaces/a/pods/..%2Fsecrets%2Fx%3Fwatch%3Dtrue"
