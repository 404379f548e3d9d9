"""What was seen last: old news is ignored, what containers said last is kept, and the right jobs are woken."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import objects as o
from trainyard.api import names
from trainyard.controller.adapters.cache import Store
from trainyard.controller.app.state import State
from trainyard.controller.core.decision import Act
from trainyard.controller.core.job import Job, pack_job, parse_job
from trainyard.controller.core.policies import decide

KEY = (o.NAMESPACE, o.NAME)
POD_KEY = (o.NAMESPACE, f"{o.NAME}-1-algo-1")


def version(raw: dict[str, Any], number: int) -> dict[str, Any]:
    return raw | {"metadata": raw["metadata"] | {"resourceVersion": str(number)}}


def test_old_and_repeated_news_wake_nobody() -> None:
    state = State()
    assert state.seen("jobs", version(o.raw_job(), 5)) == {KEY}
    assert state.seen("jobs", version(o.raw_job(), 5)) == set()
    assert state.seen("jobs", version(o.raw_job(), 4)) == set()
    assert state.seen("jobs", version(o.raw_job(), 10)) == {KEY}


def test_a_pod_wakes_its_job() -> None:
    state = State()
    assert state.seen("pods", o.raw_pod()) == {KEY}
    assert [pod.host for pod in state.pods.group((o.NAMESPACE, o.UID))] == ["algo-1"]


def test_a_deleted_pod_is_remembered_while_its_job_is_there() -> None:
    state = State()
    state.seen("jobs", o.raw_job())
    state.seen("pods", version(o.raw_pod(), 7))
    assert state.seen("pods", version(o.raw_pod(), 8), deleted=True) == {KEY}
    assert [pod.gone for pod in state.pods.group((o.NAMESPACE, o.UID))] == [True]
    state.seen("jobs", version(o.raw_job(), 200), deleted=True)
    assert state.pods.group((o.NAMESPACE, o.UID)) == []


def test_a_pod_of_an_unknown_job_is_forgotten_when_it_goes() -> None:
    state = State()
    state.seen("pods", version(o.raw_pod(), 7))
    state.seen("pods", version(o.raw_pod(), 8), deleted=True)
    assert len(state.pods) == 0


def test_a_word_that_an_agent_has_taken_counts_like_an_annotation_while_its_pod_is_there() -> None:
    state = State()
    state.seen("pods", version(o.raw_pod(), 7))
    pod = state.pods.get(POD_KEY)
    assert pod is not None
    state.told(pod, "word")
    state.seen("pods", version(o.raw_pod(), 8))
    assert [entry.value.training_end for _, entry in state.pods] == ["word"]
    state.seen("pods", version(o.raw_pod(), 9), deleted=True)
    another = version(o.raw_pod(), 10)
    another["metadata"]["uid"] = "another"
    state.seen("pods", another)
    state.told(pod, "for one that has gone")
    assert [entry.value.training_end for _, entry in state.pods] == [None]


def test_a_job_is_new_until_it_has_pods() -> None:
    state = State()
    assert not state.is_new(KEY)
    state.seen("jobs", version(o.raw_job(), 5))
    assert state.is_new(KEY)
    state.seen("pods", o.raw_pod())
    assert not state.is_new(KEY)


def test_a_job_that_was_packed_is_as_it_was() -> None:
    status = {"trainingJobStatus": "Stopping", "secondaryStatus": "Stopping", "attempt": 3}
    raw = o.raw_job(status=status | {"hosts": [{"name": "algo-1", "pod": "p"}]}, trainingJobName="Another")
    ours = {
        names.ANNOTATION_DELETE_AFTER_TTL: "true",
        names.ANNOTATION_SHARDING: "bytes",
        names.ANNOTATION_MANIFEST_PATHS: "key",
    }
    raw["metadata"] |= {"annotations": ours, "managedFields": [{}]}
    odd = o.raw_job(status={"unknown": 10**30}, environment={"A": "\ud800"})
    for found in (
        raw,
        odd,
        o.raw_job(),
        o.raw_job(status={"hosts": 7}),
        {},
        {"metadata": 7, "spec": [], "status": "x"},
    ):
        packed, job = pack_job(found), parse_job(found)
        assert packed.unpack() == job
        for field in ("namespace", "name", "uid", "resource_version", "created", "training_job_name", "attempt"):
            assert getattr(packed, field) == getattr(job, field), field
        assert (packed.hosts, packed.terminal) == (len(job.status.hosts), job.terminal)
        assert packed.secondary_status == (job.status.secondary_status or "")


def test_an_instance_type_wakes_the_jobs_that_still_lack_pods() -> None:
    state = State()
    state.seen("jobs", o.raw_job())
    raw = {"metadata": {"name": "x", "resourceVersion": "1"}, "spec": {"capacity": {"cpu": "1", "memory": "1Gi"}}}
    assert state.seen("types", raw) == {KEY}
    state.seen("jobs", version(o.raw_job(status={"hosts": [{"name": "algo-1", "pod": "p"}]}), 300))
    assert state.seen("types", version(raw, 2)) == set()


def test_the_older_job_holds_the_name() -> None:
    state = State()
    older, younger = o.raw_job(trainingJobName="Same"), o.raw_job(trainingJobName="Same")
    younger["metadata"] = younger["metadata"] | {"name": "younger", "uid": "2", "creationTimestamp": o.stamp(60)}
    state.seen("jobs", older)
    state.seen("jobs", younger)
    first, second = state.job(KEY), state.job((o.NAMESPACE, "younger"))
    assert first is not None
    assert second is not None
    assert (state.name_holder(first), state.name_holder(second)) == (None, first)
    assert (o.NAMESPACE, "younger") in state.seen("jobs", version(older, 200), deleted=True)


def test_of_two_jobs_of_one_second_the_one_that_has_begun_holds_the_name() -> None:
    state = State()
    first, second = o.raw_job(trainingJobName="Same"), o.raw_job(trainingJobName="Same")
    second["metadata"] = second["metadata"] | {"name": "second", "uid": "0"}
    state.seen("jobs", first)
    state.seen("pods", o.raw_pod())
    state.seen("jobs", second)
    one, two = state.job(KEY), state.job((o.NAMESPACE, "second"))
    assert one is not None
    assert two is not None
    assert (state.name_holder(one), state.name_holder(two)) == (None, one)


def test_a_job_between_two_attempts_still_holds_its_name() -> None:
    state = State()
    first = o.raw_job(trainingJobName="Same", status={"attempt": 2})
    second = o.raw_job(trainingJobName="Same")
    second["metadata"] = second["metadata"] | {"name": "second", "uid": "0"}
    state.seen("jobs", first)
    state.seen("jobs", second)
    one = state.job(KEY)
    assert one is not None
    assert state.name_holder(one) is None


def pod_of_same(number: int, **more: Any) -> dict[str, Any]:
    raw = version(o.raw_pod(containers={"training": o.running(6), "hold": o.running(6)}, **more), number)
    raw["metadata"]["labels"] |= {names.LABEL_TRAINING_JOB_NAME: "Same"}
    return raw


def younger_of_same(state: State) -> Job:
    raw = o.raw_job(trainingJobName="Same")
    raw["metadata"] = raw["metadata"] | {"name": "younger", "uid": "2", "creationTimestamp": o.stamp(60)}
    state.seen("jobs", raw)
    job = state.job((o.NAMESPACE, "younger"))
    assert job is not None
    return job


def test_a_job_s_trainingJobName_is_not_free_before_its_pods_have_ended() -> None:  # noqa: N802 - the field's name
    state = State()
    state.seen("pods", pod_of_same(7))
    job = younger_of_same(state)
    assert [pod.name for pod in state.predecessors(job)] == [POD_KEY[1]], "its job was deleted before we began"
    state.seen("jobs", o.raw_job(trainingJobName="Same"))
    assert state.predecessors(job) == [], "its job has the name"
    assert state.seen("jobs", version(o.raw_job(), 200), deleted=True) == {KEY, (o.NAMESPACE, "younger")}
    assert len(state.predecessors(job)) == 1
    state.seen("pods", pod_of_same(8, status={"phase": "Failed"}))
    assert state.predecessors(job) == []
    assert state.seen("pods", pod_of_same(9), deleted=True) == {KEY, (o.NAMESPACE, "younger")}


def test_a_pod_without_the_label_has_the_trainingJobName_that_its_program_sees() -> None:  # noqa: N802
    state = State()
    seen = {"name": "training", "env": [{"name": "A"}, {"name": "TRAINING_JOB_NAME", "value": "Same"}]}
    state.seen("pods", version(o.raw_pod(spec={"containers": [seen]}), 7))
    assert len(state.predecessors(younger_of_same(state))) == 1
    copy = version(o.raw_pod(spec={"containers": [seen]}, metadata={"name": "copy", "uid": "copy"}), 8)
    state.seen("pods", copy)
    assert len(state.predecessors(younger_of_same(state))) == 1, "a copy is nobody's"


def test_poison_objects_are_taken_as_they_are() -> None:
    state = State()
    for raw in (None, 1, {}, {"metadata": None}, {"metadata": {"name": "x"}, "spec": [], "status": "?"}):
        for kind in ("jobs", "pods", "types", "roles"):
            state.seen(kind, raw)


def test_a_store_keeps_its_index_in_step() -> None:
    store = Store[str](len, lambda text: text[0])
    store.put(("n", "a"), "1", "1", "xx")
    store.put(("n", "a"), "1", "2", "yyy")
    store.put(("n", "b"), "2", "3", "zzz")
    assert (store.group(2), sorted(store.group(3))) == ([], ["yyy", "zzz"])
    store.drop(("n", "a"))
    assert (store.group(3), store.group("y"), store.group("z")) == (["zzz"], [], ["zzz"])


def test_a_pod_whose_deletion_was_missed_blocks_nothing_once_its_job_is_gone_too() -> None:
    state = State()
    state.seen("jobs", o.raw_job())
    state.seen("pods", o.raw_pod())
    assert state.gone("pods", POD_KEY, "pod-algo-1") == {KEY}
    assert [pod.gone for pod in state.pods.group((o.NAMESPACE, o.UID))] == [True]
    assert state.gone("jobs", KEY, o.UID) == {KEY}
    assert (len(state.pods), state.left_behind(KEY), state.unfinished()) == (0, [], set())


def test_a_pod_that_is_missed_after_its_job_has_gone_is_forgotten() -> None:
    state = State()
    state.seen("pods", o.raw_pod())
    assert state.gone("pods", POD_KEY, "pod-algo-1") == {KEY}
    assert (len(state.pods), state.left_behind(KEY)) == (0, [])


def test_a_job_whose_deletion_was_missed_wakes_who_waits_for_its_name() -> None:
    state = State()
    older, younger = o.raw_job(trainingJobName="Same"), o.raw_job(trainingJobName="Same")
    younger["metadata"] = younger["metadata"] | {"name": "younger", "uid": "2"}
    state.seen("jobs", older)
    state.seen("jobs", younger)
    assert state.gone("jobs", KEY, "another uid") == set()
    assert state.gone("jobs", KEY, o.UID) == {KEY, (o.NAMESPACE, "younger")}


def test_the_late_answer_to_a_write_does_not_bring_an_object_back() -> None:
    state = State()
    state.seen("jobs", o.raw_job())
    state.seen("pods", o.raw_pod())
    state.gone("pods", POD_KEY, "pod-algo-1")
    assert state.answered("pods", version(o.raw_pod(), 900)) == set()
    assert [pod.gone for pod in state.pods.group((o.NAMESPACE, o.UID))] == [True]
    state.gone("jobs", KEY, o.UID)
    assert state.answered("jobs", version(o.raw_job(), 900)) == set()
    assert (len(state.jobs), len(state.pods)) == (0, 0)


def test_a_copied_pod_is_nobody_s_host() -> None:
    state = State()
    job = parse_job(o.raw_job())
    state.seen("pods", o.raw_pod())
    elsewhere = o.raw_pod(metadata={"namespace": "other", "uid": "copy"})
    named = o.raw_pod(metadata={"name": "copy", "uid": "copy-2"})
    unowned = o.raw_pod("algo-2", metadata={"ownerReferences": []})
    assert state.seen("pods", elsewhere) == {("other", o.NAME)}
    assert state.seen("pods", named) == state.seen("pods", unowned) == set()
    assert {host: pod.uid for host, pod in state.pods_of(job).items()} == {"algo-1": "pod-algo-1"}


ALTERED = {"labels": {names.LABEL_JOB_UID: "x", names.LABEL_ATTEMPT: "7"}, "ownerReferences": []}


def altered(raw: dict[str, Any], number: int, **metadata: Any) -> dict[str, Any]:
    return version(raw | {"metadata": raw["metadata"] | (metadata or ALTERED)}, number)


def test_a_pod_whose_labels_and_owner_somebody_changes_stays_with_its_job_and_says_how_to_put_them_back() -> None:
    state, job = State(), o.job()
    state.seen("jobs", o.raw_job())
    state.seen("pods", version(o.raw_pod(), 7))
    assert state.seen("pods", altered(o.raw_pod(), 8)) == {KEY}
    (pod,) = state.pods_of(job).values()
    assert f"--overwrite {names.LABEL_MANAGED_BY}=trainyard" in pod.altered
    assert f"label {names.LABEL_JOB_UID} is x, not {o.UID}" in pod.altered
    assert f"its owner is not ConfigMap {o.NAME}-1-plan" in pod.altered
    assert (pod.plan, pod.plan_uid) == (f"{o.NAME}-1-plan", "plan-uid")
    assert state.seen("pods", altered(o.raw_pod(), 9), deleted=True) == {KEY}
    assert [pod.gone for pod in state.pods_of(job).values()] == [True]


def test_a_pod_that_is_put_right_says_nothing_any_more() -> None:
    state = State()
    state.seen("pods", version(o.raw_pod(), 7))
    state.seen("pods", altered(o.raw_pod(), 8))
    state.seen("pods", version(o.raw_pod(), 9))
    assert [pod.altered for pod in state.pods_of(o.job()).values()] == [""]


def test_a_pod_that_the_watch_has_lost_is_taken_back_and_a_stranger_of_its_name_is_not() -> None:
    state, job = State(), o.job()
    state.seen("jobs", o.raw_job())
    state.seen("pods", version(o.raw_pod(), 7))
    state.seen("pods", version(o.raw_pod(), 8), deleted=True)
    stranger = altered(o.raw_pod(), 9, labels={}, ownerReferences=[])
    another = altered(o.raw_pod(), 9, uid="another")
    assert not state.claim(job, "algo-1", stranger)
    assert not state.claim(job, "algo-1", another)
    assert state.claim(job, "algo-1", altered(o.raw_pod(), 9, labels={}))
    (pod,) = state.pods_of(job).values()
    assert (pod.gone, bool(pod.altered)) == (False, True)


def test_what_the_watch_tells_meanwhile_is_not_replaced_by_an_older_answer() -> None:
    state, job = State(), o.job()
    state.seen("pods", version(o.raw_pod(status={"phase": "Succeeded"}), 12))
    assert state.claim(job, "algo-1", version(o.raw_pod(), 9))
    assert [pod.phase for pod in state.pods_of(job).values()] == ["Succeeded"]


def second_attempts_pod() -> dict[str, Any]:
    raw = o.raw_pod(metadata={"name": f"{o.NAME}-2-algo-1"})
    raw["metadata"]["labels"] |= {names.LABEL_ATTEMPT: "2"}
    raw["metadata"]["ownerReferences"][0]["name"] = f"{o.NAME}-2-plan"
    return raw


@pytest.mark.parametrize("status", [{}, {"attempt": 1, "hosts": [{"name": "algo-1", "pod": f"{o.NAME}-1-algo-1"}]}])
def test_a_job_whose_status_was_lost_or_is_an_old_one_goes_on_with_the_attempt_that_runs(
    status: dict[str, Any],
) -> None:
    state = State()
    state.seen("jobs", o.raw_job(status=status))
    state.seen("pods", second_attempts_pod())
    job = state.job(KEY)
    assert job is not None
    assert (job.attempt, job.status.hosts, list(state.pods_of(job))) == (2, [], ["algo-1"])
    decision = decide(o.snapshot(job, list(state.pods_of(job).values())))
    assert decision.act is Act.WATCH


def test_the_pods_of_a_job_that_has_ended_do_not_change_what_it_says() -> None:
    state = State()
    state.seen("jobs", o.raw_job(status={"trainingJobStatus": "Completed", "attempt": 1}))
    state.seen("pods", second_attempts_pod())
    job = state.job(KEY)
    assert job is not None
    assert job.attempt == 1
