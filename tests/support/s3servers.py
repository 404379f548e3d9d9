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
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config

from hack import ports, tools
from tests.integration.agent_rig import Job, S3Server, job

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
    port = ports.free()
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


class Elsewhere(S3Server):
    """A server that somebody else has started."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )


@contextmanager
def job_on(name: str, tmp_path: Path, hosts: int = 1) -> Iterator[Job]:
    """A job with that server, started for it, as its S3."""
    (tmp_path / "s3").mkdir()
    with (
        running(name, tmp_path / "s3") as url,
        job(Elsewhere(url), tmp_path, f"b-{uuid4().hex}", hosts) as made,
    ):
        made.set_credentials(ACCESS_KEY, SECRET_KEY)
        yield made
