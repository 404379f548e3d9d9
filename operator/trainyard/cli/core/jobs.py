"""A job in the cluster: what a stop will do to it, whether it has ended, and how. Raw resources in, sentences out."""

from __future__ import annotations

from typing import Any

from trainyard.api.names import LIVENESS_PERIOD_SECONDS, LIVENESS_THRESHOLD, STOP_GRACE_SECONDS
from trainyard.api.status import TERMINAL, SecondaryStatus, TrainingJobStatus
from trainyard.cli.errors import Failed

Resource = dict[str, Any]

_BEFORE_TRAINING = (
    SecondaryStatus.PENDING,
    SecondaryStatus.STARTING,
    SecondaryStatus.DOWNLOADING,
    SecondaryStatus.INTERRUPTED,
)


def name(job: Resource) -> str:
    return f"TrainingJob {_part(job, 'metadata').get('name', '')}"


def uid(job: Resource) -> str:
    return str(_part(job, "metadata").get("uid", ""))


def wants(job: Resource, field: str) -> bool:
    """`stop` or `suspend` of its spec."""
    return _part(job, "spec").get(field) is True


def status(job: Resource) -> str:
    """TrainingJobStatus, empty before the operator has seen the job."""
    return str(_part(job, "status").get("trainingJobStatus") or "")


def secondary(job: Resource) -> str:
    return str(_part(job, "status").get("secondaryStatus") or "")


def has_ended(job: Resource) -> bool:
    conditions = _part(job, "status").get("conditions")
    for condition in conditions if isinstance(conditions, list) else []:
        if isinstance(condition, dict) and condition.get("type") == "Finished":
            return condition.get("status") == "True"
    return status(job) in TERMINAL


def refuse_if_ended(job: Resource, wish: str) -> None:
    """Raises Failed: nothing changes a job that has ended."""
    if has_ended(job):
        when = _part(job, "status").get("trainingEndTime")
        raise Failed(f"{name(job)} has ended already: {status(job)}{f' at {when}' if when else ''}; {wish}")


def what_a_stop_does(job: Resource) -> str:
    """To the job as it is now."""
    now = secondary(job)
    if wants(job, "suspend") or not now or now in _BEFORE_TRAINING:
        return "No program trains yet; what was begun is ended, and the job becomes Stopped."
    if now == SecondaryStatus.UPLOADING:
        return "Training has ended already; the upload is finished, and the job becomes Stopped."
    patience = LIVENESS_PERIOD_SECONDS * LIVENESS_THRESHOLD
    return (
        f"The program gets SIGTERM within about {patience} s, and SIGKILL {STOP_GRACE_SECONDS} s later if it still runs;"
        " then what it wrote is uploaded."
    )


def failed(job: Resource) -> bool:
    return status(job) == TrainingJobStatus.FAILED


def how_it_ended(job: Resource) -> list[str]:
    """Sentences for one whose job has ended."""
    said = _part(job, "status")
    lines = [f"{name(job)}: {secondary(job) or status(job)}"]
    if reason := said.get("failureReason"):
        lines.append(str(reason))
    artifacts = said.get("modelArtifacts")
    if isinstance(artifacts, dict) and artifacts.get("s3ModelArtifacts"):
        lines.append(f"Model: {artifacts['s3ModelArtifacts']}")
    return lines


def _part(job: Resource, part: str) -> Resource:
    found = job.get(part)
    return found if isinstance(found, dict) else {}
