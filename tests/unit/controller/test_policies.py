"""What is done about a job: one row for each situation and what it asks for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.support import objects as o
from trainyard.api.reasons import Reason
from trainyard.api.report import Phase, Report, Result, StopReason
from trainyard.controller.core import evidence
from trainyard.controller.core.actions import actions
from trainyard.controller.core.activity import activity
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.observed import Container, Pod, as_gone
from trainyard.controller.core.policies import decide, missed
from trainyard.controller.core.references import Unresolved
from trainyard.controller.core.snapshot import Refusal, Snapshot
from trainyard.controller.core.status import reduce
from trainyard.controller.core.volumes import Claims

RECORDED = [{"name": "algo-1", "pod": "diamonds-1-algo-1"}]
DEAD = o.training(metadata={"deletionTimestamp": o.stamp(100)})
LIMITED = o.stopped(why=StopReason.MAX_RUNTIME_EXCEEDED)
CRASHING = o.pod(
    status={"phase": "Pending"},
    containers={
        "sidecar": o.waiting("CrashLoopBackOff", "back-off 20s restarting failed container")
        | {"restartCount": 2, "lastState": {"terminated": {"exitCode": 1, "message": "the plan cannot be read"}}}
    },
)
LIMIT_AHEAD = Report(host="algo-1", phase=Phase.TRAINING, stop_reason=StopReason.MAX_RUNTIME_EXCEEDED)
NO_HOLD = {"hold": o.waiting("ErrImagePull", "429 Too Many Requests")}
HOLD_WAITS = o.pod(containers=o.staged() | {"training": o.running(6)} | NO_HOLD)
HOLD_IS_LATE = o.pod(containers=o.staged() | {"training": o.ended(6, 60)} | NO_HOLD)


def of(*pods: Pod, now: float = 1000, more: dict[str, Any] | None = None, **job: Any) -> Snapshot:
    return o.snapshot(o.job(hosts=max(len(pods), 1), **job), list(pods), now=now, **(more or {}))


SITUATIONS: dict[str, tuple[Snapshot, Act, str | None]] = {
    "a new job gets its pods": (of(), Act.MAKE, Reason.STARTING),
    "a job that is being deleted is left alone": (
        o.snapshot(replace(o.job(), deleting=True)),
        Act.NOTHING,
        None,
    ),
    "a status that cannot be read is left alone": (
        of(status={"hosts": "poison"}),
        Act.NOTHING,
        Reason.STATUS_UNREADABLE,
    ),
    "a spec that cannot be read fails the job": (of(outputDataConfig=None), Act.FINISH, Reason.INVALID_SPEC),
    "an ended job is only cleaned up": (of(o.training(), status={"trainingJobStatus": "Failed"}), Act.CLEAN, None),
    "an unknown instance type is waited for": (
        of(more={"instance_type": None}),
        Act.REFUSE,
        Reason.INSTANCE_TYPE_NOT_FOUND,
    ),
    "an unknown role is waited for": (of(more={"roles": ()}), Act.REFUSE, Reason.EXECUTION_ROLE_NOT_FOUND),
    "an annotation that chooses what there is not is refused": (
        o.snapshot(replace(o.job(), annotations={"trainyard.dev/sharding": "size"})),
        Act.REFUSE,
        Reason.INVALID_SPEC,
    ),
    "two roles with one ARN are refused": (
        of(more={"roles": (o.role("a"), o.role("b"))}),
        Act.REFUSE,
        Reason.EXECUTION_ROLE_AMBIGUOUS,
    ),
    "a job without roleARN uses the role named default": (
        of(roleARN=None, more={"roles": (o.role("default", roleARN=None),)}),
        Act.MAKE,
        Reason.STARTING,
    ),
    "a training job name in use is waited for": (of(more={"name_holder": o.job()}), Act.WAIT, Reason.NAME_IN_USE),
    "an instance type too small is refused": (
        of(more={"instance_type": o.instance_type(capacity={"cpu": "1", "memory": "512Mi"})}),
        Act.REFUSE,
        Reason.INSTANCE_TYPE_INVALID,
    ),
    "refused pods are not asked for again at once": (
        of(more={"refusal": Refusal("exceeded quota", o.at(970))}),
        Act.WAIT,
        Reason.PODS_REFUSED,
    ),
    "refused pods are asked for again once what the job names was mended": (
        of(
            more={"refusal": Refusal("spec.tolerations", o.at(970), Unresolved(Reason.INSTANCE_TYPE_INVALID, "before"))}
        ),
        Act.MAKE,
        Reason.STARTING,
    ),
    "refused pods are asked for again after a minute": (
        of(more={"refusal": Refusal("exceeded quota", o.at(930))}),
        Act.MAKE,
        Reason.STARTING,
    ),
    "a half-made gang is completed": (o.snapshot(o.job(hosts=2), [o.starting()]), Act.MAKE, Reason.STARTING),
    "pods at work are watched": (of(o.training()), Act.WATCH, None),
    "references that vanish later do not matter": (
        of(o.training(), more={"roles": (), "instance_type": None}),
        Act.WATCH,
        None,
    ),
    "a recorded pod that is gone is a loss, not a create": (
        of(status={"hosts": RECORDED}),
        Act.FINISH,
        Reason.POD_LOST,
    ),
    "a lost host ends the others first": (
        of(as_gone(o.training()), o.training("algo-2")),
        Act.ABORT,
        Reason.POD_LOST,
    ),
    "a stop before pods needs none": (of(stop=True), Act.FINISH, Reason.STOPPED),
    "a stop orders every host": (of(o.training(), stop=True), Act.STOP, Reason.STOPPING),
    "a stop outranks a failure": (of(o.uploading(code=1), o.training("algo-2"), stop=True), Act.STOP, Reason.STOPPING),
    "a stop is over when the pods are": (of(o.stopped(), stop=True), Act.FINISH, Reason.STOPPED),
    "a stop that deleted its pending pods is over when they are gone": (
        of(as_gone(o.unscheduled()), stop=True),
        Act.FINISH,
        Reason.STOPPED,
    ),
    "a failing host ends the others": (
        of(o.training(), o.uploading("algo-2", code=4)),
        Act.ABORT,
        Reason.ALGORITHM_ERROR,
    ),
    "a failing job is over when all hosts are": (
        of(o.over(code=143, message=o.report(stop_reason=StopReason.HOST_FAILED)), o.over("algo-2", code=4)),
        Act.FINISH,
        Reason.ALGORITHM_ERROR,
    ),
    "a failing host does not wait for one that will never start": (
        of(o.pulling(reason="ImagePullBackOff"), o.stage_failed("algo-2", message="ClientError: no", reason="NoData")),
        Act.FINISH,
        Reason.NO_DATA,
    ),
    "a bad image name fails at once": (of(o.pulling(reason="InvalidImageName")), Act.FINISH, Reason.IMAGE_NOT_PULLED),
    "an image that stays away is waited for": (of(o.pulling(reason="ImagePullBackOff")), Act.WATCH, None),
    "an image that stays away fails the job after its time": (
        of(o.pulling(reason="ErrImagePull"), more={"blocked_since": {("pod-algo-1", "prefetch"): o.at(399)}}),
        Act.FINISH,
        Reason.IMAGE_NOT_PULLED,
    ),
    "all hosts over and committed is completed": (of(o.over()), Act.FINISH, Reason.COMPLETED),
    "a killed sidecar in a running pod is not the end": (
        of(
            o.pod(
                containers=o.staged()
                | {"training": o.ended(6, 60), "hold": o.running(6), "sidecar": o.ended(2, 61, 137)}
            )
        ),
        Act.WATCH,
        None,
    ),
    "a host whose node does not answer is lost": (of(DEAD, now=160), Act.FINISH, Reason.POD_LOST),
    "a host that is being deleted has its grace": (of(DEAD, now=159), Act.WATCH, None),
    "a host whose node does not answer ends the others": (
        of(DEAD, o.training("algo-2"), now=160),
        Act.ABORT,
        Reason.POD_LOST,
    ),
    "a stop does not wait for a node that does not answer": (
        of(DEAD, now=160, stop=True),
        Act.FINISH,
        Reason.STOPPED,
    ),
    "the time limit of one host stops those that have not started": (
        of(LIMITED, o.pulling("algo-2")),
        Act.STOP,
        Reason.MAX_RUNTIME_EXCEEDED,
    ),
    "the time limit of one host ends the making of others": (
        o.snapshot(o.job(hosts=2), [LIMITED]),
        Act.FINISH,
        Reason.MAX_RUNTIME_EXCEEDED,
    ),
    "a job at its time limit is over when what never started is deleted": (
        of(LIMITED, as_gone(o.pulling("algo-2"))),
        Act.FINISH,
        Reason.MAX_RUNTIME_EXCEEDED,
    ),
    "a host that trained and vanished at the time limit is lost": (
        of(LIMITED, as_gone(o.training("algo-2"))),
        Act.FINISH,
        Reason.POD_LOST,
    ),
    "an agent that only begins to refuse its probe has not reached the limit yet": (
        of(o.training(), more={"reports": {"pod-algo-1": LIMIT_AHEAD}}),
        Act.WATCH,
        None,
    ),
    "an agent whose training never came has": (
        of(o.pulling(), more={"reports": {"pod-algo-1": LIMIT_AHEAD.but(phase=Phase.STARTING)}}),
        Act.STOP,
        Reason.MAX_RUNTIME_EXCEEDED,
    ),
    "an agent that cannot start is waited for": (of(CRASHING), Act.WATCH, None),
    "an agent that cannot start fails the job after its time": (
        of(CRASHING, more={"blocked_since": {("pod-algo-1", "sidecar"): o.at(399)}}),
        Act.FINISH,
        Reason.INTERNAL_ERROR,
    ),
    "a host that trains without its agent is waited for when another one fails": (
        of(o.without_sidecar(), o.over("algo-2", code=4)),
        Act.ABORT,
        Reason.ALGORITHM_ERROR,
    ),
    "a job that trains does not fail because hold cannot be pulled": (
        of(HOLD_WAITS, more={"blocked_since": {("pod-algo-1", "hold"): o.at(0)}}),
        Act.WATCH,
        None,
    ),
    "a job that has trained does": (
        of(HOLD_IS_LATE, more={"blocked_since": {("pod-algo-1", "hold"): o.at(0)}}),
        Act.FINISH,
        Reason.INTERNAL_ERROR,
    ),
    "the wait for one container is not that for another": (
        of(o.pulling(reason="ErrImagePull"), more={"blocked_since": {("pod-algo-1", "sidecar"): o.at(0)}}),
        Act.WATCH,
        None,
    ),
    "a committed manifest found while staging is completed": (
        of(o.stage_failed(result=Result.ALREADY_COMMITTED, message="committed before")),
        Act.FINISH,
        Reason.COMPLETED,
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_situation_has_its_answer(situation: str) -> None:
    snapshot, act, reason = SITUATIONS[situation]
    decision = decide(snapshot)
    assert (decision.act, decision.reason) == (act, reason), decision


NO_TYPE, NO_ROLE, NEITHER = {"instance_type": None}, {"roles": ()}, {"instance_type": None, "roles": ()}
NO_CLAIM = {"claims": Claims(problem="no right to read claims")}
SUSPENDED, HELD = {"job": o.job(suspend=True)}, {"name_holder": o.job()}
VOLUME = {
    "inputDataConfig": [
        {
            "channelName": "train",
            "dataSource": {
                "fileSystemDataSource": {
                    "fileSystemID": "fs-0123456789abcdef0",
                    "fileSystemAccessMode": "ro",
                    "fileSystemType": "EFS",
                    "directoryPath": "/d",
                }
            },
        }
    ],
    "vpcConfig": {"securityGroupIDs": ["sg-1"], "subnets": ["subnet-1"]},
}


@pytest.mark.parametrize(
    ("looks", "act"),
    [
        ([(1, NO_TYPE), (15, NO_TYPE)], Act.REFUSE),
        ([(1, NO_TYPE), (16, NO_TYPE)], Act.FINISH),
        ([(1, NO_TYPE), (16, NO_TYPE), (17, NO_TYPE)], Act.FINISH),  # the first write of it may have failed
        ([(1, NEITHER), (14, NO_ROLE), (16, NO_ROLE)], Act.REFUSE),
        ([(1, NEITHER), (14, NO_ROLE), (29, NO_ROLE)], Act.FINISH),
        ([(1, NO_ROLE), (9, {}), (17, NO_ROLE)], Act.REFUSE),
        ([(1, NO_ROLE), (14, NO_ROLE | {"roles": (o.role("other", roleARN=None),)}), (16, NO_ROLE)], Act.REFUSE),
        ([(5, NO_ROLE | SUSPENDED), (3600, NO_ROLE)], Act.REFUSE),
        ([(5, HELD), (3600, NO_TYPE)], Act.REFUSE),
        ([(5, NO_CLAIM | {"job": o.job(**VOLUME)}), (3600, NO_TYPE)], Act.REFUSE),
    ],
)
def test_a_reference_is_waited_for_since_that_alone_has_been_missing(
    looks: list[tuple[int, dict[str, Any]]], act: Act
) -> None:
    job, known = o.job(), None
    for now, more in looks:
        kept = {"status": job.status, "raw_status": job.raw_status}
        snapshot = o.snapshot(
            replace(more.get("job", o.job()), **kept), [], now=now, missed=known, **_without_job(more)
        )
        decision = decide(snapshot)
        known, status = missed(snapshot, decision), reduce(snapshot, decision)
        if decision.act is not Act.FINISH:
            job = replace(job, status=status, raw_status=status.to_dict())
    assert decision.act is act, decision.message


def _without_job(more: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in more.items() if name != "job"}


def test_waiting_for_a_reference_wakes_by_itself() -> None:
    first = of(more=NO_ROLE, now=0)
    assert decide(first).requeue_after == 15
    assert decide(of(more=NO_ROLE | {"missed": missed(first, decide(first))}, now=5)).requeue_after == 10


def test_waiting_for_an_image_wakes_by_itself() -> None:
    decision = decide(
        of(o.pulling(reason="ErrImagePull"), more={"blocked_since": {("pod-algo-1", "prefetch"): o.at(500)}})
    )
    assert decision.requeue_after == 100


def test_a_pod_that_starts_nothing_on_its_node_says_so_after_a_while_and_once() -> None:
    early = of(o.starting(), now=601 - 100)
    assert decide(early).requeue_after == 100
    assert "Preparing" in told(early)
    late, later = of(o.starting(), o.training("algo-2"), now=601), of(o.starting(), o.training("algo-2"), now=10**6)
    assert decide(late) == decide(later) == Decision(Act.WATCH)
    assert told(late) == told(later)
    assert f"kubectl describe pod {o.NAME}-1-algo-1 -n {o.NAMESPACE}" in told(late)
    assert activity(late, decide(late)).reason == Reason.POD_NOT_STARTING


@pytest.mark.parametrize("pod", [o.pulling(), o.training(), o.over(), o.unscheduled(), as_gone(o.starting())])
def test_a_pod_that_has_started_or_has_no_node_is_not_said_to_start_nothing(pod: Pod) -> None:
    assert evidence.begun_nothing_since(pod) is None


def told(snapshot: Snapshot) -> str:
    return activity(snapshot, decide(snapshot)).message


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"instance_type": None, "instance_types": ("ml.a", "ml.b")}, ["ml.m5.xlarge", "ml.a, ml.b"]),
        ({"instance_type": None, "instance_types": ()}, ["ml.m5.xlarge", "the cluster has none"]),
        ({"roles": (o.role("other", roleARN=None),)}, [o.ARN, "other (without roleARN)"]),
        ({"roles": (o.role("a"), o.role("b"))}, [o.ARN, "a, b", "keep it on one"]),
    ],
)
def test_what_is_missing_is_named_with_what_there_is(more: dict[str, Any], words: list[str]) -> None:
    message = decide(of(more=more)).message
    assert all(word in message for word in words), message


def test_a_host_that_is_being_deleted_is_looked_at_when_its_grace_is_over() -> None:
    assert decide(of(DEAD, now=130)).requeue_after == 30
    assert decide(of(DEAD, now=130, stop=True)).requeue_after == 30


def test_a_sidecar_that_always_ends_is_blocked_with_its_last_words_also_while_it_runs() -> None:
    found = evidence.blocked(CRASHING)
    assert found is not None
    assert (found.of_agent, found.message) == (True, "the plan cannot be read")
    again = o.pod(containers={"sidecar": o.running(50) | {"restartCount": 3}})
    staged = o.pod(containers=o.staged() | {"sidecar": o.running(50) | {"restartCount": 3}})
    trains = o.pod(containers=o.staged() | {"sidecar": o.waiting("CrashLoopBackOff"), "hold": o.running(6)})
    assert [evidence.blocked(pod) is not None for pod in (again, staged, trains)] == [True, False, False]


def test_a_look_at_a_job_costs_as_much_as_it_has_hosts_and_not_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Counter[int]()
    real = Pod.container
    hosts = 0

    def counted(pod: Pod, name: str) -> Container:
        asked[hosts] += 1
        return real(pod, name)

    monkeypatch.setattr(Pod, "container", counted)
    for hosts in (8, 64):
        snapshot = o.snapshot(o.job(hosts=hosts), [o.training(f"algo-{rank + 1}") for rank in range(hosts)])
        decision = decide(snapshot)
        actions(snapshot, decision)
        reduce(snapshot, decision)
    assert asked[64] <= asked[8] * 9


@pytest.mark.parametrize("stop", [True, False])
def test_a_result_that_was_stopped_stays_a_stopped_one_when_a_later_pod_finds_it(stop: bool) -> None:
    found = o.stage_failed(result=Result.ALREADY_COMMITTED, stop_reason=StopReason.USER_REQUESTED)
    snapshot = o.snapshot(o.job(stop=stop), [found])
    ending = decide(snapshot).verdict
    assert ending is not None
    assert (ending.status, ending.secondary, ending.committed) == ("Stopped", "Stopped", True)
