"""How long and how often a request is made: failures judged, passing ones tried again."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from trainyard.agent.app.identity import Source
from trainyard.agent.core.verdict import EXPIRED, Target, Verdict, Who, judge, pause
from trainyard.agent.errors import StoreFault
from trainyard.agent.timing import Timing

log = logging.getLogger(__name__)
T = TypeVar("T")
SPOILT = frozenset({"NoSuchUpload", "InvalidPart", "InvalidPartOrder"})
"""An upload of which S3 says this has to be made anew."""
READINGS = 3
"""So often something is read until its bytes are those of its ETag, or the same ones again."""


class Refused(Exception):  # noqa: N818 - becomes a ClientFailure where it is known what was being done
    """The end of patience with one request."""

    def __init__(self, verdict: Verdict, fault: StoreFault) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict
        self.fault = fault


@dataclass(frozen=True)
class Patience:
    """How long one request is tried. `stubborn`: also what looks lasting, because somebody may mend it meanwhile."""

    seconds: float
    """From the request's first failure on; each request has its own."""
    stubborn: bool = False
    notify: Callable[[str | None], None] = lambda _text: None
    """Told each refusal's text, and None when the request got through after all."""
    quiet: float = 0
    """A request's refusals in so many seconds from its first are not told: they may pass."""
    enough: threading.Event = field(default_factory=threading.Event)
    """Once set, the next failure of any request is its last."""


Ask = Callable[[Patience], None]
"""Whether the place is still this attempt's. Raises Refused, and AgentError if it is not."""


def nobody(_patience: Patience) -> None:
    """Asks nobody."""


class Tries:
    """Makes the requests to one store. Safe for threads."""

    def __init__(self, timing: Timing, who: Who, source: Source) -> None:
        self._timing = timing
        self._who = who
        self._source = source
        self._reached = False
        self.damaged = 0
        """Readings whose bytes were not those of the object."""

    def came_damaged(self, uri: str) -> None:
        self.damaged += 1
        log.warning("%s came damaged, and is fetched again", uri)

    def try_(self, target: Target, patience: Patience, request: Callable[[], T]) -> T:
        """What the request gives in the end. Raises Refused."""
        failing_since = 0.0
        attempt = 0
        told = False
        while True:
            attempt += 1
            try:
                answer = request()
            except StoreFault as fault:
                self._reached = self._reached or (fault.kind in {"answer", "timeout"} and not fault.foreign)
                verdict = judge(fault, target, self._who)
                if fault.code in EXPIRED:
                    self._source.renew()
                failing_since = failing_since or time.monotonic()
                failing = time.monotonic() - failing_since
                if self._hopeless(fault, target, verdict, patience, failing) and not self._reads_again(fault, attempt):
                    raise Refused(verdict, fault) from fault
                if fault.kind == "damaged":
                    self.came_damaged(target.uri)
                if failing >= patience.quiet:
                    patience.notify(verdict.text)
                    told = True
                self._wait(attempt, patience, failing)
            else:
                self._reached = True
                if told:
                    patience.notify(None)
                return answer

    @staticmethod
    def _reads_again(fault: StoreFault, attempt: int) -> bool:
        return fault.kind == "damaged" and attempt <= READINGS

    def _hopeless(
        self, fault: StoreFault, target: Target, verdict: Verdict, patience: Patience, failing: float
    ) -> bool:
        if failing >= patience.seconds or patience.enough.is_set():
            return True
        if fault.missing and target.verb == "read":
            return True
        if patience.stubborn:
            # A condition that failed stays so, and an upload that is gone or spoilt does not come back.
            return fault.status == 412 or fault.code in SPOILT or fault.kind == "damaged"
        if fault.code in EXPIRED:
            # The next ones may be there already, and the kubelet needs its time to show them.
            return failing >= self._timing.renewal
        # An endpoint that answered before is away for a while, also if its name is.
        return verdict.lasting or (verdict.misspelt and not self._reached and failing >= self._timing.unreachable)

    def _wait(self, attempt: int, patience: Patience, failing: float) -> None:
        dice = random.random()  # noqa: S311 - spreads retries
        wait = pause(attempt, self._timing.backoff_first, self._timing.backoff_most, dice)
        patience.enough.wait(max(0.0, min(wait, patience.seconds - failing)))
