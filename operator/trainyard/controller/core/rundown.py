"""The pods of a job that is no more: told to end, left to upload, and only then deleted, by deleting what owns them.

A pod that is being deleted hears nothing any more, so the order comes first (docs/adr/0001-pods-belong-to-the-plan.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from trainyard.api import names
from trainyard.api.report import StopOrder, StopReason
from trainyard.controller.core import evidence
from trainyard.controller.core.actions import Actions, Annotate, training_end
from trainyard.controller.core.observed import Pod


def rundown(pods: Sequence[Pod]) -> Actions:
    """Orders to the hosts that can hear one, deletion of those that cannot; nothing for those that are ending."""
    live = [pod for pod in pods if not pod.over and pod.deleting is None]
    deaf = [pod for pod in live if evidence.never_ending(pod)]
    return Actions(
        annotate=tuple(order for pod in live if pod not in deaf for order in _orders(pod)), delete=tuple(deaf)
    )


def run_down(pods: Sequence[Pod]) -> bool:
    """Nothing of it runs any more: what owns the pods may go, and with it the rest."""
    return all(pod.over for pod in pods)


def _orders(pod: Pod) -> list[Annotate]:
    end = training_end(pod)
    if end is not None:
        return [Annotate(pod, {names.ANNOTATION_TRAINING_ENDED: end.to_json()}, end)]
    if pod.stop_order is None and not evidence.training_over(pod):
        order = StopOrder(reason=StopReason.DELETED, message="the TrainingJob was deleted")
        return [Annotate(pod, {names.ANNOTATION_STOP: order.to_json()})]
    return []
