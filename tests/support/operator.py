"""The operator as a process outside the cluster, for tests that start, kill and measure it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from hack import ports
from tests.e2e.jobs import eventually

REPO = Path(__file__).resolve().parents[2]
WRITES = re.compile(
    r'^trainyard_api_requests_total\{code="(\d+)",resource="(\w+)",verb="(POST|PUT|PATCH|DELETE)"\} (\S+)', re.MULTILINE
)

PROGRAM = """
import runpy
{prelude}
runpy.run_module("trainyard.controller", run_name="__main__", alter_sys=True)
"""


def ahead(seconds: int) -> str:
    """A prelude: the clock that decisions are made by is so much ahead."""
    return f"""
from datetime import timedelta
from trainyard.controller.app import main
truth = main._utc
main._utc = lambda: truth() + timedelta(seconds={seconds})
"""


@dataclass
class OperatorProcess:
    """`python -m trainyard.controller`, watching one namespace, which also holds its Lease.

    `prelude` is Python that the process runs first: a clock that is ahead, a death at a certain request.
    """

    kubeconfig: str
    namespace: str
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    prelude: str = ""
    process: subprocess.Popen[bytes] | None = None
    health: int = 0
    metrics: int = 0

    def start(self, *, ready: bool = True) -> None:
        self.health, self.metrics = ports.several(2)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")},
            "KUBECONFIG": self.kubeconfig,
            "PYTHONPATH": str(REPO / "operator"),
            "TRAINYARD_AGENT_IMAGE": "localhost/trainyard/agent:test",
            "TRAINYARD_NAMESPACE": self.namespace,
            "TRAINYARD_WATCH_NAMESPACES": self.namespace,
            "TRAINYARD_HEALTH_PORT": str(self.health),
            "TRAINYARD_METRICS_PORT": str(self.metrics),
            "TRAINYARD_RESYNC_SECONDS": "5",
            "TRAINYARD_REFERENCE_TIMEOUT_SECONDS": "4",
            "TRAINYARD_LEASE_DURATION_SECONDS": "4",
            "TRAINYARD_LEASE_RENEW_SECONDS": "3",
            "TRAINYARD_LEASE_RETRY_SECONDS": "1",
            "TRAINYARD_LOG_FORMAT": "text",
            **self.settings,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM.format(prelude=self.prelude)], env=environment, stderr=log, stdout=log
            )
        if ready:
            try:
                eventually("the operator is ready", lambda: self.readiness() == "leader", within=60, every=0.1)
            except AssertionError:
                self.kill()  # its owner has it only once it is ready
                raise

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return 0 if process is None else process.returncode
        process.send_signal(number)
        return process.wait(timeout=20)

    def _get(self, port: int, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            return ""

    def readiness(self) -> str:
        return self._get(self.health, "/readyz").strip()

    def liveness(self) -> str:
        return self._get(self.health, "/healthz").strip()

    def metric(self, name: str) -> float:
        """A metric without labels; 0 of an operator that does not answer. A name that is not exported must not pass for a 0."""
        page = self._get(self.metrics, "/metrics")
        found = re.search(rf"^{name} (\S+)", page, re.MULTILINE)
        assert found or not page, f"no metric {name}"
        return float(found.group(1)) if found else 0.0

    def writes(self) -> dict[str, float]:
        """`VERB resource` -> requests so far, without those for the Lease."""
        found: dict[str, float] = {}
        for _code, resource, verb, count in WRITES.findall(self._get(self.metrics, "/metrics")):
            if resource != "leases":
                found[f"{verb} {resource}"] = found.get(f"{verb} {resource}", 0) + float(count)
        return found

    def resident_mebibytes(self) -> float:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024
