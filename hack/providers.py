"""Which cluster the work runs on: kind where a Docker engine answers, plain processes elsewhere, or the user's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hack import choice
from hack.builder import Builder
from hack.console import Problem
from hack.existing import ExistingCluster
from hack.kind import KindProvider
from hack.native.cluster import NativeCluster


class Provider(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def kubeconfig(self) -> Path: ...

    @property
    def kubectl(self) -> Path:
        """A client of the cluster's own version."""

    def up(self) -> None: ...

    def down(self) -> None: ...

    def status(self) -> str: ...

    def images(self) -> set[str] | None:
        """What the cluster's node holds; None where nothing can be loaded."""

    def load(self, ref: str, builder: Builder) -> None: ...

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """A signal to all processes of a container, by its id."""

    def signal_apiserver(self, signal: str) -> None:
        """SIGSTOP: the apiserver hangs, until SIGCONT."""


PROVIDERS: dict[str, Callable[[], Provider]] = {
    "kind": KindProvider,
    "native": NativeCluster,
    "existing": ExistingCluster,
}


def choose(wanted: str | None = None) -> Provider:
    """The provider that CLUSTER names, or the one that fits this machine."""
    wanted = wanted or choice.provider()
    if wanted not in PROVIDERS:
        raise Problem(f"CLUSTER={wanted}: choose {', '.join(PROVIDERS)}")
    return PROVIDERS[wanted]()
