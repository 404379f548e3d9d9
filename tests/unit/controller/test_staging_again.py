"""A `stage` that is killed: started again by its node where that can, given up when it is killed over and over."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import objects as o
from trainyard.api.reasons import Reason
from trainyard.api.report import Result
from trainyard.controller.core import evidence
from trainyard.controller.core.activity import activity
from trainyard.controller.core.decision import Act
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.policies import decide

RULES = {"initContainers": [{"name": "stage", "restartPolicyRules": [{"action": "Restart"}]}]}
OOM = o.ended(4, 9, 137, "OOMKilled")


def last(state: dict[str, Any], before: dict[str, Any], restarts: int) -> dict[str, Any]:
    return state | {"lastState": before["state"], "restartCount": restarts}


def pod(stage: dict[str, Any], *, rules: bool = True, phase: str = "Pending", **more: Any) -> Pod:
    states = {"sidecar": o.running(2), "prefetch": o.running(3), "stage": stage, "training": o.waiting()}
    return o.pod(containers=states, status={"phase": phase}, spec=RULES if rules else {}, **more)


BACK_OFF = o.waiting("CrashLoopBackOff", "back-off 10s restarting failed container")
GOES_ON = {
    "killed for the first time": OOM,
    "waits for its node": last(BACK_OFF, OOM, 0),
    "started again": last(o.running(10), OOM, 1),
    "killed for the second time": last(OOM, OOM, 1),
    "waits after the second time": last(BACK_OFF, OOM, 1),
    "started for the third time": last(o.running(30), OOM, 2),
    "crashed": o.ended(4, 9, 139),
}


@pytest.mark.parametrize("state", GOES_ON)
def test_a_stage_that_was_killed_and_is_started_again_fails_nothing(state: str) -> None:
    found = pod(GOES_ON[state])
    decision = decide(o.snapshot(o.job(), [found], blocked_since={(found.uid, "stage"): o.at(0)}))
    assert decision.act is Act.WATCH


@pytest.mark.parametrize(
    "state", [last(OOM, OOM, 2), last(BACK_OFF, OOM, 2), last(o.running(70), OOM, 3), last(BACK_OFF, OOM, 3)]
)
def test_a_stage_that_is_killed_three_times_fails_the_job_with_the_reason_of_its_end(state: dict[str, Any]) -> None:
    """Also while it happens to run once more: what was decided is not taken back."""
    decision = decide(o.snapshot(o.job(), [pod(state)]))
    assert (decision.act, decision.reason) in {(Act.ABORT, Reason.INTERNAL_ERROR), (Act.FINISH, Reason.INTERNAL_ERROR)}
    assert "the agent's container stage ran out of memory 3 times on host algo-1." in decision.message


def test_the_end_that_it_was_told_to_make_does_not_hide_why_it_was() -> None:
    stopped = o.ended(70, 71, 1, message=o.report("algo-1", Result.STOPPED))
    decision = decide(o.snapshot(o.job(), [pod(last(stopped, o.ended(4, 9, 139), 3), phase="Failed")]))
    assert decision.verdict is not None
    reason = decision.verdict.failure_reason or ""
    assert reason.startswith(
        "InternalServerError: staging on host algo-1 ended 3 times without a report (exit code 139, Error)"
    )


def test_a_stage_that_succeeded_after_all_goes_on_however_often_it_was_killed() -> None:
    assert decide(o.snapshot(o.job(), [pod(last(o.ended(70, 71), OOM, 4))])).act is Act.WATCH


@pytest.mark.parametrize(
    "found",
    [
        pod(OOM, rules=False),
        pod(OOM, phase="Failed"),
        pod(OOM, metadata={"deletionTimestamp": o.stamp(40)}),
        pod(o.ended(4, 9, 1)),
        pod(o.ended(4, 9, 1, message=o.report(result=Result.FAILED, message="ClientError: x", reason="NoData"))),
    ],
    ids=["its cluster cannot", "its node did not", "its pod is being deleted", "it is no kill", "it says why"],
)
def test_an_end_after_which_it_is_not_started_again_fails_the_job_at_once(found: Pod) -> None:
    assert not evidence.stages_again(found)
    assert decide(o.snapshot(o.job(), [found])).act in {Act.ABORT, Act.FINISH}


@pytest.mark.parametrize("state", [OOM, last(OOM, o.ended(1, 2, 139), 1), last(BACK_OFF, OOM, 0)])
def test_the_status_says_that_it_was_killed_and_how(state: dict[str, Any]) -> None:
    snapshot = o.snapshot(o.job(), [pod(state)])
    said = activity(snapshot, decide(snapshot))
    assert said.reason is Reason.STAGING
    assert said.message == (
        "container stage on algo-1: it was killed (exit code 137, OOMKilled) and is started again, to go on where it was"
    )


@pytest.mark.parametrize("state", [OOM, last(BACK_OFF, OOM, 0)])
def test_a_job_that_is_stopped_while_its_node_waits_to_start_it_again_is_stopped_at_once(state: dict[str, Any]) -> None:
    assert evidence.deaf(pod(state))
