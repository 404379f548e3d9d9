"""Names, addresses, ports and paths of the native cluster. Everything of it lies below two directories."""

from dataclasses import dataclass
from pathlib import Path

from hack.paths import cache

NAME = "trainyard"
CONTEXT = "trainyard-native"

# Addresses of our own, so that a change of the machine's network does not move the cluster.
DEVICE = "trainyard0"
NODE_IP = "10.201.0.1"
POD_NET = "10.201.0.0/16"
SERVICE_NET = "10.202.0.0/16"
SERVICE_IP = "10.202.0.1"
CLUSTER_DOMAIN = "cluster.local"

PROXY_HEALTH_PORT = 16256
PROXY_METRICS_PORT = 16249
KUBELET_PORT = 16250
KUBELET_HEALTH_PORT = 16248
DNS_HEALTH_PORT = 16253

CGROUP = NAME
CNI_BIN = Path("/usr/lib/cni")


@dataclass(frozen=True)
class Ports:
    """Of the control plane, all on 127.0.0.1: a second one beside the cluster has others."""

    api: int = 16443
    etcd: int = 16379
    etcd_peer: int = 16380
    etcd_metrics: int = 16381
    controllers: int = 16257
    scheduler: int = 16259

    @property
    def by_component(self) -> dict[str, tuple[int, ...]]:
        return {
            "etcd": (self.etcd, self.etcd_peer, self.etcd_metrics),
            "kube-apiserver": (self.api,),
            "kube-controller-manager": (self.controllers,),
            "kube-scheduler": (self.scheduler,),
        }

    @property
    def health(self) -> dict[str, str]:
        """Where each component tells whether it is ready."""
        return {
            "etcd": f"http://127.0.0.1:{self.etcd_metrics}/health",
            "kube-apiserver": f"https://127.0.0.1:{self.api}/readyz",
            "kube-controller-manager": f"https://127.0.0.1:{self.controllers}/healthz",
            "kube-scheduler": f"https://127.0.0.1:{self.scheduler}/healthz",
        }


@dataclass(frozen=True)
class Layout:
    """`state` survives a reboot, `run` need not: it holds what only means something while processes live."""

    state: Path
    run: Path = Path("/run/trainyard")
    ports: Ports = Ports()

    @classmethod
    def default(cls) -> "Layout":
        return cls(cache() / "native")

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def conf(self) -> Path:
        return self.state / "conf"

    @property
    def etcd(self) -> Path:
        return self.state / "etcd"

    @property
    def kubelet(self) -> Path:
        return self.state / "kubelet"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pod_logs(self) -> Path:
        return self.state / "pod-logs"

    @property
    def containerd(self) -> Path:
        """Images and their unpacked layers: kept when the cluster goes down, as they are slow to make again."""
        return self.state / "containerd"

    @property
    def containerd_run(self) -> Path:
        return self.run / "containerd"

    @property
    def socket(self) -> Path:
        return self.containerd_run / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"
