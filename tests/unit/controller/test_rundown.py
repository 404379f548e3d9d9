"""The pods of a deleted job: told once, left to upload, and over before what owns them goes."""

from __future__ import annotations

import json
from typing import Any

from tests.support import objects as o
from trainyard.api import names
from trainyard.api.report import StopOrder, StopReason
from trainyard.controller.app.state import State
from trainyard.controller.core.actions import Actions
from trainyard.controller.core.decision import Act
from trainyard.controller.core.observed import as_gone
from trainyard.controller.core.policies import decide
from trainyard.controller.core.rundown import run_down, rundown

KEY = (o.NAMESPACE, o.NAME)
STOP, ENDED = names.ANNOTATION_STOP, names.ANNOTATION_TRAINING_ENDED


def orders(found: Actions) -> dict[str, dict[str, Any]]:
    return {
        order.pod.host: {key.split("/")[1]: json.loads(value) for key, value in order.annotations.items()}
        for order in found.annotate
    }


def test_a_host_that_trains_is_told_once_that_the_job_is_deleted() -> None:
    found = rundown(
        [o.training(), o.training("algo-2", annotations={STOP: StopOrder(reason=StopReason.HOST_FAILED).to_json()})]
    )
    assert orders(found) == {"algo-1": {"stop": {"reason": "Deleted", "message": "the TrainingJob was deleted"}}}
    assert found.delete == ()


def test_a_host_that_trains_without_its_agent_keeps_its_plan_until_it_has_uploaded() -> None:
    found = rundown([o.without_sidecar()])
    assert (list(orders(found)), found.delete) == (["algo-1"], ())
    assert not run_down([o.without_sidecar()], o.at(100))


def test_the_end_of_its_training_is_told_as_for_any_other_job() -> None:
    assert list(orders(rundown([o.uploading(code=137)]))["algo-1"]) == ["training-ended"]


def test_a_host_that_hears_nothing_is_deleted() -> None:
    found = rundown([o.unscheduled(), o.pulling("algo-2"), o.staging("algo-3")])
    assert [pod.host for pod in found.delete] == ["algo-1", "algo-2"]
    assert list(orders(found)) == ["algo-3"]


def test_a_host_that_is_being_deleted_or_is_over_is_left_alone() -> None:
    deleting = o.training(metadata={"deletionTimestamp": o.stamp(5)})
    assert rundown([deleting, o.over("algo-2"), as_gone(o.training("algo-3"))]) == Actions()


def test_all_is_over_only_when_every_host_is() -> None:
    assert run_down([o.over(), as_gone(o.training("algo-2"))], o.at(100))
    assert not run_down([o.over(), o.uploading("algo-2")], o.at(100))


def test_hosts_that_hear_nothing_go_with_their_plan_which_nobody_would_think_of_once_they_are_gone() -> None:
    assert run_down([o.unscheduled(), o.pulling("algo-2"), o.over("algo-3")], o.at(100))
    assert not run_down([o.unscheduled(), o.training("algo-2")], o.at(100))


def test_pods_of_a_deleted_job_are_left_behind_and_those_of_the_present_one_are_not() -> None:
    state = State()
    state.seen("jobs", o.raw_job())
    state.seen("pods", o.raw_pod())
    assert state.left_behind(KEY) == []
    state.seen("jobs", o.raw_job(), deleted=True)
    assert [[pod.host for pod in pods] for pods in state.left_behind(KEY)] == [["algo-1"]]
    assert state.job_keys() == {KEY}
    state.seen("pods", o.raw_pod(), deleted=True)
    assert state.left_behind(KEY) == []
    assert state.job_keys() == set()


def test_a_new_job_of_the_name_waits_for_the_pods_of_the_old_one_and_says_so() -> None:
    decision = decide(o.snapshot(o.job(), predecessors=2))
    assert decision.act is Act.WAIT
    assert "2 pod(s) of a deleted job of the same name" in decision.message


def test_a_host_whose_node_does_not_answer_is_not_waited_for() -> None:
    dead = o.training(metadata={"deletionTimestamp": o.stamp(100)})
    assert not run_down([dead], o.at(159))
    assert run_down([dead], o.at(160))


def test_a_new_job_of_the_name_says_which_node_holds_it_up() -> None:
    dead = o.training(metadata={"deletionTimestamp": o.stamp(100)})
    message = decide(o.snapshot(o.job(), predecessors=1, unanswering=(dead,))).message
    assert all(words in message for words in ("node node-1", "diamonds-1-algo-1", "--force"))
