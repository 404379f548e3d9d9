"""Prometheus metrics. Labels are bounded sets, never names; but for the values that jobs ask for, whose number is capped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Series:
    """The latest value of one metric of one host."""

    namespace: str
    job: str
    metric: str
    host: str
    value: float


class TrainingMetrics(Collector):
    """What is known when it is asked for; a job that has ended is not known any more."""

    source: Callable[[], Iterable[Series]] = staticmethod(tuple)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "trainyard_training_metric",
            "Latest value of a metric definition in a host's log, while the job runs",
            labels=["namespace", "job", "metric", "host"],
        )
        for found in self.source():
            family.add_metric([found.namespace, found.job, found.metric, found.host], found.value)
        yield family


class Metrics:
    """One registry for each process; tests make their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = self.registry
        self._requests = Counter(
            "trainyard_api_requests", "Requests to the apiserver", ["verb", "resource", "code"], registry=made
        )
        self._request_seconds = Histogram(
            "trainyard_api_request_seconds",
            "Duration of requests to the apiserver",
            ["verb"],
            buckets=_SECONDS,
            registry=made,
        )
        self.reconciles = Counter("trainyard_reconciles", "Passes over a job", ["result"], registry=made)
        self.reconcile_seconds = Histogram(
            "trainyard_reconcile_seconds", "Duration of a pass", buckets=_SECONDS, registry=made
        )
        self.jobs = Gauge("trainyard_jobs", "TrainingJobs by secondary status", ["status"], registry=made)
        self.finished = Counter(
            "trainyard_jobs_finished", "TrainingJobs that ended", ["status", "reason"], registry=made
        )
        self.queue = Gauge("trainyard_queue_length", "Jobs that wait for a pass", registry=made)
        self.kopf_restarts = Counter("trainyard_watch_restarts", "Times the watches were started again", registry=made)
        self.missed = Counter(
            "trainyard_watch_missed", "Changes that the resync saw before the watch did", registry=made
        )
        self.leader = Gauge("trainyard_leader", "1 while this replica holds the Lease", registry=made)
        self.log_streams = Gauge("trainyard_log_streams", "Logs that are read at this moment", registry=made)
        self.log_lines = Counter(
            "trainyard_log_lines", "Log lines that metric definitions were applied to", registry=made
        )
        self.series_dropped = Gauge(
            "trainyard_training_metrics_dropped", "Values that are not shown for their number", registry=made
        )
        self.training = TrainingMetrics()
        made.register(self.training)
        self.resync = Gauge("trainyard_resync_timestamp_seconds", "When the last full compare ended", registry=made)

    def request(self, verb: str, resource: str, status: int, seconds: float) -> None:
        self._requests.labels(verb, resource, str(status)).inc()
        self._request_seconds.labels(verb).observe(seconds)

    def render(self) -> bytes:
        return generate_latest(self.registry)
