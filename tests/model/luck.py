"""Bad luck: losses of pods, faults, and timeouts that run out although something else could happen."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model import environment
from tests.model.situation import DOWN, ENDING, UP, Edge, Global, Operator, job_of, rest_of, with_operator
from tests.model.steps import Steps
from tests.model.world import World


class Luck:
    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._scope, self._runner = steps.scope, steps.runner

    def of(self, here: Global) -> Iterator[Edge]:
        if here.losses:
            for step in environment.losses(self._scope, World(self._steps.views, here.world)):
                after = self._steps.changed(here, step)._replace(losses=here.losses - 1)
                yield Edge(f"loss: {step.label}", after, False, job=step.job)
        if here.epochs:
            yield Edge("all timeouts run out", self._steps.later(here)._replace(epochs=here.epochs - 1), False)
        if here.faults:
            less = here._replace(faults=here.faults - 1)
            for index, me in enumerate(here.operators):
                yield from self._ends(less, index, me)
                if "event" in self._scope.fault_kinds:
                    yield from self._unheard(less, index, me)

    def _ends(self, less: Global, index: int, me: Operator) -> Iterator[Edge]:
        """It crashes, or does not lead any more; then what it is asking for may arrive later."""
        down = Operator(DOWN, self._runner.fresh, passes=me.passes)
        if me.mode != DOWN and "crash" in self._scope.fault_kinds:
            yield Edge(f"fault: operator {index + 1} crashes", with_operator(less, index, down), False)
        if me.mode == UP and "lease" in self._scope.fault_kinds:
            asked = self._runner.run(me.rest, me.inputs).open
            writes = any(request[0] in self._runner.WRITES for _, request in asked)
            after = Operator(ENDING, me.rest, me.inputs, knew=me.knew, passes=me.passes) if writes else down
            yield Edge(f"fault: operator {index + 1} loses the lease", with_operator(less, index, after), False)

    def _unheard(self, less: Global, index: int, me: Operator) -> Iterator[Edge]:
        for key, events in me.queues:
            for at, (found, deleted) in enumerate(events):
                after = me._replace(queues=rest_of(me.queues, key, at))
                what = "its end" if deleted else f"v{found.version}"
                label = f"fault: operator {index + 1} never hears of {what} of {key[0]} {key[1]}"
                yield Edge(label, with_operator(less, index, after), False, job=job_of(key[1]))
