"""What the cluster puts into the machine's kernel - device, rules, control groups, mounts - and takes out again."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hack import shell
from hack.console import Problem
from hack.native.layout import CGROUP, DEVICE, NAME, NODE_IP, POD_NET, SERVICE_NET, Layout
from hack.native.process import Identity, started

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
RULES = f"""\
table ip trainyard
delete table ip trainyard
table ip trainyard {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {POD_NET} ip daddr != {POD_NET} masquerade
  }}
}}
"""
# kube-proxy makes its own tables and leaves them when it ends.
TABLES = ("ip trainyard", "ip kube-proxy", "ip6 kube-proxy")


def connect() -> None:
    """The node's address on a device without ports, and the way out for pods."""
    shell.succeeds("ip", "link", "add", DEVICE, "type", "bridge")
    shell.run("ip", "address", "replace", f"{NODE_IP}/32", "dev", DEVICE)
    shell.run("ip", "link", "set", DEVICE, "up")
    # Without it a machine that is off line has no route at all to a Service.
    shell.run("ip", "route", "replace", SERVICE_NET, "dev", DEVICE, "src", NODE_IP)
    if FORWARD.read_text().strip() != "1":
        FORWARD.write_text("1")
    shell.output("nft", "-f", "-", stdin=RULES)


def disconnect() -> None:
    """The pods' own links have gone with their network namespaces."""
    shell.succeeds("ip", "link", "delete", DEVICE)
    for table in TABLES:
        shell.succeeds("nft", "delete", "table", *table.split())


def hierarchies() -> list[Path]:
    """Where control groups are mounted: one place for v2, one per controller for v1."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(fields[1]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def make_cgroups() -> None:
    for hierarchy in hierarchies():
        try:
            (hierarchy / CGROUP).mkdir(exist_ok=True)
        except OSError as error:
            raise Problem(f"the native cluster must create control groups: {error}") from error
        with suppress(OSError):
            (hierarchy / "cgroup.subtree_control").write_text("+cpu +cpuset +memory +pids")


def remove_cgroups() -> None:
    """End every process in the cluster's control groups, then the groups."""
    for hierarchy in hierarchies():
        root = hierarchy / CGROUP
        deadline = time.monotonic() + 10
        while root.exists() and time.monotonic() < deadline:
            for directory, _, _ in os.walk(root, topdown=False):
                _kill_members(Path(directory) / "cgroup.procs")
                with suppress(OSError):
                    Path(directory).rmdir()
            if root.exists():
                time.sleep(0.02)


def _kill_members(procs: Path) -> None:
    with suppress(OSError):
        for pid in map(int, procs.read_text().split()):
            # A member of our control group is ours; 0 stands for a process of another pid namespace.
            if pid > 0 and started(pid) is not None:
                os.kill(pid, signal.SIGKILL)


def shims(layout: Layout) -> Iterator[Identity]:
    """containerd's helpers, one per pod: they outlive it and know it by its socket."""
    ours = str(layout.socket).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if arguments[0].endswith(b"containerd-shim-runc-v2") and ours in arguments:
                yield Identity.of(int(entry.name))


def unmount(*below: Path) -> None:
    """Everything mounted below these directories, deepest first."""
    prefixes = tuple(f"{path}/" for path in below)
    mounts = [_decoded(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    for target in sorted((m for m in mounts if m.startswith(prefixes)), key=len, reverse=True):
        shell.succeeds("umount", "--lazy", target)


def _decoded(path: str) -> str:
    """/proc/self/mounts writes blanks and the like as octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def remove_strays(layout: Layout) -> None:
    """Files that the kubelet and containerd put where no setting reaches."""
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(layout.pod_logs):
            link.unlink()
    # What network plugins answered: the pods are known from our network's name, loopback's has the same for everyone.
    results = Path("/var/lib/cni/results")
    for ours in results.glob(f"{NAME}-*-eth0"):
        pod = ours.name.removeprefix(f"{NAME}-").removesuffix("-eth0")
        (results / f"cni-loopback-{pod}-lo").unlink(missing_ok=True)
        ours.unlink()
