"""Prometheus metrics. Labels are bounded sets, never names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


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
        self.resync = Gauge("trainyard_resync_timestamp_seconds", "When the last full compare ended", registry=made)

    def request(self, verb: str, resource: str, status: int, seconds: float) -> None:
        self._requests.labels(verb, resource, str(status)).inc()
        self._request_seconds.labels(verb).observe(seconds)

    def render(self) -> bytes:
        return generate_latest(self.registry)
