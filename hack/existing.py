"""A cluster that somebody else runs, through the current kubeconfig. It is only ever read from here."""

import os
import shutil
from pathlib import Path

from hack import shell
from hack.builder import Builder
from hack.console import Problem


class ExistingCluster:
    name = "existing"

    @property
    def kubeconfig(self) -> Path:
        given = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
        return Path(given) if given else Path.home() / ".kube" / "config"

    @property
    def kubectl(self) -> Path:
        return Path(shutil.which("kubectl") or "kubectl")

    def up(self) -> None:
        if not shell.succeeds(self.kubectl, "--kubeconfig", self.kubeconfig, "version"):
            raise Problem(
                f"no cluster answers through {self.kubeconfig}: set KUBECONFIG, or choose CLUSTER=kind|native"
            )

    def down(self) -> None:
        raise Problem("CLUSTER=existing: that cluster is not ours to take down")

    def status(self) -> str:
        return shell.output(self.kubectl, "--kubeconfig", self.kubeconfig, "get", "nodes").strip()

    def images(self) -> None:
        return None

    def load(self, ref: str, builder: Builder) -> None:  # noqa: ARG002
        raise Problem(f"CLUSTER=existing: push {ref} to a registry that the cluster reads from")

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        raise Problem(f"CLUSTER=existing: container {container} can get {signal} only on its node")

    def signal_apiserver(self, signal: str) -> None:
        raise Problem(f"CLUSTER=existing: its apiserver is not ours to send {signal}")
