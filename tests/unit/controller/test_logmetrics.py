"""Metrics in a job's status: values, how far logs were read, and what is said of definitions that give none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import objects as o
from tests.unit.controller.test_conditions import message, reason, true
from tests.unit.controller.test_transitions import after, live, step
from trainyard.api.status import JobStatus, MetricData
from trainyard.controller.app.logscan import STATUS_SECONDS
from trainyard.controller.app.reconcile import STEP_SECONDS, WORDING_SECONDS, _interval
from trainyard.controller.core.announce import announcements
from trainyard.controller.core.conditions import TYPES
from trainyard.controller.core.job import Job
from trainyard.controller.core.loglines import Sample, moment
from trainyard.controller.core.logmetrics import logs_to_read, read_before
from trainyard.controller.core.observed import as_gone
from trainyard.controller.core.reading import Reading, as_data, cut_off, gap, later, merged

SECOND = 10**9
NAMES = ("loss", "acc")


def defining(*regexes: str, **more: Any) -> Job:
    definitions = [{"name": NAMES[number], "regex": regex} for number, regex in enumerate(regexes)]
    algorithm = {"trainingImage": o.IMAGE, "metricDefinitions": definitions}
    return o.job(algorithmSpecification=algorithm, **more)


JOB = defining(r"loss=(\S+)", r"acc=(\S+)")


def data(name: str, value: float, second: float) -> MetricData:
    return MetricData(metric_name=name, value=value, timestamp=o.at(second))


def reading(*found: MetricData, **more: Any) -> Reading:
    return Reading(tuple(found), {f"{o.NAME}-1-algo-1": o.at(50)}, **more)


# -- values


def test_values_are_in_the_status_in_the_order_of_their_definitions() -> None:
    status = step(o.snapshot(JOB, [o.training()], reading=reading(data("acc", 0.9, 40), data("loss", 0.5, 41))))
    assert status.to_dict()["finalMetricDataList"] == [
        {"metricName": "loss", "value": 0.5, "timestamp": o.stamp(41)},
        {"metricName": "acc", "value": 0.9, "timestamp": o.stamp(40)},
    ]


def test_what_was_recorded_stays_until_a_newer_line_replaces_it() -> None:
    job = after(
        JOB, step(o.snapshot(JOB, [o.training()], reading=reading(data("loss", 0.5, 41), data("acc", 0.9, 41))))
    )
    for found in (None, Reading(), reading(data("loss", 0.7, 40))):
        assert step(o.snapshot(job, [o.training()], reading=found)).final_metric_data_list == (
            job.status.final_metric_data_list
        )
    status = step(o.snapshot(job, [o.training()], reading=reading(data("loss", 0.1, 42))))
    assert [(found.metric_name, found.value) for found in status.final_metric_data_list] == [
        ("loss", 0.1),
        ("acc", 0.9),
    ]


def test_the_last_status_has_the_values_and_never_changes() -> None:
    job = after(JOB, step(o.snapshot(JOB, [o.over()], reading=reading(data("loss", 0.5, 59), final=True))))
    assert job.status.training_job_status == "Completed"
    assert job.status.final_metric_data_list == [data("loss", 0.5, 59)]
    assert step(o.snapshot(job, [o.over()], reading=reading(data("loss", 0.1, 60)))) is job.status


samples = st.builds(
    Sample, st.sampled_from([1.0, 2.0, 3.0]), st.integers(0, 5).map(lambda n: n * SECOND), st.integers(0, 2)
)


@given(st.lists(samples, min_size=1, max_size=8), st.data())
def test_the_order_in_which_hosts_are_read_changes_nothing(found: list[Sample], pick: st.DataObject) -> None:
    by_place = {sample.order: sample for sample in found}  # one line for each host and time

    def last(of: list[Sample]) -> Sample | None:
        known: Sample | None = None
        for sample in of:
            known = later(known, sample)
        return known

    shuffled = pick.draw(st.permutations(list(by_place.values())))
    assert last(shuffled) == last(list(by_place.values())) == by_place[max(by_place)]


@given(st.lists(st.integers(1, 50), min_size=1, unique=True), st.integers(0, 50))
def test_an_operator_that_starts_anew_in_the_middle_ends_with_the_same_values(times: list[int], cut: int) -> None:
    """It has the status of the moment of `cut`, and reads each log again from the second in which it stood."""
    lines = [{"m": Sample(float(at), at * SECOND + at, 0)} for at in sorted(times)]

    def values(of: list[dict[str, Sample]]) -> tuple[MetricData, ...]:
        known: dict[str, Sample] = {}
        for line in of:
            known = {name: later(known.get(name), sample) for name, sample in line.items()}
        return as_data(known)

    whole = merged([], values(lines), ["m"])
    recorded = merged([], values(lines[:cut]), ["m"])
    again = [
        line for line in lines if not recorded or moment(line["m"].at) >= recorded[0].timestamp.replace(microsecond=0)
    ]
    assert merged(recorded, values(again), ["m"]) == whole


# -- how far logs were read


def test_how_far_a_log_was_read_moves_with_values_and_never_alone() -> None:
    job = after(JOB, step(o.snapshot(JOB, [o.training()])))
    read = Reading((), {f"{o.NAME}-1-algo-1": o.at(50)})
    assert step(o.snapshot(job, [o.training()], reading=read)) is job.status
    job = after(JOB, step(o.snapshot(job, [o.training()], reading=reading(data("loss", 0.5, 41)))))
    assert job.status.hosts[0].last_log_time == o.at(50)
    later_on = Reading((data("loss", 0.5, 41),), {f"{o.NAME}-1-algo-1": o.at(90)})
    assert step(o.snapshot(job, [o.training()], reading=later_on)) is job.status


def test_reading_goes_on_where_the_status_says_in_the_same_pod_and_no_other() -> None:
    job = after(JOB, step(o.snapshot(JOB, [o.training()], reading=reading(data("loss", 0.5, 41)))))
    snapshot = o.snapshot(job, [o.training()])
    assert read_before(snapshot, o.training()) == round(o.at(50).timestamp()) * SECOND
    assert read_before(snapshot, replace(o.training(), name=f"{o.NAME}-2-algo-1")) is None
    assert read_before(o.snapshot(JOB, [o.training()]), o.training()) is None


@pytest.mark.parametrize(
    ("known", "first", "expected"),
    [
        (None, 5, ""),  # read from its start: nobody knows what was there
        (None, None, ""),
        (5, 5, ""),
        (5, 4, ""),
        (5, 7, "between 1970-01-01T00:00:05Z and 1970-01-01T00:00:07Z"),
        (5, None, "between 1970-01-01T00:00:05Z and the end"),
    ],
)
def test_only_a_line_that_was_there_and_is_not_proves_that_others_may_be_missing(
    known: int | None, first: int | None, expected: str
) -> None:
    text = gap("algo-2", known and known * SECOND, first and first * SECOND)
    assert text == (f"algo-2: {expected}" if expected else "")


def test_a_line_is_known_again_to_the_microsecond() -> None:
    assert gap("algo-1", 5_000, 5_999) == ""
    assert gap("algo-1", 5_999, 6_000) != ""


# -- which logs


def test_the_logs_of_all_hosts_that_have_begun_training_are_read() -> None:
    job = defining(r"(\d)", hosts=3)
    pods = [o.staging(), o.training("algo-2"), o.uploading("algo-3")]
    assert [pod.host for pod in logs_to_read(o.snapshot(job, pods))] == ["algo-2", "algo-3"]


@pytest.mark.parametrize(
    "snapshot",
    [
        o.snapshot(o.job(), [o.training()]),
        o.snapshot(defining(r"(?=no)(x)"), [o.training()]),
        o.snapshot(JOB, [o.training()], options=replace(o.OPTIONS, metrics_from_logs=False)),
        o.snapshot(replace(JOB, deleting=True), [o.training()]),
        o.snapshot(replace(JOB, status=JobStatus(training_job_status="Completed")), [o.over()]),
        o.snapshot(JOB, [as_gone(o.training())]),
    ],
    ids=["no definitions", "none that can be used", "switched off", "being deleted", "over", "its pod is gone"],
)
def test_no_log_is_read_for_nothing(snapshot: Any) -> None:
    assert logs_to_read(snapshot) == ()


# -- conditions


def test_a_job_without_definitions_has_no_condition_about_them() -> None:
    status = live(o.job(), [[o.training()]])
    assert [condition.type for condition in status.conditions] == list(TYPES)


def test_a_job_whose_definitions_are_read_says_so() -> None:
    status = live(JOB, [[o.training()]])
    assert ("MetricsRead" in true(status), reason(status, "MetricsRead")) == (True, "MetricsRead")
    assert "LogLinesLost" not in [condition.type for condition in status.conditions]


def test_a_regex_that_cannot_be_used_is_named_and_the_job_goes_on() -> None:
    job = defining(r"(?<=loss=)(\d+)", r"acc=\d+")
    status = live(job, [[o.training()]])
    assert (reason(status, "MetricsRead"), status.secondary_status) == ("MetricRegexInvalid", "Training")
    told = message(status, "MetricsRead")
    assert all(word in told for word in ("metric loss:", "look-around", "metric acc:", "no group"))
    assert [(said.kind, said.reason) for said in announcements(job, status) if said.message == told] == [
        ("Warning", "MetricRegexInvalid")
    ]
    assert [said for said in announcements(after(job, status), status) if said.message == told] == []
    assert live(job, [[o.training()], [o.over()]]).training_job_status == "Completed"


def test_a_job_whose_definitions_are_not_read_says_where_to_switch_it_on() -> None:
    options = replace(o.OPTIONS, metrics_from_logs=False)
    status = step(o.snapshot(JOB, [o.training()], options=options))
    assert reason(status, "MetricsRead") == "MetricsSwitchedOff"
    assert "metricsFromLogs.enabled" in message(status, "MetricsRead")


def test_a_metric_that_is_never_a_number_is_named() -> None:
    status = step(o.snapshot(JOB, [o.training()], reading=reading(data("loss", 1, 1), numberless=("acc", "loss"))))
    assert reason(status, "MetricsRead") == "MetricNotANumber"
    assert "metric acc:" in message(status, "MetricsRead")
    assert "metric loss:" not in message(status, "MetricsRead")


def test_logs_that_were_not_read_are_named_but_not_all_of_a_thousand() -> None:
    unread = tuple(f"algo-{number}: forbidden" for number in range(1, 1001))
    status = step(o.snapshot(JOB, [o.training()], reading=reading(unread=unread)))
    told = message(status, "MetricsRead")
    assert (reason(status, "MetricsRead"), "algo-1: forbidden" in told) == ("LogsNotRead", True)
    assert told.endswith("and 992 more")


def test_lines_that_may_be_lost_are_told_once_and_for_all() -> None:
    first, second = cut_off("algo-1", None), gap("algo-2", 5 * SECOND, 7 * SECOND)
    job = after(JOB, step(o.snapshot(JOB, [o.training()], reading=reading(gaps=(first,)))))
    told = message(job.status, "LogLinesLost")
    assert (reason(job.status, "LogLinesLost"), first in told) == ("LogGone", True)
    # Another operator, which knows nothing of it.
    assert message(step(o.snapshot(job, [o.training()])), "LogLinesLost") == told
    again = step(o.snapshot(job, [o.training()], reading=reading(gaps=(first, second))))
    assert message(again, "LogLinesLost") == f"{told}; {second}"


def test_a_log_that_is_rotated_all_the_time_does_not_fill_the_status() -> None:
    job = JOB
    for number in range(100):
        found = gap("algo-1", number * SECOND + 1, (number + 1) * SECOND)
        job = after(job, step(o.snapshot(job, [o.training()], reading=reading(gaps=(found,)))))
    told = message(job.status, "LogLinesLost")
    assert len(told) < 2048
    assert told.endswith("and more")


# -- writes


def test_values_alone_are_written_once_a_minute_and_the_last_ones_at_once() -> None:
    job = after(JOB, step(o.snapshot(JOB, [o.training()], reading=reading(data("loss", 0.5, 41)))))
    status = step(o.snapshot(job, [o.training()], now=2000, reading=reading(data("loss", 0.4, 42))))
    assert _interval(job.status, status) == STATUS_SECONDS
    assert _interval(job.status, status, final=True) == STEP_SECONDS
    other = step(o.snapshot(job, [o.training()], now=2000, reading=reading(data("loss", 0.4, 42), gaps=("x",))))
    assert _interval(job.status, other) == WORDING_SECONDS
    assert (
        _interval(job.status, step(o.snapshot(job, [o.uploading()], reading=reading(data("loss", 0.4, 42)))))
        == STEP_SECONDS
    )
