"""A kind cluster, for machines with a Docker engine; driven through pytest-kind with versions of our own."""

import contextlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from hack import shell, tools, versions
from hack.builder import Builder
from hack.paths import cache

NAME = "trainyard"
CONTEXT = f"kind-{NAME}"


class KindProvider:
    name = "kind"
    context = CONTEXT

    @property
    def directory(self) -> Path:
        path = cache() / "kind"
        path.mkdir(exist_ok=True)
        return path

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        return self.directory / f"kubectl-{versions.KUBECTL}"

    @cached_property
    def cluster(self) -> Any:
        # When it is imported, pytest-kind reads which version to download.
        os.environ["KUBECTL_VERSION"] = f"v{versions.KUBECTL}"
        from pytest_kind.cluster import KindCluster  # noqa: PLC0415

        # It makes a directory for files that we place ourselves, below where it is called.
        with contextlib.chdir(self.directory):
            return KindCluster(
                NAME,
                kubeconfig=self.kubeconfig,
                image=versions.KIND_NODE,
                kind_path=tools.KIND.binary,
                kubectl_path=self.kubectl,
            )

    def up(self) -> None:
        self.cluster.create()
        self.cluster.ensure_kubectl()
        # Also right after a restart of the machine or of Docker, when kind's container comes back by itself.
        self.cluster.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s")

    def down(self) -> None:
        self.cluster.delete()

    def status(self) -> str:
        return str(self.cluster.kubectl("get", "nodes")).strip()

    def images(self) -> set[str]:
        node = f"{NAME}-control-plane"
        return set(shell.output("docker", "exec", node, "ctr", "-n", "k8s.io", "images", "ls", "-q").split())

    def load(self, ref: str, builder: Builder) -> None:  # noqa: ARG002
        self.cluster.load_docker_image(ref)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        self._on_node("ctr", "-n", "k8s.io", "tasks", "kill", "--all", "--signal", signal, container)

    def signal_apiserver(self, signal: str) -> None:
        self._on_node("pkill", f"-{signal}", "kube-apiserver")

    def _on_node(self, *command: str) -> None:
        shell.run("docker", "exec", f"{NAME}-control-plane", *command)
