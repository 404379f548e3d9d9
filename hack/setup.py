"""`python3 -m hack.setup`: everything that work on this repository needs. Runs before anything is installed, so it
knows the standard library only; safe to repeat and to interrupt."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hack import base, choice, shell, tools, versions
from hack.console import Problem, guarded, say, step
from hack.paths import REPO

VENV = REPO / ".venv"
STAMP = VENV / ".trainyard-setup"
LOCK = REPO / "requirements" / "dev.txt"


def main() -> None:
    with shell.locked("setup"):
        python_environment()
        provider, docker = choice.provider(), choice.docker_answers()
        if provider == "native" or not docker:
            debian_packages()
        for tool in tools.NEEDED.get(provider, tools.EVERYWHERE):
            tools.ensure(tool)
        if not docker:
            base.ensure()
    STAMP.touch()
    say("setup: ready")


def python_environment() -> None:
    """The environment of the lock file, to the hash, and this project in it as it is edited."""
    wanted = hashlib.sha256(LOCK.read_bytes() + (REPO / "pyproject.toml").read_bytes()).hexdigest()
    record = VENV / ".trainyard-lock"
    if record.exists() and record.read_text() == wanted:
        return
    with step("installing the Python environment", "1 minute"):
        uv = tools.uv()
        if not (VENV / "bin" / "python").exists():
            shell.run(uv, "venv", "--clear", "--python", sys.executable, VENV)
        python = ("--python", VENV / "bin" / "python")
        shell.run(uv, "pip", "sync", *python, "--require-hashes", LOCK)
        shell.run(uv, "pip", "install", *python, "--no-deps", "--no-build-isolation", "--editable", REPO)
        shell.write(record, wanted)


def debian_packages() -> None:
    """What containers need from the system. Debian starts a containerd of its own, which is left alone."""
    missing = [package for package, proof in versions.DEBIAN.items() if not Path(proof).exists()]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise Problem(f"without a Docker engine these programs are needed: {', '.join(missing)}")
    if os.geteuid() != 0:
        raise Problem(f"run as root, or once by hand: apt-get install --no-install-recommends {' '.join(missing)}")
    with step(f"installing {', '.join(missing)}", "1 minute"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=False, stdout=subprocess.DEVNULL)
        shell.run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *missing, env=quiet)


if __name__ == "__main__":
    guarded(main)
