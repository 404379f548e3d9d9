"""The configuration files of the cluster's components."""

import json
from pathlib import Path
from typing import Any

import yaml

from hack import shell
from hack.native.layout import (
    CGROUP,
    CLUSTER_DOMAIN,
    CNI_BIN,
    DNS_HEALTH_PORT,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    NAME,
    NODE_IP,
    POD_NET,
    PROXY_HEALTH_PORT,
    PROXY_METRICS_PORT,
    Layout,
)

CAP_SYS_RESOURCE = 1 << 24

CONTAINERD = """\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = {restrict}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_bin}"
    conf_dir = "{cni_conf}"
"""

COREFILE = """\
{domain} in-addr.arpa ip6.arpa {{
    bind {address}
    errors
    kubernetes {domain} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }}
    {upstream}
}}
. {{
    bind {address}
    health {address}:{health}
    errors
    {upstream}
    cache 30
}}
"""


def write(layout: Layout, pause: str) -> None:
    """Write them all; a component whose file changed is restarted by its key."""
    conf = layout.conf
    shell.write(conf / "containerd.toml", containerd(layout, pause))
    shell.write(conf / "cni" / "10-trainyard.conflist", json.dumps(cni(layout), indent=2))
    shell.write(conf / "resolv.conf", "")
    shell.write(conf / "scheduler.yaml", yaml.safe_dump(scheduler(layout)))
    shell.write(conf / "kubelet.yaml", yaml.safe_dump(kubelet(layout)))
    shell.write(conf / "proxy.yaml", yaml.safe_dump(proxy(layout)))
    shell.write(conf / "Corefile", corefile(layout))


def containerd(layout: Layout, pause: str) -> str:
    return CONTAINERD.format(
        root=layout.containerd,
        state=layout.containerd_run,
        socket=layout.socket,
        pause=pause,
        restrict="false" if may_lower_oom_score() else "true",
        cni_bin=CNI_BIN,
        cni_conf=layout.conf / "cni",
    )


def may_lower_oom_score(status: Path = Path("/proc/self/status")) -> bool:
    """Without this capability runc dies on the scores that the kubelet asks for; containerd can cap them."""
    effective = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) & CAP_SYS_RESOURCE)


def cni(layout: Layout) -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "dataDir": str(layout.run / "addresses"),
        "ranges": [[{"subnet": POD_NET, "gateway": NODE_IP}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    # Point-to-point links: every packet is routed, so Services work without bridge netfilter in the kernel.
    return {"cniVersion": "0.4.0", "name": NAME, "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}]}


def scheduler(layout: Layout) -> dict[str, Any]:
    connection = {"kubeconfig": str(layout.pki / "scheduler.kubeconfig"), "qps": 200, "burst": 400}
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": connection,
    }


def kubelet(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_IP,
        "port": KUBELET_PORT,
        "healthzPort": KUBELET_HEALTH_PORT,
        "tlsCertFile": str(layout.pki / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "kubelet-server.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{layout.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [NODE_IP],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(layout.conf / "resolv.conf"),
        "podLogsDir": str(layout.pod_logs),
        "volumePluginDir": str(layout.kubelet / "volume-plugins"),
        "makeIPTablesUtilChains": False,
        "maxPods": 110,
        # Fast starts of many pods at once: no queue for images, no client-side waiting for the API.
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 200,
        "eventBurst": 400,
        # Images built here exist nowhere else: never collected; the node uses the machine's disk to the last.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # How full volumes are, looked at more often than each minute: a job that fills its own ends that much sooner.
        "volumeStatsAggPeriod": "10s",
        "localStorageCapacityIsolation": True,
    }


def proxy(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NAME,
        "bindAddress": NODE_IP,
        "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": f"127.0.0.1:{PROXY_METRICS_PORT}",
        "clusterCIDR": POD_NET,
        "clientConnection": {"kubeconfig": str(layout.pki / "proxy.kubeconfig")},
        "conntrack": {"maxPerCore": 0},
        "nftables": {"minSyncPeriod": "100ms"},
    }


def corefile(layout: Layout) -> str:
    """Names of the cluster, and whatever the machine itself resolves."""
    known = any(line.startswith("nameserver") for line in Path("/etc/resolv.conf").read_text().splitlines())
    return COREFILE.format(
        domain=CLUSTER_DOMAIN,
        address=NODE_IP,
        health=DNS_HEALTH_PORT,
        kubeconfig=layout.pki / "dns.kubeconfig",
        upstream="forward . /etc/resolv.conf" if known else "",
    )
