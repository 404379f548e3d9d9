"""Where everything is. The defaults are the pod's; tests put all of it elsewhere."""

from __future__ import annotations

import argparse
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainyard.agent.timing import Timing
from trainyard.api import names
from trainyard.api.plan import ChannelPlan

SEEN_AS = {"model": "/opt/ml/model", "output": "/opt/ml/output/data"}
"""What is archived: the tree's name, and its path in the training container."""


@dataclass(frozen=True)
class Settings:
    host: str
    ml: Path = Path(names.ML_DIR)
    state: Path = Path(names.STATE_DIR)
    plan: Path = Path(names.PLAN_FILE)
    podinfo: Path = Path(names.PODINFO_DIR)
    credentials: Path = Path(names.CREDENTIALS_DIR)
    identity: Path = Path(names.IDENTITY_DIR)
    volumes: Path = Path(names.VOLUMES_DIR)
    termination_log: Path = Path("/dev/termination-log")
    fetcher: Path = Path(names.S3FETCH)
    """The program that brings the bulk of the input."""
    bind: str = ""
    """One address to listen on; empty: all, IPv4 and IPv6."""
    port: int = names.AGENT_PORT
    memory: int = 200 * 1024 * 1024
    """Data segment of the upload process in bytes, below the container's limit together with the supervisor."""
    timing: Timing = field(default_factory=Timing)

    # The state directory: `stage` and `sidecar` share it, `hold` waits for one file of it, training never sees it.
    @property
    def release(self) -> Path:
        return self.state / Path(names.RELEASE_FILE).name

    @property
    def stage_progress(self) -> Path:
        return self.state / "stage.json"

    @property
    def facts(self) -> Path:
        return self.state / "facts.json"

    @property
    def barrier(self) -> Path:
        return self.state / "barrier.json"

    @property
    def report(self) -> Path:
        return self.state / "report.json"

    @property
    def uploads(self) -> Path:
        return self.state / "uploads.json"

    @property
    def checkpoints(self) -> Path:
        """The directory that is mirrored; where training sees it is in the plan."""
        return self.ml / "checkpoints"

    @property
    def ledger(self) -> Path:
        """Which checkpoints are in S3: begun by `stage`, kept by `sidecar`."""
        return self.state / "checkpoints.db"

    @property
    def checkpoint_uploads(self) -> Path:
        return self.state / "checkpoint-uploads.json"

    def sent(self, uri: str) -> Path:
        """What this attempt has written below a URI."""
        return self.state / f"sent-{zlib.crc32(uri.encode()):08x}.db"

    @property
    def scratch(self) -> Path:
        return self.state / "tmp"

    @property
    def placed(self) -> Path:
        """Which objects are files already."""
        return self.state / "placed"

    @property
    def pipes(self) -> Path:
        """What Pipe channels stream, and how far they are."""
        return self.state / "pipes"

    def fifo(self, channel: ChannelPlan, epoch: int) -> Path:
        return self.ml / "input/data" / f"{channel.name}_{epoch}"

    @property
    def staging(self) -> Path:
        """Files on their way: on the channels' volume, outside of every channel."""
        return self.ml / ".trainyard-staging"

    def tree(self, name: str) -> Path:
        """`model` or `output`: what is archived under that name."""
        return self.ml / ("model" if name == "model" else "output/data")

    def arguments(self) -> list[str]:
        """The command line that gives a helper process these settings."""
        return [
            f"--host={self.host}", f"--ml={self.ml}", f"--state={self.state}", f"--plan={self.plan}",
            f"--podinfo={self.podinfo}", f"--credentials={self.credentials}", f"--bind={self.bind}", f"--port={self.port}",
            f"--termination-log={self.termination_log}", f"--identity={self.identity}", f"--volumes={self.volumes}",
            f"--memory={self.memory}", f"--fetcher={self.fetcher}", f"--timing={self.timing.to_json()}",
        ]  # fmt: skip


def from_arguments(arguments: Sequence[str]) -> tuple[Settings, list[str]]:
    """The settings, and the arguments that are none of them."""
    parser = argparse.ArgumentParser(prog="trainyard-agent", allow_abbrev=False)
    default = Settings(os.environ.get(names.ENV_HOST, "algo-1"))
    parser.add_argument("--host", default=default.host)
    for name in ("ml", "state", "plan", "podinfo", "credentials", "identity", "volumes", "termination_log", "fetcher"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, default=getattr(default, name))
    parser.add_argument("--bind", default=default.bind)
    parser.add_argument("--port", type=int, default=default.port)
    parser.add_argument("--memory", type=int, default=default.memory)
    parser.add_argument("--timing", type=Timing.from_json, default=default.timing)
    known, rest = parser.parse_known_args(arguments)
    return Settings(**vars(known)), rest
