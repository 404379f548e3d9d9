"""What kstatus, Flux and Argo CD make of a job in each state, by their own algorithms, is what the page of states says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hack import tools
from tests.support.lives import Stage, stages, table
from trainyard.api.status import SecondaryStatus
from trainyard.controller.core.conditions import TYPES

ROOT = Path(__file__).resolve().parents[3]
TABLE = table((ROOT / "docs/reference/states.md").read_text())
STAGES = list(stages())
Verdicts = dict[str, dict[str, str]]


def read(*objects: dict[str, Any]) -> list[Verdicts]:
    """The verdicts on each object: reader -> status and message."""
    done = subprocess.run(
        [str(tools.HEALTH.binary), str(ROOT / "examples/argocd/health.lua")],
        input=json.dumps(objects),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdicts: list[Verdicts] = json.loads(done.stdout)
    return [{"kstatus": said["kstatus"], "Flux": said["flux"], "Argo CD": said["argocd"]} for said in verdicts]


@pytest.fixture(scope="module")
def verdicts() -> list[Verdicts]:
    """In the order of STAGES."""
    return read(*(stage.life.raw for stage in STAGES))


@pytest.mark.parametrize("number", range(len(STAGES)), ids=[f"{stage}" for stage in STAGES])
def test_each_reader_says_what_the_page_says(number: int, verdicts: list[Verdicts]) -> None:
    stage = STAGES[number]
    said = {reader: verdict["status"] for reader, verdict in verdicts[number].items()}
    assert said == TABLE[stage.row].readers, verdicts[number]


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_each_stage_is_the_one_that_it_is_called(stage: Stage) -> None:
    assert stage.life.condition("Ready").get("reason", "") == stage.reason
    if stage.row.startswith("`"):
        assert stage.life.raw["status"]["secondaryStatus"] == stage.row.strip("`")


@pytest.mark.parametrize("stage", [stage for stage in STAGES if TABLE[stage.row].true], ids=str)
def test_the_conditions_that_are_true_are_those_of_the_page(stage: Stage) -> None:
    status = stage.life.raw["status"]
    true = {condition["type"] for condition in status["conditions"] if condition["status"] == "True"}
    assert true - {"Accepted", "DataReady", "ArtifactsUploaded"} == TABLE[stage.row].true


def test_every_state_and_every_row_has_a_stage() -> None:
    assert {stage.row for stage in STAGES} == set(TABLE)
    assert {f"`{state}`" for state in SecondaryStatus} <= set(TABLE)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if "conditions" in stage.life.raw["status"]], ids=str)
def test_every_condition_carries_the_generation_that_was_observed(stage: Stage) -> None:
    status = stage.life.raw["status"]
    assert {condition["type"] for condition in status["conditions"]} >= set(TYPES)
    assert {condition["observedGeneration"] for condition in status["conditions"]} == {status["observedGeneration"]}


def test_a_failed_job_s_reason_is_what_each_reader_shows(verdicts: list[Verdicts]) -> None:
    said = next(
        verdict for stage, verdict in zip(STAGES, verdicts, strict=True) if str(stage) == "`Failed` AlgorithmError"
    )
    assert [("AlgorithmError: " in verdict["message"]) for verdict in said.values()] == [True, True, True]


def test_an_unschedulable_job_s_reason_is_what_each_reader_shows(verdicts: list[Verdicts]) -> None:
    said = next(
        verdict for stage, verdict in zip(STAGES, verdicts, strict=True) if str(stage) == "`Pending` Unschedulable"
    )
    assert [("Insufficient cpu" in verdict["message"]) for verdict in said.values()] == [True, True, True]


def test_a_status_without_the_observed_generation_would_be_taken_for_a_job_that_is_as_it_should_be() -> None:
    """Why the CRD has a default for it: this is what it would be without."""
    job = STAGES[0].life.raw
    (said,) = read({key: value for key, value in job.items() if key != "status"})
    assert {reader: verdict["status"] for reader, verdict in said.items()} == {
        "kstatus": "Current",
        "Flux": "Current",
        "Argo CD": "Progressing",
    }
