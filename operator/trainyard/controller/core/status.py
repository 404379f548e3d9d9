"""reduce(snapshot, decision) -> the job's next status. Pure and total; the same state gives the same status."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from trainyard.api import names
from trainyard.api.plan import model_uri
from trainyard.api.reasons import Reason
from trainyard.api.status import (
    ChannelStatus,
    Choices,
    HostStatus,
    JobStatus,
    ModelArtifacts,
    SecondaryStatus,
    TrainingJobStatus,
    Transition,
)
from trainyard.controller.core.activity import Activity, activity
from trainyard.controller.core.conditions import conditions, reobserved
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.defaults import defaults
from trainyard.controller.core.job import DEFAULT_REGION, Job
from trainyard.controller.core.logmetrics import accounted, final_metrics
from trainyard.controller.core.observed import UNACCOUNTED, Pod, final_report
from trainyard.controller.core.references import Resolved
from trainyard.controller.core.restart import started_over
from trainyard.controller.core.snapshot import Snapshot
from trainyard.controller.core.transitions import extend, milestones, running_since


def reduce(snapshot: Snapshot, decision: Decision) -> JobStatus:
    """`lastModifiedTime` moves only if anything else does."""
    job = snapshot.job
    if decision.act is Act.NOTHING:
        return job.status
    if decision.act is Act.CLEAN:
        return _acknowledged(job)
    doing = activity(snapshot, decision)
    status = _next(snapshot, decision, doing)
    if decision.restart is not None:
        # Without the milestone of the attempt that follows: this is about the one that is over.
        found = [milestone for milestone in milestones(snapshot, decision, doing) if not milestone.anew]
        began = running_since(extend(job.status.secondary_status_transitions, found, doing))
        return started_over(status, decision.restart, began, snapshot.now)
    if status.model_copy(update={"last_modified_time": job.status.last_modified_time}) == job.status:
        return job.status
    return status


def _acknowledged(job: Job) -> JobStatus:
    """A terminal state never changes; only that a later generation of the spec was seen is noted."""
    if job.status.observed_generation == job.generation:
        return job.status
    return job.status.model_copy(
        update={"observed_generation": job.generation, "conditions": reobserved(job.status.conditions, job.generation)}
    )


def _next(snapshot: Snapshot, decision: Decision, doing: Activity) -> JobStatus:
    job, previous = snapshot.job, snapshot.job.status
    transitions = extend(previous.secondary_status_transitions, milestones(snapshot, decision, doing), doing)
    secondary = SecondaryStatus(transitions[-1].status)
    ending = decision.verdict
    if ending is not None:
        primary = ending.status
    elif secondary is SecondaryStatus.STOPPING:
        primary = TrainingJobStatus.STOPPING
    else:
        primary = TrainingJobStatus.IN_PROGRESS
    started = previous.training_start_time or running_since(transitions)
    ended = transitions[-1].start_time if ending is not None else None
    duration = max(int((ended - started).total_seconds()), 1) if started is not None and ended is not None else None
    resumed = _resumed(snapshot, decision)
    return JobStatus(
        training_job_status=primary,
        secondary_status=secondary,
        secondary_status_transitions=transitions,
        failure_reason=ending.failure_reason[: names.FAILURE_REASON_CHARS]
        if ending and ending.failure_reason
        else None,
        training_job_name=job.training_job_name,
        training_job_arn=previous.training_job_arn or _arn(snapshot),
        model_artifacts=previous.model_artifacts or _model(job),
        creation_time=job.created,
        training_start_time=started,
        training_end_time=ended if started is not None else None,
        last_modified_time=snapshot.now,
        training_time_in_seconds=duration,
        billable_time_in_seconds=_billable(job, transitions, ended) if duration is not None else None,
        final_metric_data_list=final_metrics(snapshot),
        channels=_channels(snapshot),
        defaults=previous.defaults or (defaults(job.spec) if job.spec is not None else {}),
        choices=previous.choices or _choices(snapshot),
        attempt=job.attempt,
        attempt_start_time=snapshot.now if resumed else previous.attempt_start_time,
        earlier_attempts=previous.earlier_attempts,
        retry_attempts=previous.retry_attempts,
        interruptions=previous.interruptions,
        earlier_running_time_in_seconds=previous.earlier_running_time_in_seconds,
        suspended_time_in_seconds=resumed or previous.suspended_time_in_seconds,
        hosts=accounted(snapshot, _hosts(snapshot)),
        observed_generation=job.generation,
        conditions=conditions(snapshot, decision, doing, secondary),
    )


def _choices(snapshot: Snapshot) -> Choices | None:
    """Of the first pods, for all that follow: an annotation edited meanwhile would give later attempts other shares."""
    try:
        return snapshot.job.choices() if snapshot.pods and snapshot.job.spec is not None else None
    except ValueError:
        return None


def _billable(job: Job, transitions: list[Transition], ended: datetime | None) -> int:
    """Running time of all attempts; instances that were waited for are not paid for."""
    began = running_since(transitions)
    running = int((ended - began).total_seconds()) if ended is not None and began is not None else 0
    return max((job.status.earlier_running_time_in_seconds or 0) + running, 1)


def _resumed(snapshot: Snapshot, decision: Decision) -> int | None:
    """Seconds of all suspensions together, at the moment when one ends."""
    before = snapshot.job.condition(Reason.SUSPENDED)
    if before is None or before.status != "True" or decision.reason is Reason.SUSPENDED:
        return None
    paused = int((snapshot.now - before.last_transition_time).total_seconds())
    return (snapshot.job.status.suspended_time_in_seconds or 0) + max(paused, 1)


def _arn(snapshot: Snapshot) -> str | None:
    """Kept once written. Before the role is known there is no region to build it from."""
    found = snapshot.resolution
    if isinstance(found, Resolved):
        return snapshot.job.arn(found.role.s3.region)
    return snapshot.job.arn(DEFAULT_REGION) if snapshot.job.spec is not None and snapshot.pods else None


def _channels(snapshot: Snapshot) -> list[ChannelStatus]:
    """As the pods have it; before there are any, as they will. Of a channel whose claim is not found yet nothing is said."""
    spec = snapshot.job.spec
    if spec is None:
        return snapshot.job.status.channels
    pod = next((pod for pod in snapshot.pods if pod.uid), None)
    found = snapshot.resolution if pod is None else None
    if pod is not None:
        claims = dict(pod.claims)
    elif isinstance(found, Resolved) and snapshot.missing:
        claims = {channel: volume.claim for channel, volume in found.volumes.items()}
    else:
        claims = {}
        if snapshot.job.status.channels:
            return snapshot.job.status.channels
    return [
        ChannelStatus(
            channel_name=channel.channel_name,
            input_mode=spec.mode_of(channel),
            served_by=_served_by(spec.mode_of(channel), claim),
            claim_name=claim,
        )
        for channel in spec.input_data_config
        if (claim := claims.get(channel.channel_name)) is not None or channel.data_source.s3_data_source is not None
    ]


def _served_by(mode: str, claim: str | None) -> Literal["Staging", "Stream", "Volume"]:
    if claim is not None:
        return "Volume"
    return "Stream" if mode == "Pipe" else "Staging"


def _model(job: Job) -> ModelArtifacts | None:
    if job.spec is None:
        return None
    output = job.spec.output_data_config
    uri = model_uri(output.s3_output_path, job.training_job_name, output.compression_type)
    return ModelArtifacts(s3_model_artifacts=uri)


def _hosts(snapshot: Snapshot) -> list[HostStatus]:
    known = {host.name: host for host in snapshot.job.status.hosts}
    return [_host(snapshot, pod, known.get(pod.host)) for pod in snapshot.pods]


def _host(snapshot: Snapshot, pod: Pod, known: HostStatus | None) -> HostStatus:
    """What was known once stays known after the pod has gone."""
    staged = final_report(pod, names.CONTAINER_STAGE)
    live = snapshot.report(pod)
    training = pod.container(names.CONTAINER_TRAINING)
    code = training.exit_code if training.reason not in UNACCOUNTED else None
    objects = next(
        (report.objects for report in (staged, live) if report is not None and report.objects is not None), None
    )
    size = next((report.bytes for report in (staged, live) if report is not None and report.bytes is not None), None)
    return HostStatus(
        name=pod.host,
        pod=pod.name,
        node=pod.node or (known.node if known else None),
        objects=objects if objects is not None else (known.objects if known else None),
        bytes=size if size is not None else (known.bytes if known else None),
        exit_code=code if code is not None else (known.exit_code if known else None),
    )
