"""Images in which nothing runs, and containers that cannot be made: waited for, and then told with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import objects as o
from trainyard.api import names
from trainyard.api.report import Result, StopOrder, StopReason
from trainyard.controller.core import evidence
from trainyard.controller.core.decision import Act
from trainyard.controller.core.failures import failures
from trainyard.controller.core.observed import Pod, as_gone
from trainyard.controller.core.policies import decide
from trainyard.controller.core.status import reduce
from trainyard.controller.core.verdict import Verdict

FOREIGN = "failed to create containerd task: runc: exec /trainyard/podtool: exec format error: unknown"
NOTHING_RUNS = f"InternalServerError: not even trainyard's own program can be run in the training image {o.IMAGE}"
START_ERROR = o.ended(-1, -1, 128, "StartError", FOREIGN)
LAST = {"lastState": START_ERROR["state"], "restartCount": 1}
BACK_OFF = o.waiting("CrashLoopBackOff", "back-off 10s restarting failed container") | LAST


def prefetching(prefetch: dict[str, Any], phase: str = "Pending", **more: Any) -> Pod:
    """`prefetch` is the container's state; the others are as they are then."""
    over = phase == "Failed"
    sidecar = o.ended(2, 9, message=more.pop("told", "")) if over else o.running(2)
    states = {"sidecar": sidecar, "prefetch": prefetch, "stage": o.waiting(), "training": o.waiting()}
    return o.pod(containers=states, status={"phase": phase} | more.pop("status", {}), **more)


def ending(pod: Pod, **job: Any) -> Verdict:
    decision = decide(o.snapshot(o.job(**job), [pod]))
    assert decision.verdict is not None, decision
    return decision.verdict


def waited(pod: Pod, seconds: int) -> Act:
    """What is decided when the host's container has been unable to start for so long."""
    found = evidence.blocked(pod)
    assert found is not None
    return decide(o.snapshot(o.job(), [pod], blocked_since={found.key: o.at(1000 - seconds)})).act


@pytest.mark.parametrize(
    "prefetch",
    [START_ERROR, START_ERROR | LAST, BACK_OFF, o.running(50) | LAST | {"restartCount": 3}],
    ids=["failed once", "failed again", "waits for another try", "runs for a moment"],
)
def test_an_image_in_which_nothing_runs_fails_the_job_after_the_timeout(prefetch: dict[str, Any]) -> None:
    """In each state that a look may meet between two tries: the wait goes on in all of them."""
    pod = prefetching(prefetch)
    assert (waited(pod, 599), waited(pod, 600)) == (Act.WATCH, Act.FINISH)
    decision = decide(o.snapshot(o.job(), [pod], blocked_since={("pod-algo-1", "prefetch"): o.at(0)}))
    assert decision.verdict is not None
    reason = decision.verdict.failure_reason or ""
    assert (decision.verdict.status, decision.verdict.reason) == ("Failed", "NotExecutable")
    assert reason.startswith(f"{NOTHING_RUNS} on host algo-1 (node node-1): CrashLoopBackOff: ")
    assert "exec format error" in reason
    assert "for the node's architecture" in reason


MUTE = {"lastState": o.ended(-1, -1, 1)["state"], "restartCount": 1}


@pytest.mark.parametrize("last", [LAST, MUTE], ids=["with last words", "without"])
def test_what_is_told_of_an_image_in_which_nothing_runs_does_not_change_from_try_to_try(last: dict[str, Any]) -> None:
    """The kubelet's own words have the length of its wait, which grows: the status would be written for each."""
    tries = [
        o.ended(9, 9, 1, message=last["lastState"]["terminated"].get("message", "")) | last,
        *(
            o.waiting("CrashLoopBackOff", f"back-off {wait} restarting failed container") | last
            for wait in ("10s", "5m0s")
        ),
        o.running(50) | last | {"restartCount": 3},
    ]
    told = [reduce(seen, decide(seen)) for seen in (o.snapshot(o.job(), [prefetching(state)]) for state in tries)]
    assert [status.conditions for status in told] == [told[0].conditions] * len(tries)
    (ready,) = (condition.message for condition in told[0].conditions if condition.type == "Ready")
    assert "container prefetch on algo-1: " in ready


