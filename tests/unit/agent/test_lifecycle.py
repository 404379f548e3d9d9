"""From observations to decisions, with the real time constants: period 2 s, lead 28 s, grace 120 s."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.agent.core.lifecycle import Facts, Over, checkpoint_deadline, decide, outcome, upload_deadline
from trainyard.agent.timing import Timing
from trainyard.api.report import StopOrder, StopReason, TrainingEnd

TIMING = Timing()
KILLED = TrainingEnd(exit_code=137)
DONE = TrainingEnd(exit_code=0)
USER = StopOrder(reason=StopReason.USER_REQUESTED)
GONE = StopOrder(reason=StopReason.DELETED)
LIMIT = 3600
RUNNING: dict[str, Any] = {
    "listening_since": 0,
    "began": 10,
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
        ("... until lead, grace and silence are over", facts(stop=USER, refused_at=100.0), 258, False, Over.HINT, "UserRequested"),
        ("... which a word shortens", facts(stop=USER, refused_at=100.0, ended=KILLED), 180, False, Over.CERTAIN, "UserRequested"),
        ("the limit counts from the sidecar's start", facts(last_probe=3580), 3581, True, Over.NO, None),
        ("its 503 comes a lead early", facts(last_probe=3581), 3582, False, Over.NO, "MaxRuntimeExceeded"),
        ("a limit reached after the end is none", facts(ended=TrainingEnd(exit_code=0)), 9999, True, Over.CERTAIN, None),
        ("a limit that refused stays the reason",
         facts(refused_at=3580.0, last_probe=3608.0, ended=KILLED), 3700, False, Over.CERTAIN, "MaxRuntimeExceeded"),
        ("... but not if it ended by itself before", facts(refused_at=3580.0, last_probe=3590.0, ended=DONE), 3700, True, Over.CERTAIN, None),
        ("... nor if nobody says how", facts(refused_at=3580.0, last_probe=3590.0, terminated_at=3592.0), 3700, True, Over.CERTAIN, None),
        ("... but if it failed after the 503",
         facts(refused_at=3580.0, last_probe=3590.0, ended=KILLED), 3700, False, Over.CERTAIN, "MaxRuntimeExceeded"),
        ("... or saved itself on SIGTERM", facts(refused_at=3580.0, last_probe=3608.0, ended=DONE), 3700, False, Over.CERTAIN, "MaxRuntimeExceeded"),
        ("an order counts also then", facts(stop=USER, refused_at=3580.0, last_probe=3590.0, ended=DONE), 3700, False, Over.CERTAIN, "UserRequested"),
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
    assert (decision.over, decision.stop) == (over, stop)
    assert decision.live is live or over is Over.CERTAIN  # nobody asks then


def test_a_limit_shorter_than_the_probes_patience_is_kept_by_what_ends_in_time() -> None:
    seen = facts(began=10, staged_at=11, first_probe=12, last_probe=24, refused_at=12.0, ended=DONE)
    assert decide(seen, 27, TIMING, 20).stop is None
    assert decide(seen, 27, TIMING, 15).stop is StopReason.MAX_RUNTIME_EXCEEDED


@pytest.mark.parametrize(
    ("seen", "now", "may"),
    [
        (facts(), 110, False),
        (facts(), 159, False),
        (facts(), 160, True),
        (facts(listening_since=500), 559, False),
        (facts(first_probe=None, last_probe=None), 9999, False),
        (facts(terminated_at=101.0), 101, True),
        (facts(ended=DONE), 101, True),
    ],
    ids=["hint", "longer", "long", "restarted", "never seen", "SIGTERM", "a word"],
)
def test_hold_is_let_go_only_when_the_end_is_as_good_as_sure(seen: Facts, now: float, may: bool) -> None:
    assert decide(seen, now, TIMING, LIMIT).may_release is may


NEVER: dict[str, Any] = {"first_probe": None, "last_probe": None}


@pytest.mark.parametrize(
    ("seen", "has_files", "abandoned"),
    [
        (facts(**NEVER, terminated_at=70.0), False, False),
        (facts(**NEVER, staged_at=None, terminated_at=70.0), False, True),
        (facts(**NEVER, deleted_at=40.0, terminated_at=70.0), False, True),
        (facts(**NEVER, deleted_at=60.0, terminated_at=70.0), False, False),
        (facts(**NEVER, terminated_at=70.0), True, False),
        (facts(**NEVER, ended=TrainingEnd(exit_code=128, reason="StartError")), False, True),
        (facts(**NEVER, ended=TrainingEnd(exit_code=0, reason="Completed")), False, False),
        (facts(terminated_at=70.0), False, False),
    ],
    ids=[
        "may have run",
        "ended while staging",
        "deleted while staging",
        "deleted later",
        "wrote something",
        "could not start",
        "was very short",
        "was seen running",
    ],
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
        (facts(deleted_at=100.0, terminated_at=101.0), False, "Interrupted"),
        (facts(stop=StopOrder(reason=StopReason.INTERRUPTED), ended=KILLED), True, "Interrupted"),
        (facts(stop=StopOrder(reason=StopReason.SUSPENDED), ended=TrainingEnd(exit_code=0)), False, "Interrupted"),
        (facts(stop=StopOrder(reason=StopReason.MAX_WAIT_TIME_EXCEEDED), ended=KILLED), False, "MaxWaitTimeExceeded"),
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
        (facts(upload_began=1000.0), False, None),
        (facts(upload_began=1000.0), True, None),
        (facts(upload_began=1000.0, blocked_since=5000.0), False, 6800),
        (facts(upload_began=1000.0, blocked_since=5000.0), True, 5060),
        (facts(upload_began=9000.0, blocked_since=5000.0), False, 10800),
        (facts(blocked_since=5000.0), False, 6800),
        (facts(upload_began=1000.0, terminated_at=1001.0), False, 1361),
        (facts(upload_began=1000.0, terminated_at=1001.0, blocked_since=1001.0), True, 1061),
        (facts(upload_began=230.0, deleted_at=101.0), False, 461),
        (facts(upload_began=1000.0, stop=StopOrder(reason=StopReason.DELETED)), False, 1300),
        (facts(upload_began=1000.0, stop=StopOrder(reason=StopReason.SUSPENDED)), True, None),
        (facts(upload_began=1000.0, blocked_since=1000.0, stop=StopOrder(reason=StopReason.SUSPENDED)), True, 1060),
        (facts(upload_began=1000.0, stop=USER), False, None),
    ],
)
def test_an_upload_may_be_blocked_for_the_hold_window_and_take_no_longer_than_its_pod(
    seen: Facts, failed: bool, deadline: float | None
) -> None:
    assert upload_deadline(seen, TIMING, 1800, failed, 300) == deadline


@pytest.mark.parametrize(
    ("changes", "blocked", "failed", "deadline"),
    [
        ({}, None, False, None),
        ({}, 500, False, 500 + 1800),
        ({}, 500, True, 500 + 60),
        ({"blocked_since": 100}, None, False, None),
        ({"terminated_at": 400}, None, False, 400 + 120 + 150 - 30),
        ({"deleted_at": 400}, None, False, 400 + 120 + 150 - 30),
        ({"stop": GONE, "upload_began": 400}, None, True, 400 + 30 + 150),
    ],
    ids=["no end", "refused", "refused after a failure", "only the artifacts", "ended", "deleted", "the job is gone"],
)
def test_the_last_pass_over_checkpoints_leaves_half_of_a_dying_pods_time_to_the_artifacts(
    changes: dict[str, Any], blocked: float | None, failed: bool, deadline: float | None
) -> None:
    seen = facts(**changes)
    assert checkpoint_deadline(seen, TIMING, blocked, 1800, failed=failed, budget=300) == deadline
    artifacts = upload_deadline(seen, TIMING, 1800, failed, 300)
    if deadline is not None and blocked is None:
        assert artifacts is not None
        assert deadline < artifacts


def test_a_stream_that_broke_off_has_training_ended_and_makes_the_job_a_failed_one() -> None:
    broken = StopOrder(reason=StopReason.INPUT_FAILED, message="why")
    decision = decide(facts(stop=broken), 101, TIMING, LIMIT)
    assert (decision.live, decision.stop) == (False, StopReason.INPUT_FAILED)
    ended = facts(stop=broken, ended=DONE)
    assert outcome(ended, decide(ended, 101, TIMING, LIMIT), failed_elsewhere=False) == "Failed"
