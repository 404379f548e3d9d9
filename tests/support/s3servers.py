"""S3 servers to test against, each as a program on a port and a directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hack import tools
from tests.integration.agent_rig import free_port

ACCESS_KEY = "doctor-access-key"
SECRET_KEY = "doctor-secret-key"
Command = tuple[list[str | Path], dict[str, str]]


def versitygw(port: int, directory: Path) -> Command:
    keys = {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": SECRET_KEY}
    return [tools.VERSITYGW.binary, "--port", f"127.0.0.1:{port}", "--keep-alive", "--quiet", "posix", directory], keys


def rclone(port: int, directory: Path) -> Command:
    where = ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    return [tools.RCLONE.binary, "serve", "s3", *where, directory], {"RCLONE_CONFIG": os.devnull}


def moto(port: int, _directory: Path) -> Command:
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], {
        "PYTHONPATH": str(tools.built(tools.MOTO))
    }


SERVERS: dict[str, Callable[[int, Path], Command]] = {"versitygw": versitygw, "rclone": rclone, "moto": moto}


@contextmanager
def running(name: str, directory: Path) -> Iterator[str]:
    """The server's URL, for as long as the block lasts."""
    port = free_port()
    command, environment = SERVERS[name](port, directory)
    with (directory.parent / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while not _answers(url := f"http://127.0.0.1:{port}"):
            assert process.poll() is None, (directory.parent / f"{name}.log").read_text()
            assert time.monotonic() < until, f"{name} does not answer"
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
