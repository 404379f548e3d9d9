"""From observations to decisions, with the real time constants: period 2 s, lead 30 s, grace 120 s."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.agent.core.lifecycle import Facts, Over, decide, outcome, upload_deadline
from trainyard.agent.timing import Timing
from trainyard.api.report import StopOrder, StopReason, TrainingEnd

TIMING = Timing()
KILLED = TrainingEnd(exit_code=137)
USER = StopOrder(reason=StopReason.USER_REQUESTED)
GONE = StopOrder(reason=StopReason.DELETED)
LIMIT = 3600
RUNNING: dict[str, Any] = {
    "listening_since": 0,
    "staging_started": 10,
    "staged_at": 50,
    "first_probe": 60,
    "last_probe": 100,
}


def facts(**changes: Any) -> Facts:
    return Facts(**RUNNING | changes)


@pytest.mark.parametrize(
    ("name", "seen", "now", "live", "over", "stop"),
    [
        ("probes arrive", facts(), 102, True, Over.NO, None),
        ("a busy node misses a few", facts(), 109, True, Over.NO, None),
        ("silence is a hint", facts(), 110, True, Over.HINT, None),
        ("silence before a restart says nothing", facts(listening_since=500), 505, True, Over.NO, None),
        ("silence after a restart does", facts(listening_since=500), 510, True, Over.HINT, None),
        ("the operator's word is certain", facts(ended=TrainingEnd(exit_code=0)), 100, True, Over.CERTAIN, None),
        ("so is SIGTERM", facts(terminated_at=100.0), 100, True, Over.CERTAIN, None),
        ("a stop order refuses the probe", facts(stop=USER), 101, False, Over.NO, "UserRequested"),
        ("so does the order that the job was deleted", facts(stop=GONE), 101, False, Over.NO, "Deleted"),
        ("silence after a 503 is the kill", facts(stop=USER, refused_at=100.0), 240, False, Over.NO, "UserRequested"),
        ("... until lead, grace and silence are over", facts(stop=USER, refused_at=100.0), 260, False, Over.HINT, "UserRequested"),
        ("... which a word shortens", facts(stop=USER, refused_at=100.0, ended=KILLED), 180, False, Over.CERTAIN, "UserRequested"),
        ("the limit counts from staging", facts(last_probe=3578), 3579, True, Over.NO, None),
        ("its 503 comes a lead early", facts(last_probe=3579), 3580, False, Over.NO, "MaxRuntimeExceeded"),
        ("a limit reached after the end is none", facts(ended=TrainingEnd(exit_code=0)), 9999, True, Over.CERTAIN, None),
        ("a limit that refused stays the reason", facts(refused_at=3580.0, ended=KILLED), 3700, False, Over.CERTAIN, "MaxRuntimeExceeded"),
        ("deletion waits for the grace", facts(deleted_at=101.0), 220, True, Over.NO, None),
        ("then takes a snapshot", facts(deleted_at=101.0), 221, True, Over.SNAPSHOT, "Deleted"),
        ("or what is there when training is gone", facts(deleted_at=101.0, terminated_at=110.0), 110, True, Over.CERTAIN, "Deleted"),
        ("a preStop that probes contradict is none", facts(deleted_at=101.0, last_probe=230.0), 231, True, Over.NO, None),
        ("no probe yet", facts(first_probe=None, last_probe=None), 100, True, Over.NO, None),
        ("never a probe: too short for one", facts(first_probe=None, last_probe=None), 171, True, Over.HINT, None),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)  # fmt: skip
def test_what_follows_from_what_was_seen(  # noqa: PLR0917 - the table's columns
    name: str, seen: Facts, now: float, live: bool, over: Over, stop: str | None
) -> None:
    decision = decide(seen, now, TIMING, LIMIT)
    assert (decision.live, decision.over, decision.stop) == (live, over, stop)


NEVER: dict[str, Any] = {"first_probe": None, "last_probe": None}


@pytest.mark.parametrize(
    ("seen", "has_files", "abandoned"),
    [
        (facts(**NEVER, terminated_at=70.0), False, True),
        (facts(**NEVER, terminated_at=70.0), True, False),
        (facts(**NEVER, ended=TrainingEnd(exit_code=128, reason="StartError")), False, True),
        (facts(**NEVER, ended=TrainingEnd(exit_code=0, reason="Completed")), False, False),
        (facts(terminated_at=70.0), False, False),
    ],
    ids=["ended while staging", "wrote something", "could not start", "was very short", "was seen running"],
)
def test_a_pod_is_abandoned_only_if_training_never_ran(seen: Facts, has_files: bool, abandoned: bool) -> None:
    assert decide(seen, 71, TIMING, LIMIT, has_files=has_files).abandoned is abandoned


@pytest.mark.parametrize(
    ("seen", "elsewhere", "word"),
    [
        (facts(ended=TrainingEnd(exit_code=0)), False, "Completed"),
        (facts(ended=TrainingEnd(exit_code=1)), False, "Failed"),
        (facts(ended=TrainingEnd(exit_code=0)), True, "Failed"),
        (facts(stop=USER, ended=KILLED), False, "Stopped"),
        (facts(stop=StopOrder(reason=StopReason.HOST_FAILED), ended=KILLED), False, "Failed"),
        (facts(terminated_at=100.0), False, "Unknown"),
        (facts(deleted_at=100.0, terminated_at=101.0), False, "Stopped"),
    ],
)
def test_the_manifests_word_for_the_outcome(seen: Facts, elsewhere: bool, word: str) -> None:
    assert outcome(seen, decide(seen, 101, TIMING, LIMIT), elsewhere) == word


def test_a_refused_probe_is_remembered_from_the_first_on() -> None:
    seen = facts().probed(200, live=False).probed(202, live=False)
    assert (seen.refused_at, seen.last_probe, seen.first_probe) == (200, 202, 60)


@pytest.mark.parametrize(
    ("seen", "failed", "deadline"),
    [
        (facts(), False, None),
        (facts(upload_began=1000.0), False, 2800),
        (facts(upload_began=1000.0), True, 1060),
        (facts(upload_began=1000.0, terminated_at=1001.0), False, 1421),
        (facts(upload_began=230.0, deleted_at=101.0), False, 521),
    ],
)
def test_an_upload_may_take_the_hold_window_but_no_longer_than_its_pod(
    seen: Facts, failed: bool, deadline: float | None
) -> None:
    assert upload_deadline(seen, TIMING, 1800, failed) == deadline
