"""The agent's clock knows when a process began."""

from __future__ import annotations

import subprocess
import sys

from trainyard.agent.adapters import clock

SLOW = "import time; time.sleep(1); from trainyard.agent.adapters import clock; print(clock.began(), clock.now())"


def test_a_process_began_before_all_that_it_does() -> None:
    before = clock.now()
    told = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True, check=True).stdout
    began, later = map(float, told.split())
    tick = 0.02
    assert before - tick <= began <= later - 1


def test_a_start_that_lies_too_far_back_is_not_believed() -> None:
    began = (
        "from trainyard.agent.adapters import clock; clock.LONGEST_START_SECONDS = 0;"
        "print(clock.now(), clock.began(), clock.now())"
    )
    told = subprocess.run([sys.executable, "-c", began], capture_output=True, text=True, check=True).stdout
    before, start, after = map(float, told.split())
    assert before <= start <= after
