"""Where nothing happens by itself any more: the compare, the timers and in the end the timeouts get their turn."""

from __future__ import annotations

from tests.model import invariants
from tests.model.operators import COMPARE, PASS, PRIME, event
from tests.model.situation import PRIMING, UP, BrokenInvariantError, Edge, Global, Operator, rest_of, with_operator
from tests.model.steps import Steps
from tests.model.world import World

_ROUNDS = 20


class Idle:
    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._runner = steps.runner

    def wrong(self, here: Global) -> str | None:
        """What must hold here and does not."""
        return invariants.at_rest(World(self._steps.views, here.world)) or self._restarted(here)

    def time_passes(self, here: Global) -> Edge | None:
        """The compare, the timers, and in the end the timeouts: the first of them that changes anything."""
        for index, me in enumerate(here.operators):
            if me.passes >= 0 or me.mode != UP:
                continue
            looked = self._look_around(here, index)
            if looked is not None:
                return looked
        for epochs in range(1, 3):
            later = here
            for _ in range(epochs):
                later = self._steps.later(later)
            for index, me in enumerate(here.operators):
                if me.passes < 0 and me.mode == UP and self._look_around(later, index) is not None:
                    return Edge("nothing else happens: all timeouts run out", self._steps.later(here))
        return None

    def _restarted(self, here: Global) -> str | None:
        """Where nothing happens any more, an operator that starts afresh has nothing to write either."""
        fresh = Operator(PRIMING, self._runner.fresh)
        alone = here._replace(operators=(fresh, *here.operators[1:]))
        try:
            alone = self.alone(self._steps.given(alone, 0, fresh, (PRIME, here.world[3])), 0)
            looked = self._look_around(alone, 0)
        except BrokenInvariantError as found:
            return str(found)
        if looked is not None and looked.after.world != here.world:
            return "an operator that starts where nothing happens any more writes something"
        return None

    def _look_around(self, here: Global, index: int) -> Edge | None:
        """A compare and a pass over every job, in one go: None if that changes nothing, in the cluster and in memory."""
        me = here.operators[index]
        now = self.alone(self._steps.given(here, index, me, (COMPARE, here.world[3])), index)
        for _ in range(_ROUNDS):
            again = now.operators[index]
            todo = again.dirty | again.timers | self._runner.all_jobs(again.rest)
            before = now
            for name in sorted(todo):
                state = now.operators[index]
                now = with_operator(
                    now, index, state._replace(dirty=state.dirty - {name}, timers=state.timers - {name})
                )
                now = self.alone(
                    self._steps.given(now, index, now.operators[index], (PASS, now.world[3], name, True)), index
                )
            if (now.world, now.operators[index].rest) == (before.world, before.operators[index].rest):
                break
        same = now.world == here.world and now.operators[index].rest == me.rest
        if same:
            return None
        return Edge(f"nothing else happens: operator {index + 1} compares, and looks at every job", now)

    def alone(self, here: Global, index: int) -> Global:
        """This operator goes on by itself until it rests, and hears what it has caused."""
        while True:
            me = here.operators[index]
            if me.inputs:
                outcome = self._runner.run(me.rest, me.inputs)
                number, request = outcome.open[0]
                served = self._steps.serve(here, index, request)
                if served.broken is not None:
                    raise BrokenInvariantError(served.broken)
                here = self._steps.answered(served, index, number)
            elif me.queues:
                key, events = me.queues[0]
                heard = me._replace(queues=rest_of(me.queues, key))
                here = self._steps.given(here, index, heard, event(key, *events[0]))
            else:
                return here
