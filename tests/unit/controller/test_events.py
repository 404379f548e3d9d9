"""The Events of a job: few, with reasons of one table, and a Warning only for what a person can do something about."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import objects as o
from tests.support.lives import Life, Stage, stages
from trainyard.api.reasons import Reason
from trainyard.controller.core.announce import WARNINGS

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/failure-reasons.md").read_text()
WHAT_TO_DO = PAGE.partition("## Why a job failed")[2].partition("\n## ")[0]


def test_every_reason_is_camel_case_and_said_once() -> None:
    assert [reason for reason in Reason if not re.fullmatch(r"([A-Z][a-z]+|A(?=[A-Z]))+", reason.value)] == []
    assert len({reason.value.lower() for reason in Reason}) == len(Reason)


@pytest.mark.parametrize("stage", list(stages()), ids=str)
def test_a_job_that_fails_ends_with_a_warning_and_one_that_does_not_without(stage: Stage) -> None:
    status = stage.life.raw["status"].get("trainingJobStatus")
    ends = [said for said in stage.life.said if said.reason == stage.life.condition("Finished").get("reason")]
    if status == "Failed":
        assert [said.kind for said in ends[-1:]] == ["Warning"]
    elif status in ("Completed", "Stopped"):
        assert [said.kind for said in ends[-1:]] == ["Normal"]


def test_the_reasons_that_warn_are_those_that_say_what_to_do() -> None:
    failures = {Reason(found) for found in re.findall(r"^\| `(\w+)` \|.*\| [^|]+ \|$", WHAT_TO_DO, re.MULTILINE)}
    assert failures <= WARNINGS
    assert WARNINGS - failures == {
        Reason.INVALID_SPEC,
        Reason.NAME_IN_USE,
        Reason.CLAIM_NOT_FOUND,
        Reason.CLAIM_AMBIGUOUS,
        Reason.CLAIM_NOT_READY,
        Reason.CLAIM_UNFIT,
        Reason.PODS_REFUSED,
        Reason.ORDER_REFUSED,
        Reason.UNSCHEDULABLE,
        Reason.IMAGE_PULL_FAILING,
        Reason.POD_NOT_STARTING,
        Reason.DOWNLOAD_BLOCKED,
        Reason.UPLOAD_BLOCKED,
        Reason.NAME_SHADOWED,
        Reason.POD_ALTERED,
        Reason.METRICS_SWITCHED_OFF,
        Reason.METRIC_REGEX_INVALID,
        Reason.METRIC_NOT_A_NUMBER,
        Reason.LOGS_NOT_READ,
        Reason.FIELDS_IGNORED,
        Reason.CHECKPOINTS_NOT_KEPT,
        Reason.STATUS_UNREADABLE,
        Reason.SERVICE_MADE_AGAIN,
    }


def test_a_healthy_job_says_that_it_is_completed_and_nothing_else() -> None:
    life = Life()
    for number, pod in enumerate((o.starting(), o.pulling(), o.staging(), o.training(), o.uploading(), o.over())):
        life.seen(pod, now=10 * number)
    assert [(said.kind, said.reason) for said in life.said] == [("Normal", "Completed")]
