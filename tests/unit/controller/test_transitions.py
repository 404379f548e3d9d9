"""A job's life as it is told: contiguous, in time, the same whether each step was watched or only the end was seen."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import objects as o
from trainyard.api.report import Phase, StopReason
from trainyard.api.status import JobStatus
from trainyard.controller.core.job import Job
from trainyard.controller.core.observed import Pod, as_gone, parse_report
from trainyard.controller.core.policies import decide
from trainyard.controller.core.snapshot import Snapshot
from trainyard.controller.core.status import reduce

LIFE = (o.unscheduled, o.starting, o.pulling, o.staging, o.training, o.uploading, o.over)


def step(snapshot: Snapshot) -> JobStatus:
    return reduce(snapshot, decide(snapshot))


def after(job: Job, status: JobStatus) -> Job:
    """The job as the apiserver would show it after the status was written."""
    return replace(job, status=JobStatus.model_validate(status.to_dict()), raw_status=status.to_dict())


def live(job: Job, looks: list[list[Pod]], first: float = 0) -> JobStatus:
    """The status after looking at the pods at each moment in turn, ten seconds apart."""
    for number, pods in enumerate(looks):
        job = after(job, step(o.snapshot(job, pods, now=first + 10 * number)))
    return job.status


def path(status: JobStatus) -> list[str]:
    return [entry.status for entry in status.secondary_status_transitions]


def assert_well_formed(status: JobStatus) -> None:
    transitions = status.secondary_status_transitions
    assert transitions
    for this, following in itertools.pairwise(transitions):
        assert this.end_time == following.start_time
        assert this.start_time <= following.start_time
        assert this.status != following.status
    assert all(entry.status_message for entry in transitions)
    assert transitions[-1].status == status.secondary_status
    ended = status.training_job_status in ("Completed", "Failed", "Stopped")
    assert transitions[-1].end_time == (transitions[-1].start_time if ended else None)


def test_a_watched_life_goes_the_normal_way() -> None:
    status = live(o.job(), [[make()] for make in LIFE[1:]])
    assert path(status) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert_well_formed(status)


def test_a_life_seen_only_at_its_end_reads_the_same() -> None:
    watched = live(o.job(), [[make()] for make in LIFE[1:]])
    missed = live(o.job(), [[o.starting()], [o.over()]])
    times = [(entry.status, entry.start_time) for entry in watched.secondary_status_transitions]
    assert [(entry.status, entry.start_time) for entry in missed.secondary_status_transitions] == times
    assert missed.training_time_in_seconds == watched.training_time_in_seconds == 68


def test_times_are_the_pods_not_ours() -> None:
    status = live(o.job(), [[o.starting()], [o.over()]], first=5000)
    assert [entry.start_time for entry in status.secondary_status_transitions] == [
        o.at(0),
        o.at(2),
        o.at(6),
        o.at(60),
        o.at(70),
    ]
    assert (status.training_start_time, status.training_end_time) == (o.at(2), o.at(70))


def test_a_queue_comes_before_starting_and_may_come_back() -> None:
    status = live(o.job(), [[o.starting()], [o.unscheduled()], [o.starting()], [o.staging()]])
    assert path(status) == ["Starting", "Pending", "Starting", "Downloading"]
    assert_well_formed(status)


def test_a_failure_before_training_goes_straight_to_failed() -> None:
    status = live(o.job(), [[o.starting()], [o.stage_failed(message="ClientError: no", reason="NoData")]])
    assert path(status) == ["Starting", "Downloading", "Failed"]


def test_a_stop_uploads_while_stopping() -> None:
    job = after(o.job(), live(o.job(), [[o.starting()], [o.training()]]))
    stopping = replace(job, spec=o.job(stop=True).spec)
    status = live(stopping, [[o.training()], [o.uploading(code=143)], [o.stopped()]], first=50)
    assert path(status) == ["Starting", "Downloading", "Training", "Stopping", "Stopped"]
    assert status.training_job_status == "Stopped"
    assert_well_formed(status)


def test_the_runtime_limit_shows_stopping_and_its_own_end() -> None:
    near = o.job(stoppingCondition={"maxRuntimeInSeconds": 60})
    told = o.report(phase=Phase.UPLOADING, result=None, stop_reason=StopReason.MAX_RUNTIME_EXCEEDED)
    job = after(near, live(near, [[o.starting()], [o.training()], [o.uploading()]]))
    assert path(job.status) == ["Starting", "Downloading", "Training"], "nobody knows yet what ended it"
    staging = parse_report(o.report(phase=Phase.WAITING, result=None))
    assert staging is not None
    job = after(job, step(o.snapshot(job, [o.uploading()], now=60, reports={"pod-algo-1": staging})))
    assert path(job.status) == ["Starting", "Downloading", "Training"], "it said so before, and cannot have known"
    report = parse_report(told)
    assert report is not None
    job = after(job, step(o.snapshot(job, [o.uploading()], now=61, reports={"pod-algo-1": report})))
    assert (path(job.status)[-1], job.status.training_job_status) == ("Stopping", "Stopping")
    status = step(o.snapshot(job, [o.stopped(why=StopReason.MAX_RUNTIME_EXCEEDED)], now=80))
    assert path(status)[-3:] == ["Training", "Stopping", "MaxRuntimeExceeded"]
    assert_well_formed(status)


def test_a_host_that_lags_keeps_the_job_where_it_is() -> None:
    status = live(o.job(hosts=2), [[o.training(), o.staging("algo-2")]])
    assert status.secondary_status == "Downloading"


def test_a_terminal_state_never_changes() -> None:
    done = after(o.job(), live(o.job(), [[o.over()]]))
    for pods in ([], [o.training()], [o.over(code=1)], [as_gone(o.over())]):
        assert step(o.snapshot(done, pods)) == done.status
    stopped_late = replace(done, generation=2, spec=o.job(stop=True).spec)
    late = step(o.snapshot(stopped_late, []))
    assert late.observed_generation == 2
    assert late.model_copy(update={"observed_generation": 1, "conditions": done.status.conditions}) == done.status


MAKERS = st.sampled_from(
    [
        *LIFE,
        lambda host: o.uploading(host, code=1),
        lambda host: o.over(host, code=1),
        lambda host: o.over(host, message=""),
        o.stopped,
        lambda host: o.stopped(host, why=StopReason.MAX_RUNTIME_EXCEEDED),
        lambda host: o.pulling(host, "ImagePullBackOff"),
        lambda host: as_gone(o.training(host)),
        lambda host: o.stopped(host, why=StopReason.SUSPENDED),
        lambda host: o.stopped(host, why=StopReason.INTERRUPTED),
        lambda host: o.training(host, status={"startTime": o.stamp(900)}),
        lambda host: o.uploading(host, until=7),
    ]
)


SPECS: dict[str, dict[str, object]] = {
    "plain": {},
    "retried": {"retryStrategy": {"maximumRetryAttempts": 2}},
    "spot": {
        "enableManagedSpotTraining": True,
        "stoppingCondition": {"maxRuntimeInSeconds": 40, "maxWaitTimeInSeconds": 60},
    },
}
ORDERS = st.sampled_from(["", "", "stop", "suspend", "resume"])


@given(
    looks=st.lists(st.tuples(st.none() | st.tuples(MAKERS, MAKERS), ORDERS), min_size=1, max_size=8),
    skew=st.integers(-3000, 3000),
    kind=st.sampled_from(sorted(SPECS)),
)
@settings(max_examples=300, deadline=None)
def test_any_history_of_pods_gives_a_well_formed_life_that_ends_once(
    looks: list[tuple[tuple[object, object] | None, str]], skew: int, kind: str
) -> None:
    spec = dict(SPECS[kind])
    job, ending = o.job(hosts=2, **spec), None
    for number, (makers, order) in enumerate(looks):
        if order:
            spec |= {"stop": True} if order == "stop" else {"suspend": order == "suspend"}
            job = replace(job, spec=o.job(hosts=2, **spec).spec, generation=number + 2)
        # A new attempt has no pods at first; a later look may find them, as a fresh gang.
        pods = [maker(f"algo-{rank}") for rank, maker in enumerate(makers, 1)] if makers else []
        before = job.status
        job = after(job, step(o.snapshot(job, pods, now=skew + 10 * number)))
        assert_well_formed(job.status)
        kept = [(entry.status, entry.start_time) for entry in before.secondary_status_transitions]
        assert [(entry.status, entry.start_time) for entry in job.status.secondary_status_transitions][
            : len(kept)
        ] == kept
        if ending is not None:
            assert (job.status.training_job_status, job.status.secondary_status) == ending
        if job.terminal:
            ending = (job.status.training_job_status, job.status.secondary_status)


@given(st.tuples(MAKERS, MAKERS))
@settings(max_examples=100, deadline=None)
def test_the_same_state_is_never_written_twice(makers: tuple[object, object]) -> None:
    pods = [makers[0]("algo-1"), makers[1]("algo-2")]
    job = o.job(hosts=2)
    for _ in range(3):
        job = after(job, step(o.snapshot(job, pods, now=1000)))
        if job.attempt > 1:
            # Those pods are the earlier attempt's: this one, of a job that may not begin yet, has none.
            pods = []
            job = replace(job, spec=o.job(hosts=2, suspend=True).spec)
    again = step(o.snapshot(job, pods, now=2000))
    assert again.to_dict() == job.raw_status
