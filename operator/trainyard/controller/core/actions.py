"""A decision as writes: complete manifests, orders and deletions, in the order in which they are to be sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trainyard.api import names
from trainyard.api.report import StopOrder, TrainingEnd
from trainyard.controller.core import children, evidence, pods
from trainyard.controller.core.children import Manifest
from trainyard.controller.core.decision import Act, Decision
from trainyard.controller.core.expiry import expiry
from trainyard.controller.core.failures import host_failure
from trainyard.controller.core.jobplan import job_plan
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.snapshot import Snapshot


@dataclass(frozen=True)
class Annotate:
    """An order on a pod. `post` goes to its sidecar as well, so that it need not wait for the kubelet."""

    pod: Pod
    annotations: dict[str, str]
    post: TrainingEnd | None = None


@dataclass(frozen=True)
class Actions:
    """`plan` must exist before `service` and `pods`, which it owns; all else is independent of each other.

    `adopt`: the plan gets the job as its owner, so that from now on it goes with it. `plans` (name, uid) go now, with all they
    own; `expired`: so does the present attempt's, and with `remove` the job itself.
    """

    plan: Manifest | None = None
    service: Manifest | None = None
    pods: tuple[Manifest, ...] = ()
    adopt: bool = False
    annotate: tuple[Annotate, ...] = ()
    delete: tuple[Pod, ...] = ()
    plans: tuple[tuple[str, str], ...] = ()
    expired: bool = False
    remove: bool = False


def actions(snapshot: Snapshot, decision: Decision) -> Actions:
    """Nothing for a snapshot in which everything is as it should be."""
    found = _actions(snapshot, decision)
    earlier = {(pod.plan, pod.plan_uid) for pod in snapshot.earlier if pod.plan and pod.deleting is None}
    return replace(found, plans=tuple(sorted(earlier))) if earlier and decision.act is not Act.NOTHING else found


def _actions(snapshot: Snapshot, decision: Decision) -> Actions:
    if decision.act is Act.MAKE:
        return _make(snapshot, decision)
    if decision.act is Act.CLEAN:
        end = expiry(snapshot.job)
        if end is not None and snapshot.now >= end:
            return Actions(expired=True, remove=snapshot.job.delete_after_ttl)
        # One whose containers have all ended is left: its phase follows in a moment, and its logs stay.
        left = tuple(pod for pod in snapshot.pods if not pod.over and pod.deleting is None and pod.uid)
        return Actions(delete=left, adopt=snapshot.unadopted)
    if decision.act is Act.FINISH:
        return Actions(adopt=bool(snapshot.pods))
    if decision.act in (Act.NOTHING, Act.REFUSE, Act.RESTART):
        return Actions()
    # On a failure the pods that would wait for ever are the evidence, and go after the verdict.
    return Actions(
        annotate=tuple(order for pod in snapshot.pods for order in orders(pod, _stop_order(snapshot, decision, pod))),
        delete=tuple(filter(evidence.deaf, snapshot.pods)) if decision.act in (Act.STOP, Act.SUSPEND) else (),
    )


def _make(snapshot: Snapshot, decision: Decision) -> Actions:
    job, resolved = snapshot.job, decision.resolved
    assert resolved is not None
    return Actions(
        plan=children.config_map(job, job_plan(job, resolved, snapshot.options)),
        service=children.service(job) if snapshot.instance_count > 1 else None,
        pods=tuple(pods.pod(job, host, resolved, snapshot.options) for host in snapshot.missing),
    )


def orders(pod: Pod, stop: StopOrder | None) -> list[Annotate]:
    """The first order on a pod that can be read stands; none reaches a pod that is over or being deleted, and none stops what has ended."""
    if pod.over or pod.deleting is not None or not pod.uid:
        return []
    if (end := training_end(pod)) is not None:
        return [Annotate(pod, {names.ANNOTATION_TRAINING_ENDED: end.to_json()}, end)]
    if stop is None or evidence.ordered(pod) is not None or evidence.training_over(pod):
        return []
    return [Annotate(pod, {names.ANNOTATION_STOP: stop.to_json()})]


def training_end(pod: Pod) -> TrainingEnd | None:
    """The operator's word that training is gone from this pod, None if it is not or has been told."""
    training = pod.container(names.CONTAINER_TRAINING)
    if not training.terminated or evidence.told_of_end(pod):
        return None
    return TrainingEnd(exit_code=training.exit_code if training.exit_code is not None else -1, reason=training.reason)


def _stop_order(snapshot: Snapshot, decision: Decision, pod: Pod) -> StopOrder | None:
    """A host that has failed by itself needs none."""
    if decision.act is Act.ABORT and host_failure(snapshot, pod) is not None:
        return None
    return decision.order
