"""Everything the local set-up downloads or builds, by version. A change here rebuilds exactly what it names."""

UV = "0.13.9"
KUBERNETES = "1.37.2"
COREDNS = "1.15.0"
HELM = "4.3.1"
VERSITYGW = "1.8.0"
KWOK = "0.8.0"
RCLONE = "1.76.0"  # as hack/rclone/go.mod has it
S5CMD = "2.3.0"  # as hack/s5cmd/go.mod has it

# kind lane: a kind release and the node image published with it.
KIND = "0.33.0"
KUBECTL = "1.37.0"
KIND_NODE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"

# What the native lane takes from Debian: package -> a file that proves it is there.
DEBIAN = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "buildah": "/usr/bin/buildah",
    "nftables": "/usr/sbin/nft",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "iproute2": "/usr/sbin/ip",
}
BASE_SUITE = "trixie"
