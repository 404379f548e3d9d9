"""The base image where no registry is at hand: Debian with Python, laid out so that a Dockerfile written for
python:3.13-slim finds what it expects."""

import hashlib
from pathlib import Path

from hack import shell, versions
from hack.console import step
from hack.paths import cache

PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
OPTIONS = (
    "--variant=minbase",
    f"--include={','.join(PACKAGES)}",
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "info", "locale", "bash-completion")),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--customize-hook=ln -s python3 $1/usr/bin/python",
    # As in Python's own image, pip installs into the image's interpreter.
    "--customize-hook=rm -f $1/usr/lib/python3*/EXTERNALLY-MANAGED",
    # A place for the build's settings to be mounted on: a missing one would be made, and stay in every image.
    "--customize-hook=touch $1/etc/pip.conf",
    "--customize-hook=rm -rf $1/var/lib/apt/lists/* $1/var/cache/* $1/var/log/*",
)


def buildah() -> tuple[str | Path, ...]:
    """Images of our own, apart from whatever else buildah is used for on this machine."""
    store = cache() / "buildah"
    return ("buildah", "--root", store / "root", "--runroot", store / "run")


def ref() -> str:
    recipe = "\0".join((versions.BASE_SUITE, *OPTIONS))
    return f"localhost/trainyard/base:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure() -> None:
    if shell.succeeds(*buildah(), "inspect", "--type", "image", ref()):
        return
    with shell.locked("buildah"), step("building the base image", "1 minute"):
        archive = cache() / "base.tar"
        try:
            shell.run("mmdebstrap", *OPTIONS, versions.BASE_SUITE, archive)
            container = shell.output(*buildah(), "from", "scratch").strip()
            shell.run(*buildah(), "add", container, archive, "/")
            shell.run(*buildah(), "config", "--cmd", "python3", "--env", "LANG=C.UTF-8", container)
            shell.run(*buildah(), "commit", "--rm", container, ref())
        finally:
            archive.unlink(missing_ok=True)
