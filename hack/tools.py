"""Programs built from their Go modules, once per version, into the cache."""

import functools
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack import shell, versions
from hack.console import Problem, step
from hack.paths import REPO, cache

STATIC = {"CGO_ENABLED": "0"}
MOTO_LOCK = REPO / "requirements" / "moto.txt"
PEERS_LOCK = REPO / "requirements" / "peers.txt"
TOOLKIT_LOCK = REPO / "requirements" / "toolkit.txt"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")


@dataclass(frozen=True)
class Tool:
    """`build` fills a directory that gets its final name only when it is complete."""

    name: str
    key: str
    build: Callable[[Path], None]
    expect: str = ""

    @property
    def directory(self) -> Path:
        return cache() / "tools" / f"{self.name}-{self.key}"

    @property
    def binary(self) -> Path:
        return built(self) / self.name


def built(tool: Tool) -> Path:
    if not tool.directory.exists():
        raise Problem(f"{tool.name} is not built yet: run `make setup`")
    return tool.directory


def ensure(tool: Tool) -> None:
    if not tool.directory.exists():
        require_go()
        with step(f"building {tool.name} {tool.key}", tool.expect), shell.whole(tool.directory) as draft:
            draft.mkdir(parents=True)
            tool.build(draft)


def _installed(package: str, version: str) -> Callable[[Path], None]:
    def build(directory: Path) -> None:
        environment = STATIC | {"GOBIN": str(directory)}
        shell.run("go", "install", "-trimpath", "-ldflags=-s -w", f"{package}@v{version}", env=environment)

    return build


def uv() -> Path:
    """The installer of Python packages, of the version that wrote the locks."""
    directory = cache() / "tools" / f"uv-{versions.UV}"
    if not directory.exists():
        # Not through a draft that is renamed: a virtual environment knows its own place. The program comes last.
        draft = directory.with_name(f"{directory.name}-environment")
        shell.run(sys.executable, "-m", "venv", draft)
        shell.run(draft / "bin" / "python", "-m", "pip", "install", "--quiet", f"uv=={versions.UV}")
        with shell.whole(directory) as complete:
            complete.mkdir()
            shutil.copy2(draft / "bin" / "uv", complete)
        shutil.rmtree(draft)
    return directory / "uv"


def _source_key(directory: Path, prefix: str = "") -> str:
    content = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(directory.glob("*"))))
    return f"{prefix}{content.hexdigest()[:8]}"


def _kubernetes(directory: Path) -> None:
    version = "k8s.io/component-base/version"
    major, minor, _ = versions.KUBERNETES.split(".")
    stamp = (
        f"-X {version}.gitVersion=v{versions.KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    )
    binary = directory / "kubernetes"
    source = REPO / "hack" / "kubernetes"
    shell.run("go", "build", "-trimpath", f"-ldflags=-s -w {stamp}", "-o", binary, ".", cwd=source, env=STATIC)
    for name in COMPONENTS:
        (directory / name).symlink_to("kubernetes")


def _ours(name: str, expect: str = "", *, version: str = "", package: str = ".", folder: str = "hack") -> Tool:
    """A program of this repository, or one that its module there names: built anew when its source has changed."""
    source = REPO / folder / name

    def build(directory: Path) -> None:
        shell.run("go", "build", "-trimpath", "-ldflags=-s -w", "-o", directory / name, package, cwd=source, env=STATIC)

    return Tool(name, _source_key(source, f"{version}-" if version else ""), build, expect)


def _packages(name: str, lock: Path, expect: str) -> Tool:
    """A directory for PYTHONPATH: its packages are none of the project's."""

    def build(directory: Path) -> None:
        python = ("--python", sys.executable)
        shell.run(uv(), "pip", "install", "--quiet", *python, "--require-hashes", "--target", directory, "-r", lock)

    return Tool(name, hashlib.sha256(lock.read_bytes()).hexdigest()[:8], build, expect)


KUBERNETES = Tool(
    "kubernetes",
    _source_key(REPO / "hack" / "kubernetes", f"{versions.KUBERNETES}-"),
    _kubernetes,
    "10 minutes with two cores, once per machine",
)
COREDNS = Tool("coredns", versions.COREDNS, _installed("github.com/coredns/coredns", versions.COREDNS), "1 minute")
HELM = Tool("helm", versions.HELM, _installed("helm.sh/helm/v4/cmd/helm", versions.HELM), "3 minutes")
VERSITYGW = Tool(
    "versitygw",
    versions.VERSITYGW,
    _installed("github.com/versity/versitygw/cmd/versitygw", versions.VERSITYGW),
    "1 minute",
)
RCLONE = _ours("rclone", "2 minutes", version=versions.RCLONE)
MOTO = _packages("moto", MOTO_LOCK, "20 seconds")
PAUSE = _ours("pause")
# Only for tests: the algorithms by which kstatus, Flux and Argo CD read a status.
HEALTH = _ours("health", "1 minute")
KIND = Tool("kind", versions.KIND, _installed("sigs.k8s.io/kind", versions.KIND), "1 minute")
# Only for the benchmark of the controller, which asks for it itself.
KWOK = Tool("kwok", versions.KWOK, _installed("sigs.k8s.io/kwok/cmd/kwok", versions.KWOK), "2 minutes")
# What the benchmarks of the data's way are measured beside, RCLONE among them, and a server that is not the limit.
S5CMD = _ours("s5cmd", "1 minute", version=versions.S5CMD, package="github.com/peak/s5cmd/v2")
AWSCLI = _packages("awscli", PEERS_LOCK, "20 seconds")
QUICKS3 = _ours("quicks3")
# AWS's training toolkit, with its 28 packages and a compiler of C: only for the long test that runs it, which asks for it itself.
TOOLKIT = _packages("sagemaker-training", TOOLKIT_LOCK, "1 minute")
# A part of the agent, for those tests of it that need no image.
S3FETCH = _ours("s3fetch", folder="operator")
# RCLONE and MOTO are S3 servers other than the one that everything else is tested with: `trainyard doctor s3` tells them apart.
EVERYWHERE = (HELM, VERSITYGW, HEALTH, RCLONE, MOTO, S5CMD, AWSCLI, QUICKS3, S3FETCH)
NEEDED = {"native": (KUBERNETES, PAUSE, COREDNS, *EVERYWHERE), "kind": (KIND, *EVERYWHERE)}


@functools.cache
def require_go() -> None:
    """The toolchain that go.mod asks for; Go says itself when it is too old and may not fetch a newer one."""
    if not shutil.which("go", path=os.environ.get("PATH")):
        raise Problem("Go is missing: install it from https://go.dev/dl (go.mod in hack/kubernetes names the version)")
    shell.run("go", "env", "GOVERSION", cwd=REPO / "hack" / "kubernetes")
