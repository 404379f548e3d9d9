"""A control plane of its own without nodes, beside the cluster or where there is none: for what needs an apiserver and no kubelet."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import yaml

from hack import ports, shell, tools
from hack.native import config, pki, probe
from hack.native.components import Components
from hack.native.layout import Layout, Ports
from hack.native.process import Daemon, Supervisor

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True)
class ControlPlane:
    layout: Layout
    supervisor: Supervisor
    kubectl: Path

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.layout.pki / f"{user}.kubeconfig"

    def start(self, daemon: Daemon) -> None:
        """It ends with us, however we end."""
        self.supervisor.start(replace(daemon, argv=("setpriv", "--pdeathsig", "KILL", "--", *daemon.argv)))


@contextmanager
def scratch() -> Iterator[Layout]:
    """A directory and ports that nobody else has; gone at the end."""
    state = Path(tempfile.mkdtemp(prefix="trainyard-plane-"))
    try:
        yield Layout(state, state / "run", Ports(*ports.several(6)))
    finally:
        shutil.rmtree(state, ignore_errors=True)


@contextmanager
def started(
    layout: Layout,
    users: Mapping[str, tuple[str, str]] = pki.USERS,
    flags: Mapping[str, tuple[str, ...]] | None = None,
    connection: Mapping[str, int] | None = None,
) -> Iterator[ControlPlane]:
    """All components answer; `flags` are further ones by component, `connection` is the scheduler's."""
    kubernetes = tools.built(tools.KUBERNETES)
    plane = ControlPlane(layout, Supervisor(layout.run, layout.logs), kubernetes / "kubectl")
    pki.create(layout.pki, layout.ports.api, users)
    scheduler = config.scheduler(layout)
    scheduler["clientConnection"] |= connection or {}
    shell.write(layout.conf / "scheduler.yaml", yaml.safe_dump(scheduler))
    parts = Components(layout, kubernetes, Path("/nonexistent"))
    try:
        for daemon in (parts.etcd(), *parts.control_plane()):
            # Of a flag that is given twice the last one counts.
            plane.start(replace(daemon, argv=(*daemon.argv, *(flags or {}).get(daemon.name, ()))))
            probe.wait(plane.supervisor, daemon, partial(probe.answers, layout.ports.health[daemon.name]))
        yield plane
    finally:
        plane.supervisor.stop(reversed(COMPONENTS), grace=3)
