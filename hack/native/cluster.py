"""Brings the native cluster up from whatever state it is in, and takes it down without a trace but its images."""

import functools
import os
import socket
from collections.abc import Callable
from pathlib import Path
from signal import Signals

from hack import builder, shell, tools
from hack.builder import Builder
from hack.console import Problem, say, step
from hack.imaging import Image
from hack.native import config, host, pki, probe
from hack.native.components import Components
from hack.native.containers import Runtime
from hack.native.layout import (
    CONTEXT,
    DNS_HEALTH_PORT,
    KUBELET_HEALTH_PORT,
    NAME,
    NODE_IP,
    PROXY_HEALTH_PORT,
    Layout,
    Ports,
)
from hack.native.process import BOOT, Daemon, Supervisor, stop

PAUSE = Image("pause", "hack/pause/Dockerfile", tools=("pause",))
MANIFEST = Path(__file__).with_name("cluster.yaml")
# containerd comes last: it is needed to clear up what the others leave.
WORKERS = ("kubelet", "kube-proxy", "coredns", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
NODE_HEALTH = {
    "kubelet": f"http://127.0.0.1:{KUBELET_HEALTH_PORT}/healthz",
    "kube-proxy": f"http://127.0.0.1:{PROXY_HEALTH_PORT}/healthz",
    "coredns": f"http://{NODE_IP}:{DNS_HEALTH_PORT}/health",
}


class NativeCluster:
    name = "native"
    context = CONTEXT

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout.default()
        self.supervisor = Supervisor(self.layout.run, self.layout.logs)
        self.runtime = Runtime(self.layout)
        self.health = self.layout.ports.health | NODE_HEALTH

    @property
    def kubeconfig(self) -> Path:
        return self.layout.kubeconfig

    @functools.cached_property
    def kubectl(self) -> Path:
        return tools.built(tools.KUBERNETES) / "kubectl"

    @functools.cached_property
    def components(self) -> Components:
        return Components(self.layout, tools.built(tools.KUBERNETES), tools.built(tools.COREDNS) / "coredns")

    # -- up

    def up(self) -> None:
        _require_root()
        self._require_alone()
        if self._from_earlier_boot():
            say("  the machine was restarted since: starting afresh")
            self._remove()
        fresh = not self.layout.etcd.exists()
        chosen = builder.choose()
        pause = PAUSE.ref(chosen)
        self._prepare(pause)
        self._start_runtime(fresh)
        self._load_pause(pause, chosen)
        self._start(self.components.etcd())
        for daemon in self.components.control_plane():
            self._start(daemon)
        self._apply_manifest()
        self._start(self.components.kubelet())
        # kube-proxy ends when the node's address turns up after it.
        self._await_node()
        self._start(self.components.proxy())
        self._start(self.components.dns())
        shell.write(self.kubeconfig, (self.layout.pki / "admin.kubeconfig").read_text(), 0o600)

    def _prepare(self, pause: str) -> None:
        if not self.layout.pki.exists():
            with shell.whole(self.layout.pki) as draft:
                pki.create(draft, self.layout.ports.api)
        shell.write(self.layout.state / "boot", BOOT.read_text())
        shell.write(self.layout.run / "owner", str(self.layout.state))
        config.write(self.layout, pause)
        host.make_cgroups()
        host.connect()

    def _start_runtime(self, fresh: bool) -> None:
        containerd = self.components.containerd()
        self._start(containerd, self.runtime.ready)
        if fresh and self.runtime.purge():
            # It has read the purged pods into memory when it started.
            self.supervisor.stop([containerd.name])
            self._start(containerd, self.runtime.ready)

    def _load_pause(self, ref: str, chosen: Builder) -> None:
        if ref not in self.runtime.images():
            PAUSE.ensure(chosen)
            self.load(ref, chosen)

    def _start(self, daemon: Daemon, ready: Callable[[], bool] | None = None) -> None:
        ready = ready or functools.partial(probe.answers, self.health[daemon.name])
        if self.supervisor.current(daemon):
            probe.wait(self.supervisor, daemon, ready)
            return
        self.supervisor.stop([daemon.name])
        _require_free(daemon.name, self.layout.ports)
        with step(f"starting {daemon.name}"):
            self.supervisor.start(daemon)
            probe.wait(self.supervisor, daemon, ready)

    def _apply_manifest(self) -> None:
        """Once per cluster: the marker is written after the objects are there."""
        manifest = MANIFEST.read_text()
        if not self._marker.exists() or self._marker.read_text() != manifest:
            self._kubectl("apply", "-f", str(MANIFEST))
            shell.write(self._marker, manifest)

    @property
    def _marker(self) -> Path:
        return self.layout.state / "manifest"

    def _await_node(self) -> None:
        """A kubelet is healthy before it has registered its node, and a wait for what is not there fails at once."""
        for condition in ("create", "condition=Ready"):
            self._kubectl("wait", f"--for={condition}", f"node/{NAME}", "--timeout=60s")

    def _kubectl(self, *arguments: str) -> str:
        return shell.output(self.kubectl, f"--kubeconfig={self.layout.pki}/admin.kubeconfig", *arguments)

    def _from_earlier_boot(self) -> bool:
        marker = self.layout.state / "boot"
        return marker.exists() and marker.read_text() != BOOT.read_text()

    def _require_alone(self) -> None:
        """Addresses, ports and control groups are there once: another cache must not take over a running cluster."""
        owner = self.layout.run / "owner"
        other = owner.exists() and owner.read_text() != str(self.layout.state)
        if other and any(self.supervisor.identity(name) for name in WORKERS):
            raise Problem(f"a native cluster of another cache runs ({owner.read_text()}): take it down first")

    # -- down

    def down(self) -> None:
        _require_root()
        self._require_alone()
        self._remove()

    def _remove(self) -> None:
        self.supervisor.stop(WORKERS, grace=0)
        host.remove_cgroups()
        if self.supervisor.identity("containerd") and self.runtime.ready():
            self.runtime.purge()
        self.supervisor.stop(["containerd"])
        stop(host.shims(self.layout), grace=0)
        # A second time: whatever a dying runtime still started.
        host.remove_cgroups()
        host.unmount(self.layout.state, self.layout.run)
        host.remove_strays(self.layout)
        host.disconnect()
        # First what says that etcd holds the manifest's objects: an interrupted removal must not leave the word without them.
        shell.discard(self._marker)
        if self.layout.state.exists():
            for entry in self.layout.state.iterdir():
                if entry != self.layout.containerd:
                    shell.discard(entry)
        shell.discard(self.layout.run)

    # -- what others need

    def status(self) -> str:
        lines = []
        for name in ("containerd", *reversed(WORKERS)):
            found = self.supervisor.identity(name)
            answers = self.runtime.ready() if name == "containerd" else probe.answers(self.health[name])
            state = f"pid {found.pid}{'' if answers else ', does not answer'}" if found else "not running"
            lines.append(f"{name:24} {state}")
        return "\n".join(lines)

    def images(self) -> set[str]:
        return self.runtime.images()

    def load(self, ref: str, builder: Builder) -> None:
        archive = self.layout.state / "load.tar"
        try:
            builder.save(ref, archive)
            self.runtime.load(archive)
        finally:
            archive.unlink(missing_ok=True)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        self.runtime.kill(container, signal)

    def signal_apiserver(self, signal: str) -> None:
        found = self.supervisor.identity("kube-apiserver")
        if found is None:
            raise Problem("no kube-apiserver runs here")
        found.signal(Signals[signal])


def _require_root() -> None:
    if os.geteuid() != 0:
        raise Problem("the native cluster needs root: run as root, or start a Docker engine and use CLUSTER=kind")


def _require_free(name: str, ports: Ports) -> None:
    for port in ports.by_component.get(name, ()):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError as error:
                raise Problem(f"{name} needs port {port}, which another process holds: {error}") from error
