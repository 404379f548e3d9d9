"""Only a process that we started is ever taken for ours."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hack.native.process import Daemon, Identity, Supervisor, started

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def stranger() -> Iterator[int]:
    process = subprocess.Popen(SLEEP)
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path / "run", tmp_path / "logs")


@pytest.mark.parametrize("change", [{"start": 1}, {"boot": "an earlier one"}])
def test_a_reused_pid_is_not_signalled(stranger: int, change: dict) -> None:
    recorded = replace(Identity.of(stranger), **change)
    assert not recorded.alive
    assert recorded.signal(signal.SIGKILL)
    assert started(stranger)


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert started(process.pid) is None
    process.wait()


@pytest.mark.parametrize(
    "content", ["", "12", "{}", '{"pid": 1}', '{"pid": 1, "start": 2, "boot": "x", "key": "y", "z": 0}']
)
def test_a_damaged_record_is_no_record(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.pid"
    path.write_text(content)
    assert Identity.read(path) is None


def test_a_daemon_starts_once_restarts_on_change_and_stops(supervisor: Supervisor) -> None:
    daemon = Daemon("sleeper", SLEEP)
    try:
        assert supervisor.start(daemon)
        first = supervisor.identity("sleeper")
        assert first
        assert os.getsid(first.pid) == first.pid
        assert not supervisor.start(daemon)

        assert supervisor.start(replace(daemon, env={"NEW": "1"}))
        assert not first.alive
    finally:
        began = time.monotonic()
        supervisor.stop(["sleeper"])
    assert supervisor.identity("sleeper") is None
    assert time.monotonic() - began < 4
