"""Which orders of steps need not be explored, because another order leads to the same.

Two jobs with different trainingJobNames have nothing in common but the operators: each operator works on one of them at a
time, and a crash takes what it knew of both. So where no operator starts, and none can crash any more, the steps of one job
commute with those of the other, and whole passes with whole passes. Of all orders in which they can come, one is explored:
those of one job until it needs the environment no more, and then those of the other. Every run that ends has such an order
(take the steps of each job out of it, in their own order: each finds its job as before), so the states of rest are the
same, and what is broken by a step of one job is broken there too: the other job's steps before it are run to an end instead
of being cut short, and do not touch it.
"""

from __future__ import annotations

from tests.model.situation import UP, Edge, Global
from tests.model.steps import Steps


class Reduction:
    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def of(self, here: Global, edges: list[Edge]) -> list[Edge]:
        """Those that are enough: the ones of one job, or all."""
        scope = self._steps.scope
        if not scope.reduced or scope.depth is not None or (here.faults and "crash" in scope.fault_kinds):
            return edges
        if any(each.mode != UP and each.passes for each in here.operators):
            return edges
        busy = {self._steps.working_on(each) for each in here.operators if each.inputs}
        for kind in scope.jobs:
            mine = [edge for edge in edges if edge.job == kind.name]
            if busy <= {kind.name} and any(edge.fair for edge in mine):
                return mine
        return edges