@pytest.mark.parametrize("code", [128, 1, 255])
def test_a_pod_that_ended_because_nothing_runs_in_its_image_says_so(code: int) -> None:
    found = ending(prefetching(o.ended(3, 3, code, message=FOREIGN), "Failed"))
    assert (found.status, found.reason) == ("Failed", "NotExecutable")
    assert (found.failure_reason or "").startswith(
        f"{NOTHING_RUNS} on host algo-1 (node node-1): Error, exit code {code}: "
    )


ORDER = {"annotations": {names.ANNOTATION_STOP: StopOrder(reason=StopReason.HOST_FAILED, message="x").to_json()}}
OTHERWISE: dict[str, tuple[Pod, str]] = {
    "it was ended from outside": (prefetching(o.ended(3, 9, 137), "Failed"), "InternalError"),
    "it answered a signal": (prefetching(o.ended(3, 9, 143), "Failed"), "InternalError"),
    "it was evicted": (prefetching(START_ERROR, "Failed", status={"reason": "Evicted"}), "PodLost"),
    "it was deleted": (as_gone(prefetching(START_ERROR)), "PodLost"),
    "its end was not seen": (prefetching(o.ended(3, 9, 255, "Unknown"), "Failed"), "InternalError"),
    "it was told to end": (prefetching(START_ERROR, "Failed", **ORDER), "InternalError"),
    "the image was proven": (o.stage_failed(message="ClientError: none", reason="NoData"), "NoData"),
}


@pytest.mark.parametrize("why", OTHERWISE)
def test_an_end_of_prefetch_that_says_nothing_of_the_image_is_told_otherwise(why: str) -> None:
    pod, reason = OTHERWISE[why]
    assert ending(pod).reason == reason


NO_DIRECTORY = "failed to prepare subPath for volumeMount: not a directory."
CREATION = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


@pytest.mark.parametrize("why", CREATION)
@pytest.mark.parametrize("container", ["prefetch", "training", "stage", "hold"])
def test_a_container_that_cannot_be_created_is_waited_for_and_then_told_with_what_to_do(
    container: str, why: str
) -> None:
    states = o.staged() | {"training": o.waiting(), "hold": o.waiting()}
    if container in ("prefetch", "stage"):
        states |= {"stage": o.waiting()}
    pod = o.pod(containers=states | {container: o.waiting(why, NO_DIRECTORY)}, status={"phase": "Pending"})
    assert (waited(pod, 599), waited(pod, 600)) == (Act.WATCH, Act.FINISH)
    seen = o.snapshot(o.job(), [pod], blocked_since={("pod-algo-1", container): o.at(0)})
    (found,) = failures(seen)
    told = f"on host algo-1: {why}: {NO_DIRECTORY} "
    events = "kubectl describe pod diamonds-1-algo-1 -n team"
    if container in ("prefetch", "training"):
        assert found.reason == "NotExecutable"
        beginning = (
            f"ClientError: the container {container} of image {o.IMAGE} cannot be created {told}Correct what that names"
        )
    else:
        assert found.reason == "InternalError"
        beginning = f"InternalServerError: the operator's own container {container} cannot start {told}The administrator must mend"
    assert found.text.startswith(beginning), found.text
    assert found.text.endswith(events)
    assert "on node node-1" in found.text


def test_a_stop_before_anything_ran_is_a_stop() -> None:
    told = o.report(result=Result.ABANDONED, stop_reason=StopReason.USER_REQUESTED)
    assert ending(prefetching(START_ERROR, "Failed", told=told), stop=True).status == "Stopped"
