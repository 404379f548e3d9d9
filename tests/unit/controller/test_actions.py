"""Which orders and deletions follow from a decision: each once, and only to pods that can hear."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import objects as o
from trainyard.api import names
from trainyard.api.report import StopOrder, StopReason, TrainingEnd
from trainyard.controller.core.actions import Actions, actions
from trainyard.controller.core.announce import announcements
from trainyard.controller.core.observed import Pod, as_gone
from trainyard.controller.core.policies import decide
from trainyard.controller.core.status import reduce

STOP, ENDED = names.ANNOTATION_STOP, names.ANNOTATION_TRAINING_ENDED


def do(*pods: Pod, **job: Any) -> Actions:
    snapshot = o.snapshot(o.job(hosts=max(len(pods), 1), **job), list(pods))
    return actions(snapshot, decide(snapshot))


def orders(found: Actions) -> dict[str, dict[str, Any]]:
    return {
        order.pod.host: {key.split("/")[1]: json.loads(value) for key, value in order.annotations.items()}
        for order in found.annotate
    }


def test_nothing_is_done_while_pods_work() -> None:
    assert do(o.training(), o.training("algo-2")) == Actions()


def test_the_end_of_training_is_told_by_call_or_by_annotation() -> None:
    found = do(o.uploading(code=137, reason="OOMKilled"))
    assert orders(found) == {"algo-1": {"training-ended": {"exitCode": 137, "reason": "OOMKilled"}}}
    assert found.annotate[0].post is not None


def test_an_end_that_was_told_is_not_told_again() -> None:
    assert do(o.uploading(annotations={ENDED: TrainingEnd(exit_code=0).to_json()})) == Actions()


@pytest.mark.parametrize("nonsense", ["", "{", "[]", '{"reason": "Bogus"}'])
def test_an_order_that_nobody_can_read_does_not_stand_in_the_way_of_one_that_is_needed(nonsense: str) -> None:
    odd = {STOP: nonsense, ENDED: nonsense}
    assert list(orders(do(o.training(annotations=odd), stop=True))["algo-1"]) == ["stop"]
    assert list(orders(do(o.uploading(annotations=odd)))["algo-1"]) == ["training-ended"]
    assert do(o.training(annotations=odd)) == Actions()


def test_an_end_that_is_over_is_not_told() -> None:
    done = o.over()
    assert do(done, o.training("algo-2")) == Actions()


def test_a_stop_is_ordered_on_every_host_that_trains_once() -> None:
    found = do(
        o.training(),
        o.training("algo-2", annotations={STOP: StopOrder(reason=StopReason.HOST_FAILED).to_json()}),
        stop=True,
    )
    assert orders(found) == {"algo-1": {"stop": {"reason": "UserRequested", "message": "spec.stop was set"}}}


def test_a_stop_deletes_the_pods_that_no_order_reaches() -> None:
    found = do(o.unscheduled(), o.starting("algo-2"), o.pulling("algo-3"), o.staging("algo-4"), stop=True)
    assert [pod.host for pod in found.delete] == ["algo-1", "algo-2", "algo-3"]


@pytest.mark.parametrize("what", ["stop", "suspend"])
def test_a_host_that_trains_is_not_deleted_because_its_agent_is_away(what: str) -> None:
    found = do(o.without_sidecar(), **{what: True})
    assert list(orders(found)["algo-1"]) == ["stop"]
    assert found.delete == ()


def test_a_host_that_trains_while_hold_cannot_be_pulled_is_not_deleted() -> None:
    waits = o.waiting("ErrImagePull", "429 Too Many Requests")
    trains = o.pod(containers=o.staged() | {"training": o.running(6), "hold": waits})
    assert do(trains, stop=True).delete == ()
    ended = o.pod(containers=o.staged() | {"training": o.ended(6, 60), "hold": waits})
    assert do(ended, stop=True).delete == (ended,), "without it the pod does not end by itself"


def test_a_time_limit_is_ordered_on_the_hosts_that_run_and_deletes_those_that_never_started() -> None:
    limited = o.stopped(why=StopReason.MAX_RUNTIME_EXCEEDED)
    found = do(limited, o.training("algo-2"), o.pulling("algo-3"))
    assert [pod.host for pod in found.delete] == ["algo-3"]
    assert orders(found)["algo-2"]["stop"]["reason"] == "MaxRuntimeExceeded"
    snapshot = o.snapshot(o.job(hosts=3), [limited, o.training("algo-2")])
    assert actions(snapshot, decide(snapshot)).plan is None


def test_a_failed_host_ends_the_others_and_not_itself() -> None:
    found = do(o.training(), o.uploading("algo-2", code=4), o.uploading("algo-3"))
    told = orders(found)
    assert told["algo-1"]["stop"]["reason"] == "HostFailed"
    assert set(told["algo-2"]) == set(told["algo-3"]) == {"training-ended"}


def test_a_pod_that_is_being_deleted_hears_nothing() -> None:
    leaving = o.training(metadata={"deletionTimestamp": o.stamp(990)})
    assert do(leaving, stop=True) == Actions()


def test_an_ended_job_deletes_what_runs_and_keeps_what_has_ended() -> None:
    found = do(o.over(), o.training("algo-2"), as_gone(o.training("algo-3")), status={"trainingJobStatus": "Failed"})
    assert [pod.host for pod in found.delete] == ["algo-2"]


def test_a_half_made_gang_is_completed_and_not_made_twice() -> None:
    snapshot = o.snapshot(o.job(hosts=3), [o.starting(), o.starting("algo-3")])
    found = actions(snapshot, decide(snapshot))
    assert [pod["metadata"]["name"] for pod in found.pods] == ["diamonds-1-algo-2"]


# -- events


def said(pods: list[Pod], **job: Any) -> list[tuple[str, str]]:
    of = o.job(hosts=max(len(pods), 1), **job)
    snapshot = o.snapshot(of, pods, now=500)
    return [(entry.kind, entry.reason) for entry in announcements(of, reduce(snapshot, decide(snapshot)))]


def test_the_end_is_announced_and_no_step_of_a_healthy_job() -> None:
    for pod in (o.starting(), o.training(), o.uploading()):
        assert said([pod]) == []
    assert said([o.over()]) == [("Normal", "Completed")]
    assert said([o.over(code=1)]) == [("Warning", "AlgorithmError")]


def test_what_a_person_can_mend_is_a_warning() -> None:
    assert ("Warning", "Unschedulable") in said([o.unscheduled()])
    assert ("Warning", "ImagePullFailing") in said([o.pulling(reason="ErrImagePull")])


def test_a_stop_that_comes_too_late_is_answered_once() -> None:
    ended = {"trainingJobStatus": "Completed", "secondaryStatus": "Completed", "observedGeneration": 1}
    assert said([], stop=True, status=ended) == [("Normal", "StopIgnored")]
    assert said([], stop=True, status=ended | {"observedGeneration": 2}) == []
