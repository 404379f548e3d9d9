"""When what is left of a job that has ended is removed."""

from __future__ import annotations

from datetime import datetime, timedelta

from trainyard.controller.core.job import Job


def expiry(job: Job) -> datetime | None:
    """The job's end and ttlSecondsAfterFinished; None if it has not ended or its children stay."""
    ttl, transitions = job.ttl, job.status.secondary_status_transitions
    if ttl is None or not job.terminal or not transitions:
        return None
    return transitions[-1].start_time + timedelta(seconds=ttl)
