"""A pod as far as decisions look at it. Parsed once, frozen; the kubelet's gaps and oddities end here."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from trainyard.api import names
from trainyard.api.report import Report
from trainyard.controller.core import read
from trainyard.controller.core.mounts import seen as claims_of
from trainyard.controller.core.naming import config_map_name, rank_of
from trainyard.controller.core.naming import labels as labels_of

State = Literal["absent", "waiting", "running", "terminated"]
# Exit codes that are no failure of a program's own, or need not be: it was ended by SIGKILL or SIGTERM.
UNTOLD = frozenset({0, 137, 143})
# The kubelet's words for a container that is no more, and of whose end it knows nothing.
UNACCOUNTED = frozenset({"Unknown", "ContainerStatusUnknown"})


@dataclass(frozen=True, slots=True)
class Container:
    """One container's latest state. `started`, `finished` in whole seconds UTC, None if the kubelet gave none."""

    state: State = "absent"
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    restarts: int = 0
    last_words: str = ""  # of its previous run, as are these:
    last_reason: str = ""
    last_exit_code: int | None = None

    @property
    def terminated(self) -> bool:
        return self.state == "terminated"

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def has_run(self) -> bool:
        """It runs or ran: a StartError ends without having started."""
        return self.running or self.started is not None

    @property
    def failed(self) -> bool:
        """By itself: neither ended from outside, nor in a way that nobody saw."""
        return self.terminated and self.exit_code not in UNTOLD and self.reason not in UNACCOUNTED


ABSENT = Container()


@dataclass(frozen=True, slots=True)
class Pod:
    """One host's pod, and the plan that owns it. `gone`: the apiserver has no such object any more; this is what was last seen of it.
    `claims`: (channel, claim that serves it). `altered`: what somebody has changed of the labels and the owner that say whose it is,
    and how to put it back."""

    name: str
    namespace: str
    uid: str
    resource_version: str = ""
    job_uid: str = ""
    job_name: str = ""
    training_job_name: str = ""
    plan: str = ""
    plan_uid: str = ""
    host: str = ""
    attempt: int = 0
    created: datetime | None = None
    deleting: datetime | None = None
    phase: str = ""
    reason: str = ""
    message: str = ""
    node: str | None = None
    ip: str | None = None
    scheduled: bool = False
    scheduled_at: datetime | None = None
    unscheduled_at: datetime | None = None
    unschedulable: str = ""
    disruption: str = ""
    disrupted_at: datetime | None = None
    unready_at: datetime | None = None
    preempted: bool = False
    memory_limit: str = ""
    image: str = ""
    claims: tuple[tuple[str, str], ...] = ()
    stop_order: str | None = None
    training_end: str | None = None
    node_dead: bool = False
    containers: dict[str, Container] = field(default_factory=dict)
    gone: bool = False
    altered: str = ""
    restarts_stage: bool = False  # by its node, where `stage` was killed

    def container(self, name: str) -> Container:
        return self.containers.get(name, ABSENT)

    @property
    def rank(self) -> int:
        return rank_of(self.host)

    @property
    def finished(self) -> bool:
        """Phase Succeeded or Failed: no container runs or will run again."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def words(self) -> str:
        """The kubelet's, of why all of it is as it is."""
        return ": ".join(filter(None, (self.reason, self.message)))

    @property
    def alive(self) -> bool:
        """Something of it runs or may still run."""
        return not self.gone and not self.finished

    @property
    def sidecar_final(self) -> bool:
        """The sidecar will not be restarted: its termination message, or the lack of one, is its last word.

        A sidecar that merely crashed is terminated too for a moment, but then `hold` still runs.
        """
        sidecar = self.container(names.CONTAINER_SIDECAR)
        return sidecar.terminated and (self.finished or self.container(names.CONTAINER_HOLD).terminated)

    @property
    def over(self) -> bool:
        """Nothing more will be learned from it."""
        return self.gone or self.finished or self.sidecar_final


@lru_cache(256)
def parse_report(message: str) -> Report | None:
    """A termination message or the answer of /report; None if it is none of ours."""
    if not message.lstrip().startswith("{"):
        return None
    try:
        return Report.from_json(message)
    except ValueError:
        return None


def final_report(pod: Pod, container: str) -> Report | None:
    """What an agent container said last, once it is over for good."""
    state = pod.container(container)
    if not state.terminated or (container == names.CONTAINER_SIDECAR and not pod.over):
        return None
    return parse_report(state.message)


def _container(raw: read.Raw) -> Container:
    states = read.mapping(raw, "state")
    restarts, ended = read.number(raw, "restartCount") or 0, read.mapping(raw, "lastState", "terminated")
    last = (_words(ended), sys.intern(read.text(ended, "reason")), read.number(ended, "exitCode"))
    if terminated := read.mapping(states, "terminated"):
        return Container(
            "terminated",
            read.text(terminated, "reason"),
            read.text(terminated, "message"),
            read.number(terminated, "exitCode"),
            read.time(terminated, "startedAt"),
            read.time(terminated, "finishedAt"),
            restarts,
            *last,
        )
    if "running" in states:
        since = read.time(read.mapping(states, "running"), "startedAt")
        return Container("running", "", "", None, since, None, restarts, *last)
    waiting = read.mapping(states, "waiting")
    reason, message = read.text(waiting, "reason"), read.text(waiting, "message")
    return Container("waiting", reason, message, None, None, None, restarts, *last)


