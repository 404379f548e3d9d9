"""Container image builds, by a Docker engine where one answers, else by buildah without any daemon."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from hack import base, choice, shell

REGISTRY_BASE = "python:3.13-slim"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# What a build may need to know of the machine's way to its package index.
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout", "retries")


class Builder(Protocol):
    @property
    def base(self) -> str:
        """What `ARG BASE` stands for here."""

    def has(self, ref: str) -> bool: ...

    def build(self, ref: str, dockerfile: Path, context: Path, target: str = "") -> None: ...

    def save(self, ref: str, archive: Path) -> None:
        """An archive that containerd imports."""


class Docker:
    base = REGISTRY_BASE

    def has(self, ref: str) -> bool:
        return shell.succeeds("docker", "image", "inspect", ref)

    def build(self, ref: str, dockerfile: Path, context: Path, target: str = "") -> None:
        chosen = ("--target", target) if target else ()
        shell.run("docker", "build", "--build-arg", f"BASE={self.base}", "-t", ref, "-f", dockerfile, *chosen, context)

    def save(self, ref: str, archive: Path) -> None:
        shell.run("docker", "save", "--output", archive, ref)


class Buildah:
    @property
    def base(self) -> str:
        return base.ref()

    def has(self, ref: str) -> bool:
        return shell.succeeds(*base.buildah(), "inspect", "--type", "image", ref)

    def build(self, ref: str, dockerfile: Path, context: Path, target: str = "") -> None:
        if "BASE" in dockerfile.read_text():
            base.ensure()
        chosen = ("--target", target) if target else ()
        with shell.locked("buildah"), self._settings() as volumes:
            # A build that was interrupted, and some that were not, leave mounted containers behind.
            shell.run(*base.buildah(), "rm", "--all")
            shell.run(
                *base.buildah(),
                *("bud", "--isolation", "chroot", "--network", "host", "--layers", "--format", "oci"),
                *("--build-arg", f"BASE={self.base}", *volumes, *chosen, "-t", ref, "-f", dockerfile, context),
            )
            shell.run(*base.buildah(), "rm", "--all")

    def save(self, ref: str, archive: Path) -> None:
        archive.unlink(missing_ok=True)
        shell.run(*base.buildah(), "push", "--quiet", "--disable-compression", ref, f"oci-archive:{archive}:{ref}")

    @contextmanager
    def _settings(self) -> Iterator[list[str]]:
        """The environment's certificates and pip settings as mounts: used by the build, left out of the image."""
        mounts = []
        if authorities := os.environ.get("SSL_CERT_FILE"):
            mounts += ["--volume", f"{authorities}:{CERTIFICATES}:ro"]
        with tempfile.TemporaryDirectory() as directory:
            settings = Path(directory) / "pip.conf"
            settings.write_text(pip_conf(os.environ))
            yield [*mounts, "--volume", f"{settings}:/etc/pip.conf:ro"]


def pip_conf(environment: Mapping[str, str]) -> str:
    names = {setting: f"PIP_{setting.upper().replace('-', '_')}" for setting in PIP_SETTINGS}
    given = [f"{setting} = {environment[name]}" for setting, name in names.items() if name in environment]
    return "\n".join(["[global]", f"cert = {CERTIFICATES}", "disable-pip-version-check = true", *given, ""])


def choose() -> Builder:
    return Docker() if choice.docker_answers() else Buildah()
