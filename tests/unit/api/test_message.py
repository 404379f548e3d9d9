"""What operator and agent say to each other, as it is written and read."""

from __future__ import annotations

import json

import pytest

from tests.unit.agent import builders
from trainyard.api.plan import Plan
from trainyard.api.report import Report, StopOrder


def test_a_plan_reads_as_it_was_written() -> None:
    plan = builders.plan(2, hyper_parameters={"eta": "0.3"}, config_files={"a.json": {"B": [1, None]}})
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_dict(plan.to_dict()) == plan


def test_what_is_as_by_default_is_left_out_and_the_version_is_not() -> None:
    written = json.loads(builders.plan().to_json())
    assert written["version"] == 1
    assert "compression" not in written


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "malformed|truncated"),
        ("[1]", "object"),
        ('{"reason": "Bored"}', r"\$\.reason"),
        ('{"reason": 1}', r"\$\.reason"),
        ('{"message": "m"}', "reason"),
        ('{"reason": "Deleted", "more": ' + "[" * 100_000, "deep"),
        (b"\xff", "malformed"),
    ],
)
def test_a_damaged_message_is_a_value_error_that_says_where(text: str | bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        StopOrder.from_json(text)


def test_a_plan_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        Plan.from_dict(builders.plan().to_dict() | {"version": 2})


def test_unknown_fields_are_ignored_and_counts_have_a_limit() -> None:
    said = {"host": "algo-1", "phase": "Training", "mood": "good"}
    assert Report.from_dict(said).host == "algo-1"
    with pytest.raises(ValueError, match="objects"):
        Report.from_dict(said | {"objects": 2**60})