def _words(terminated: read.Raw) -> str:
    message = read.text(terminated, "message").strip()
    report = parse_report(message)
    return report.message or "" if report is not None else message


def parse_pod(raw: Any) -> Pod:
    """Total: whatever is missing or of the wrong type is absent in the result."""
    metadata, status, spec = read.mapping(raw, "metadata"), read.mapping(raw, "status"), read.mapping(raw, "spec")
    owner: read.Raw = next(
        (ref for ref in read.items(metadata, "ownerReferences") if ref.get("controller") is True), {}
    )
    labels, annotations = read.texts(metadata, "labels"), read.texts(metadata, "annotations")
    conditions = {read.text(entry, "type"): entry for entry in read.items(status, "conditions")}
    scheduled, disruption = conditions.get("PodScheduled", {}), conditions.get("DisruptionTarget", {})
    disrupted, ready = disruption.get("status") == "True", conditions.get("Ready", {})
    is_scheduled = scheduled.get("status") == "True" or bool(spec.get("nodeName"))
    training: read.Raw = next(
        (entry for entry in read.items(spec, "containers") if entry.get("name") == names.CONTAINER_TRAINING), {}
    )
    attempt = labels.get(names.LABEL_ATTEMPT, "")
    return Pod(
        name=read.text(metadata, "name"),
        namespace=read.text(metadata, "namespace"),
        uid=read.text(metadata, "uid"),
        resource_version=read.text(metadata, "resourceVersion"),
        job_uid=labels.get(names.LABEL_JOB_UID, ""),
        job_name=labels.get(names.LABEL_JOB_NAME, ""),
        training_job_name=labels.get(names.LABEL_TRAINING_JOB_NAME) or _told_name(training),
        plan=read.text(owner, "name") if owner.get("kind") == "ConfigMap" else "",
        plan_uid=read.text(owner, "uid") if owner.get("kind") == "ConfigMap" else "",
        host=labels.get(names.LABEL_HOST, ""),
        attempt=int(attempt) if attempt.isdigit() else 0,
        created=read.time(metadata, "creationTimestamp"),
        deleting=read.time(metadata, "deletionTimestamp"),
        phase=read.text(status, "phase"),
        reason=read.text(status, "reason"),
        message=read.text(status, "message").strip(),
        node=read.text(spec, "nodeName") or None,
        ip=read.text(status, "podIP") or None,
        scheduled=is_scheduled,
        scheduled_at=read.time(scheduled, "lastTransitionTime") if is_scheduled else None,
        unscheduled_at=None if is_scheduled else read.time(scheduled, "lastTransitionTime"),
        unschedulable=read.text(scheduled, "message") if scheduled.get("reason") == "Unschedulable" else "",
        disruption=(read.text(disruption, "message") or "it was taken off its node") if disrupted else "",
        disrupted_at=read.time(disruption, "lastTransitionTime") if disrupted else None,
        unready_at=read.time(ready, "lastTransitionTime") if ready.get("status") == "False" else None,
        preempted=disrupted and disruption.get("reason") == "PreemptionByScheduler",
        memory_limit=read.texts(training, "resources", "limits").get("memory", ""),
        image=read.text(training, "image"),
        claims=claims_of(spec, training),
        stop_order=annotations.get(names.ANNOTATION_STOP),
        training_end=annotations.get(names.ANNOTATION_TRAINING_ENDED),
        restarts_stage=any(
            entry.get("name") == names.CONTAINER_STAGE and bool(entry.get("restartPolicyRules"))
            for entry in read.items(spec, "initContainers")
        ),
        containers={
            sys.intern(read.text(entry, "name")): _container(entry)  # five names for all the pods there are
            for key in ("initContainerStatuses", "containerStatuses")
            for entry in read.items(status, key)
        },
    )


def _told_name(training: read.Raw) -> str:
    """The trainingJobName as the program sees it, of a pod whose label does not have it: older ones have none."""
    told = (entry for entry in read.items(training, "env") if entry.get("name") == "TRAINING_JOB_NAME")
    return read.text(next(told, {}), "value")


def identified(raw: Any, job_name: str, job_uid: str, attempt: int, host: str) -> Pod:
    """As `parse_pod`, of a pod that is known to be that host's, whatever its labels and its owner say by now."""
    pod, labels = parse_pod(raw), read.texts(raw, "metadata", "labels")
    wanted = labels_of(job_name, job_uid, attempt) | {names.LABEL_HOST: host}
    wrong = {name: value for name, value in wanted.items() if labels.get(name) != value}
    told = [f"label {name} is {labels.get(name, 'not there')}, not {value}" for name, value in wrong.items()]
    if wrong:
        put_back = " ".join(f"{name}={value}" for name, value in wrong.items())
        told.append(f"put back with: kubectl label pod {pod.name} -n {pod.namespace} --overwrite {put_back}")
    plan = config_map_name(job_name, attempt)
    if pod.plan != plan:
        told.append(f"its owner is not ConfigMap {plan}, so that it stays when the job goes: delete it then")
    return replace(
        pod, job_name=job_name, job_uid=job_uid, attempt=attempt, host=host, plan=plan, altered="; ".join(told)
    )


def as_gone(pod: Pod) -> Pod:
    return replace(pod, gone=True)
