"""A word of how slow a transfer is, and none of a fast one."""

from __future__ import annotations

import pytest

from trainyard.agent.core.pace import Pace


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (0, "less than 1 kB/s"),
        (999, "less than 1 kB/s"),
        (1000, "about 1 kB/s"),
        (9_999, "about 3 kB/s"),
        (99_999, "about 30 kB/s"),
        (100_000, None),
    ],
)
def test_only_what_is_slow_is_told_and_in_steps(rate: int, told: str | None) -> None:
    pace = Pace(30)
    pace.look(rate * 30, 30)
    assert pace.slow == told


def test_nothing_is_said_before_the_window_is_full() -> None:
    pace = Pace(30)
    pace.look(10, 29.9)
    assert pace.slow is None


def test_each_window_is_looked_at_by_itself() -> None:
    pace = Pace(30)
    pace.look(1_000_000_000, 30)
    assert pace.slow is None
    pace.look(1_000_000_000, 60)
    assert pace.slow == "less than 1 kB/s"
    pace.look(2_000_000_000, 90)
    assert pace.slow is None


def test_a_process_that_begins_anew_is_measured_from_its_beginning() -> None:
    pace = Pace(30)
    pace.look(1_000_000_000, 3000)
    pace.look(30_000, 30)
    assert pace.slow == "about 1 kB/s"
