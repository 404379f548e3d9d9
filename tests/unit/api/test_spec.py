"""The models of a TrainingJob: what they take, what they refuse and in which words. The apiserver's verdict: tests/integration."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.support import specs
from trainyard.api.rules import matches
from trainyard.api.trainingjob import TrainingJobSpec


def answer(patch: specs.Spec) -> str:
    """Empty: accepted."""
    try:
        TrainingJobSpec.model_validate(specs.patched(specs.MINIMAL, patch))
    except ValidationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", specs.CASES)
def test_each_rule_between_fields_is_kept(case: str) -> None:
    rule = specs.CASES[case]
    assert rule.says in answer(rule.invalid)
    assert rule.says not in answer(rule.valid)


@pytest.mark.parametrize("path", specs.REFUSED)
def test_what_is_not_supported_is_refused_by_its_name(path: str) -> None:
    assert f"{path.removeprefix('spec.')}: " in answer(specs.REFUSED[path])


def test_a_request_that_asks_for_nothing_unusual_is_accepted_as_the_sdk_sends_it() -> None:
    assert answer(specs.ECHO) == ""


def test_two_channels_of_one_name_are_refused() -> None:
    assert "inputDataConfig: channelName must not repeat" in answer(specs.TWICE)


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"environment": {"1A": "x"}}, "environment"),
        ({"trainingJobName": "diamonds\n"}, "trainingJobName"),
        ({"roleARN": "arn:aws:iam::١٢٣٤٥٦٧٨٩٠١٢:role/training"}, "roleARN"),
        ({"resourceConfig": {"instanceCount": "2"}}, "resourceConfig.instanceCount"),
        ({"resourceConfig": {"instanceCount": True}}, "resourceConfig.instanceCount"),
        ({"enableManagedSpotTraining": "true"}, "enableManagedSpotTraining"),
        ({"hyperParameters": {"depth": 6}}, "hyperParameters.depth"),
    ],
)
def test_a_value_of_another_type_or_form_is_refused_and_not_converted(patch: specs.Spec, words: str) -> None:
    assert words in answer(patch)


def test_null_is_as_good_as_absent_for_a_field_and_in_a_map_but_not_in_a_list() -> None:
    spec: Any = specs.MINIMAL | {"roleARN": None, "stoppingCondition": None, "hyperParameters": {"a": None}}
    assert TrainingJobSpec.model_validate(spec) == TrainingJobSpec.model_validate(specs.MINIMAL)
    assert "outputDataConfig" in answer({"outputDataConfig": {"s3OutputPath": None}})
    with pytest.raises(ValidationError):
        TrainingJobSpec.model_validate(specs.MINIMAL | {"inputDataConfig": [None]})


def test_a_spec_is_written_as_it_was_read() -> None:
    spec = specs.patched(specs.MINIMAL, specs.ECHO)
    assert TrainingJobSpec.model_validate(spec).to_dict() == spec


@pytest.mark.parametrize(("text", "found"), [("ab", True), ("ab\n", False), ("xab", False)])
def test_an_anchored_pattern_means_in_python_what_it_means_to_the_apiserver(text: str, found: bool) -> None:
    assert matches("^ab$", text) is found
