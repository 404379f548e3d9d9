"""A control plane of its own, without one: what becomes of its processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hack.native.process import Identity
from tests.e2e.jobs import eventually

STARTS_AND_IS_KILLED = """
import os, signal, sys, time
from pathlib import Path
from hack.native.apart import ControlPlane
from hack.native.layout import Layout
from hack.native.process import Daemon, Supervisor

state = Path(sys.argv[1])
plane = ControlPlane(Layout(state), Supervisor(state, state), Path("/nonexistent"))
plane.start(Daemon("etcd", ("sleep", "300"), {"PATH": os.environ["PATH"]}))
# Until it is past the program that asks for this.
comm = Path(f"/proc/{plane.supervisor.identity('etcd').pid}/comm")
while comm.read_text().strip() != "sleep":
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_component_ends_with_what_started_it_even_if_that_is_killed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", STARTS_AND_IS_KILLED, str(tmp_path)], check=False, timeout=30)
    assert done.returncode == -9
    found = Identity.read(tmp_path / "etcd.pid")
    assert found is not None
    eventually("it has ended", lambda: not found.alive, within=10)
