"""The command lines of the cluster's components."""

import os
from dataclasses import dataclass
from pathlib import Path

from hack.native.layout import NAME, NODE_IP, SERVICE_NET, Layout
from hack.native.process import Daemon

OUTSIDE = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class Components:
    """Where the binaries are, and what each is told."""

    layout: Layout
    kubernetes: Path
    coredns: Path

    def containerd(self) -> Daemon:
        conf = self.layout.conf / "containerd.toml"
        # The only one that reaches registries: it alone keeps the proxies and certificates of the environment.
        outside = {name: value for name, value in os.environ.items() if name.upper() in OUTSIDE}
        return Daemon("containerd", ("/usr/bin/containerd", "--config", str(conf)), _clean() | outside, (conf,))

    def etcd(self) -> Daemon:
        pki, ports = self.layout.pki, self.layout.ports
        client, peer = f"https://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
        return self._part(
            "etcd",
            f"--name={NAME}",
            f"--data-dir={self.layout.etcd}",
            # A test cluster: losing it with the machine is fine, waiting for its disk is not.
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={NAME}={peer}",
            f"--listen-metrics-urls=http://127.0.0.1:{ports.etcd_metrics}",
            "--client-cert-auth",
            f"--trusted-ca-file={pki}/etcd-ca.crt",
            f"--cert-file={pki}/etcd.crt",
            f"--key-file={pki}/etcd.key",
            "--quota-backend-bytes=2147483648",
            "--auto-compaction-retention=10m",
            "--log-level=warn",
        )

    def apiserver(self) -> Daemon:
        pki = self.layout.pki
        return self._part(
            "kube-apiserver",
            f"--advertise-address={NODE_IP}",
            f"--secure-port={self.layout.ports.api}",
            f"--service-cluster-ip-range={SERVICE_NET}",
            f"--etcd-servers=https://127.0.0.1:{self.layout.ports.etcd}",
            f"--etcd-cafile={pki}/etcd-ca.crt",
            f"--etcd-certfile={pki}/apiserver-etcd.crt",
            f"--etcd-keyfile={pki}/apiserver-etcd.key",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki}/service-account.pub",
            f"--service-account-signing-key-file={pki}/service-account.key",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--profiling=false",
        )

    def controller_manager(self) -> Daemon:
        pki = self.layout.pki
        return self._part(
            "kube-controller-manager",
            f"--kubeconfig={pki}/controller-manager.kubeconfig",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.layout.ports.controllers}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={pki}/service-account.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--profiling=false",
        )

    def scheduler(self) -> Daemon:
        conf = self.layout.conf / "scheduler.yaml"
        return self._part(
            "kube-scheduler",
            f"--config={conf}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.layout.ports.scheduler}",
            reads=(conf,),
        )

    def kubelet(self) -> Daemon:
        conf = self.layout.conf / "kubelet.yaml"
        return self._part(
            "kubelet",
            f"--config={conf}",
            f"--kubeconfig={self.layout.pki}/kubelet.kubeconfig",
            f"--root-dir={self.layout.kubelet}",
            f"--hostname-override={NAME}",
            f"--node-ip={NODE_IP}",
            reads=(conf,),
        )

    def proxy(self) -> Daemon:
        conf = self.layout.conf / "proxy.yaml"
        return self._part("kube-proxy", f"--config={conf}", reads=(conf,))

    def dns(self) -> Daemon:
        conf = self.layout.conf / "Corefile"
        return Daemon("coredns", (str(self.coredns), "-conf", str(conf)), _clean(), (conf,))

    def control_plane(self) -> list[Daemon]:
        return [self.apiserver(), self.controller_manager(), self.scheduler()]

    def _part(self, name: str, *flags: str, reads: tuple[Path, ...] = ()) -> Daemon:
        return Daemon(name, (str(self.kubernetes / name), *flags), _clean(), (*reads, self.layout.pki / "ca.crt"))


def _clean() -> dict[str, str]:
    """The same for every start, whoever starts it: no proxy, no locale, no session."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
