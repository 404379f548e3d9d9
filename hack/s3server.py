"""The S3 server inside the cluster that demo, tests and benches share: there, ready, and reachable from outside."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import boto3
from botocore.config import Config

from hack import ports, shell
from hack.console import Problem
from hack.paths import REPO

NAMESPACE = "trainyard-s3"
INSIDE = f"http://s3.{NAMESPACE}.svc:9000"
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """`outside` is its URL for this machine while the `opened` block lasts; pods use INSIDE."""

    access_key: str
    secret_key: str
    outside: str

    def client(self) -> Any:
        """A boto3 client from outside the cluster."""
        return boto3.client(
            "s3",
            endpoint_url=self.outside,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 5}),
        )


@contextmanager
def opened(kubectl: Path, kubeconfig: Path, image: str) -> Iterator[S3Server]:
    """The server, deployed unless it is, for as long as the block lasts reachable from here."""
    command = (str(kubectl), "--kubeconfig", str(kubeconfig))
    with shell.locked("S3 server's installation"):
        _deploy(command, image)
    keys = json.loads(shell.output(*command, "get", "secret", "s3-root", "-n", NAMESPACE, "-o", "json"))["data"]
    access, secret = (
        base64.b64decode(keys[name]).decode() for name in ("ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY")
    )
    with _reached(command) as url:
        yield S3Server(access, secret, url)


def _deploy(command: tuple[str, ...], image: str) -> None:
    manifest = Template((REPO / "hack/manifests/s3.yaml").read_text()).substitute(IMAGE=image)
    shell.output(*command, "apply", "-f", "-", stdin=manifest)
    if not shell.succeeds(*command, "get", "secret", "s3-root", "-n", NAMESPACE):
        keys = {"ROOT_ACCESS_KEY_ID": secrets.token_hex(10), "ROOT_SECRET_ACCESS_KEY": secrets.token_hex(20)}
        literals = [f"--from-literal={name}={value}" for name, value in keys.items()]
        shell.run(*command, "create", "secret", "generic", "s3-root", "-n", NAMESPACE, *literals)
    shell.run(*command, "rollout", "status", "deployment/s3", "-n", NAMESPACE, "--timeout=120s")


@contextmanager
def _reached(command: tuple[str, ...]) -> Iterator[str]:
    """The service's own address where this machine is on the cluster's network, else a forwarded port."""
    address = shell.output(
        *command, "get", "service", "s3", "-n", NAMESPACE, "-o", "jsonpath={.spec.clusterIP}"
    ).strip()
    if _listens(address, 9000):
        yield f"http://{address}:9000"
        return
    port = ports.free()
    forward = subprocess.Popen(
        [*command, "port-forward", "-n", NAMESPACE, "service/s3", f"{port}:9000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while not _listens("127.0.0.1", port):
            if forward.poll() is not None or time.monotonic() > deadline:
                raise Problem("kubectl port-forward to the S3 server does not come up")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        forward.terminate()
        forward.wait(10)


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
