"""Metrics in a job's status: which logs are to be read, the values, and what is said of definitions that give none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from trainyard.api import names
from trainyard.api.reasons import Reason
from trainyard.api.status import HostStatus, JobStatus, MetricData
from trainyard.controller.core import read
from trainyard.controller.core.loglines import Definitions, complaint, nanoseconds, usable
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.reading import Reading, merged
from trainyard.controller.core.snapshot import Snapshot

METRICS_READ, LINES_LOST = "MetricsRead", "LogLinesLost"
# A condition's message: whoever has more of these looks into the first ones anyway.
_SHOWN, _CHARS = 8, 2048
_NOTHING = Reading()


def definitions(snapshot: Snapshot) -> Definitions:
    spec = snapshot.job.spec
    if spec is None:
        raw = read.items(snapshot.job.raw_spec, "algorithmSpecification", "metricDefinitions")
        return tuple((read.text(entry, "name"), read.text(entry, "regex")) for entry in raw)
    found = spec.algorithm_specification.metric_definitions
    return tuple((definition.name, definition.regex) for definition in found)


def logs_to_read(snapshot: Snapshot) -> tuple[Pod, ...]:
    """The pods whose training container has a log; none of a job that asks for no metrics."""
    job = snapshot.job
    if job.terminal or job.deleting or not snapshot.options.metrics_from_logs or not usable(definitions(snapshot)):
        return ()
    return tuple(
        pod for pod in snapshot.pods if pod.uid and not pod.gone and pod.container(names.CONTAINER_TRAINING).has_run
    )


def read_before(snapshot: Snapshot, pod: Pod) -> int | None:
    """Where the status says that reading stood, in nanoseconds."""
    times = (host.last_log_time for host in snapshot.job.status.hosts if host.pod == pod.name)
    return next((nanoseconds(at) for at in times if at is not None), None)


def final_metrics(snapshot: Snapshot) -> list[MetricData]:
    recorded, reading = snapshot.job.status.final_metric_data_list, snapshot.reading
    if reading is None or not reading.metrics:
        return recorded
    return merged(recorded, reading.metrics, [name for name, _ in definitions(snapshot)])


def accounted(snapshot: Snapshot, hosts: list[HostStatus]) -> list[HostStatus]:
    """With the times up to which the logs are in finalMetricDataList. They move with the values and never alone: they are
    no reason for a write."""
    changed = final_metrics(snapshot) != snapshot.job.status.final_metric_data_list
    known = {host.pod: host.last_log_time for host in snapshot.job.status.hosts}
    read: Mapping[str, datetime] = snapshot.reading.read_until if snapshot.reading is not None and changed else {}
    return [host.model_copy(update={"last_log_time": read.get(host.pod) or known.get(host.pod)}) for host in hosts]


def is_only_metrics(before: JobStatus, after: JobStatus) -> bool:
    """The two differ in values alone."""

    def rest(status: JobStatus) -> JobStatus:
        hosts = [host.model_copy(update={"last_log_time": None}) for host in status.hosts]
        return status.model_copy(update={"final_metric_data_list": [], "last_modified_time": None, "hosts": hosts})

    return before.final_metric_data_list != after.final_metric_data_list and rest(before) == rest(after)


def claims(snapshot: Snapshot) -> Iterator[tuple[str, bool, Reason, str]]:
    """(type, holds, reason, message) of the conditions that only jobs with metric definitions have."""
    asked = definitions(snapshot)
    if not asked:
        return
    problems = list(_problems(snapshot, asked))
    if problems:
        yield METRICS_READ, False, problems[0][0], "; ".join(text for _, text in problems)[:_CHARS]
    else:
        yield METRICS_READ, True, Reason.METRICS_READ, "Every metric definition is applied to the logs of all hosts"
    before = snapshot.job.condition(LINES_LOST)
    told = before.message if before is not None else ""
    lost = _lost(told, (snapshot.reading or _NOTHING).gaps)
    if lost:
        yield LINES_LOST, True, Reason.LOG_GONE, lost


def _problems(snapshot: Snapshot, asked: Definitions) -> Iterator[tuple[Reason, str]]:
    if not snapshot.options.metrics_from_logs:
        yield (
            Reason.METRICS_SWITCHED_OFF,
            "metricDefinitions are not read: the operator may not read logs (chart value metricsFromLogs.enabled)",
        )
        return
    for name, regex in asked:
        if why := complaint(regex):
            yield Reason.METRIC_REGEX_INVALID, f"metric {name}: its regex cannot be used: {why}"
    reading = snapshot.reading or _NOTHING
    recorded = {data.metric_name for data in final_metrics(snapshot)}
    for name in reading.numberless:
        if name not in recorded:
            text = (
                f"metric {name}: its regex matches, but the first group is no finite number: put the number alone in it"
            )
            yield Reason.METRIC_NOT_A_NUMBER, text
    shown = reading.unread[:_SHOWN]
    if shown:
        more = f"; and {len(reading.unread) - _SHOWN} more" if len(reading.unread) > _SHOWN else ""
        yield Reason.LOGS_NOT_READ, f"not read to the end: {'; '.join(shown)}{more}"


_LOST = "log lines were gone (rotated, or with their pod) before they were read, and may be missing from the metrics:"


def _lost(told: str, gaps: tuple[str, ...]) -> str:
    """What was said once stays said, also after the operator was started anew."""
    text = told
    for found in gaps:
        if found in text:
            continue
        if text.count(": between ") >= _SHOWN:
            return text if text.endswith("; and more") else f"{text}; and more"
        text = f"{text}; {found}" if text else f"{_LOST} {found}"
    return text[:_CHARS]
