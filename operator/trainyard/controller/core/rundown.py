"""The pods of a job that is no more: told to end, left to upload, and only then deleted, by deleting what owns them.

A pod that is being deleted hears nothing any more, so the order comes first (docs/adr/0001-pods-belong-to-the-plan.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from trainyard.api.report import StopOrder, StopReason
from trainyard.controller.core import evidence
from trainyard.controller.core.actions import Actions, orders
from trainyard.controller.core.observed import Pod

_ORDER = StopOrder(reason=StopReason.DELETED, message="the TrainingJob was deleted")


def rundown(pods: Sequence[Pod]) -> Actions:
    """Orders to the hosts that can hear one, deletion of those that cannot; nothing for those that are ending."""
    deaf = tuple(filter(evidence.deaf, pods))
    return Actions(
        annotate=tuple(order for pod in pods if pod not in deaf for order in orders(pod, _ORDER)), delete=deaf
    )


def run_down(pods: Sequence[Pod], now: datetime) -> bool:
    """Nothing of it runs any more, hears an order, or can tell: what owns the pods may go, and with it the rest."""
    return all(evidence.settled(pod, now) or evidence.deaf(pod) for pod in pods)
