"""What was decided and the apiserver, or a webhook or policy behind it, does not take: told where people look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trainyard.api.reasons import Reason
from trainyard.controller.core.decision import Act, Decision

# Trouble that is over by then is an apiserver's ordinary day, and worth no status of every job that it meets.
PATIENCE_SECONDS = 10
_ADVICE = "it is tried again; a webhook or policy that is in the way must be mended, or let the operator through"
# What these write does not depend on what could not be done, which is tried again after it.
_GO_ON = frozenset({Act.NOTHING, Act.CLEAN, Act.REFUSE, Act.RESTART, Act.FINISH})


@dataclass(frozen=True)
class Hindrance:
    """The answer to a write that is tried again and again. `lasting`: one that no patience changes."""

    act: Act
    lasting: bool
    message: str
    since: datetime


def hindered(before: Hindrance | None, act: Act, *, lasting: bool, message: str, now: datetime) -> Hindrance:
    """The first words stand while the trouble lasts: a status is not written at each try because an address in it differs."""
    if before is not None and (before.act, before.lasting) == (act, lasting):
        return before
    return Hindrance(act, lasting, message, now)


def telling(decision: Decision, found: Hindrance, now: datetime) -> Decision | None:
    """What the status is to say instead; None: nothing yet. It never says that anything was done which was not."""
    if decision.act in _GO_ON or (decision.act is Act.WAIT and decision.reason is not Reason.PENDING):
        return decision
    if not found.lasting and now - found.since < timedelta(seconds=PATIENCE_SECONDS):
        return None
    reason = Reason.PODS_REFUSED if decision.act is Act.MAKE else Reason.ORDER_REFUSED
    waits = f"{decision.message}; " if decision.act is Act.WAIT else ""
    return replace(decision, act=Act.WAIT, reason=reason, message=f"{waits}{found.message} ({_ADVICE})")
