"""What a look at a job leads to: the language between policies, actions and status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainyard.api.reasons import Reason
from trainyard.api.report import StopOrder
from trainyard.controller.core.references import Resolved
from trainyard.controller.core.restart import Restart
from trainyard.controller.core.verdict import Verdict


class Act(StrEnum):
    """What a decision asks for; `actions` turns it into writes."""

    NOTHING = "nothing"  # the job is being deleted
    CLEAN = "clean"  # terminal: whatever still runs goes
    REFUSE = "refuse"  # cannot be run as it is written
    MAKE = "make"  # children are missing
    WAIT = "wait"  # children are missing, and the apiserver has just refused them
    WATCH = "watch"  # everything is there; pods do their work
    STOP = "stop"  # a stop was asked for or a limit is reached: orders to all hosts
    SUSPEND = "suspend"  # the job is to go on later: orders to all hosts
    ABORT = "abort"  # a host failed: orders to the others
    RESTART = "restart"  # all is over, and `restart` says why another attempt follows
    FINISH = "finish"  # `verdict` is to be written


@dataclass(frozen=True)
class Decision:
    """`order` is what the hosts are told. `requeue_after`: seconds after which to look again though nothing has changed."""

    act: Act
    reason: Reason | None = None
    message: str = ""
    requeue_after: float | None = None
    order: StopOrder | None = None
    restart: Restart | None = None
    verdict: Verdict | None = None
    resolved: Resolved | None = None
