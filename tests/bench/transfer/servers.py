"""The S3 servers to measure against: one that does next to nothing, and one that keeps the promises of S3."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from isal import isal_zlib

from hack import ports, tools
from tests.bench.controller.cost import cpu_seconds
from tests.bench.transfer.loads import Body, Repeated, blocks
from tests.integration.agent_rig import ACCESS_KEY, SECRET_KEY, S3Server, wait_for
from tests.support import certificates
from tests.support.certificates import Certificates

PART = 8 * 1024 * 1024
"""In which clients upload what is large, unless they are told otherwise."""


@dataclass(frozen=True)
class Known:
    """An object as S3 has it: its bytes, an ETag that is their digest (or that of their parts), and perhaps a CRC32."""

    body: Body
    etag: str
    crc32: str = ""

    @staticmethod
    def of(body: Body, *, checksum: bool) -> Known:
        if not checksum:
            return Known(body, etag(body))
        crc32 = 0
        for block in blocks(body):
            crc32 = isal_zlib.crc32(block, crc32)
        return Known(body, etag(body), base64.b64encode(crc32.to_bytes(4, "big")).decode())


def etag(body: Body) -> str:
    """With quotes: the MD5, or what an upload in parts makes of the parts' MD5s. None (empty) of what is not in memory as a whole."""
    if isinstance(body, Repeated):
        return ""
    if len(body) <= PART:
        return f'"{hashlib.md5(body).hexdigest()}"'
    digests = [hashlib.md5(body[first : first + PART]).digest() for first in range(0, len(body), PART)]
    return f'"{hashlib.md5(b"".join(digests)).hexdigest()}-{len(digests)}"'


@dataclass(frozen=True)
class Way:
    """How a QuickServer is reached: `delay` milliseconds away, through TLS, and from all cores but one, which is the server's.
    `faults`: the share of its answers that go wrong."""

    delay: int = 0
    secure: bool = False
    apart: bool = False
    faults: float = 0


HERE = Way()


class QuickServer:
    """A quicks3 on a directory of its own, with what an S3Server has of use here. With `made` it speaks TLS."""

    def __init__(self, directory: Path, way: Way = HERE, made: Certificates | None = None) -> None:
        self._port = ports.free()
        self._connection = http.client.HTTPSConnection if made else http.client.HTTPConnection
        self.url = f"{'https' if made else 'http'}://127.0.0.1:{self._port}"
        options = [
            "-listen",
            f"127.0.0.1:{self._port}",
            "-dir",
            directory,
            "-delay",
            f"{way.delay}ms",
            "-faults",
            str(way.faults),
        ]
        options += ["-cert", made.server, "-key", made.key] if made else []
        self.process = subprocess.Popen([tools.QUICKS3.binary, *options], stdout=subprocess.DEVNULL)
        wait_for("the S3 server", self._answers)
        self.client: Any = boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )  # fmt: skip

    def _answers(self) -> bool:
        try:
            self.stats()
        except OSError:
            return False
        return True

    def stats(self, prefix: str = "-") -> dict[str, float]:
        """What it has seen since it was asked last. `prefix`: of the objects whose first GET is watched from now on."""
        with urllib.request.urlopen(f"{self.url}/-/stats?prefix={prefix}", timeout=5) as answer:
            found: dict[str, float] = json.load(answer)
            return found

    def fill(self, bucket: str, objects: dict[str, Known]) -> None:
        def put(items: list[tuple[str, Known]]) -> None:
            connection = self._connection("127.0.0.1", self._port)
            for key, known in items:
                headers = {"x-bench-etag": known.etag, "x-bench-part-size": str(PART)}
                headers |= {"x-amz-checksum-crc32": known.crc32} if known.crc32 else {}
                body = known.body
                if isinstance(body, Repeated):
                    headers["x-bench-size"] = str(body.size)
                    body = body.block
                connection.request("PUT", f"/{bucket}/{key}", body, headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
            connection.close()

        put(list(objects.items()))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


class RealServer(S3Server):
    """versitygw."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self._process

    def stats(self, _prefix: str = "-") -> dict[str, float]:
        return {}  # it does not tell

    def fill(self, bucket: str, objects: dict[str, Known]) -> None:
        def put(item: tuple[str, Known]) -> None:
            key, known = item
            self.client.put_object(Bucket=bucket, Key=key, Body=b"".join(blocks(known.body)))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, objects.items()))


Server = QuickServer | RealServer


def cpu(server: Server) -> float:
    return cpu_seconds([server.process.pid])


@contextmanager
def serving(kind: type[Server], directory: Path, way: Way = HERE) -> Iterator[Server]:
    where = directory / f"s3-{kind.__name__}"
    where.mkdir()
    with _trusted(directory) if way.secure else nullcontext() as made, ExitStack() as cores:
        if way.apart:
            first, *others = sorted(os.sched_getaffinity(0))
            cores.callback(os.sched_setaffinity, 0, [first, *others])
            os.sched_setaffinity(0, [first])
        server = QuickServer(where, way, made) if kind is QuickServer else RealServer(tools.VERSITYGW.binary, where)
        try:
            if way.apart:
                os.sched_setaffinity(0, others or [first])
            yield server
        finally:
            server.close()
            shutil.rmtree(where)


@contextmanager
def _trusted(directory: Path) -> Iterator[Certificates]:
    """An authority that every program trusts which is started meanwhile, and this one."""
    made = certificates.make(directory)
    before = dict(os.environ)
    os.environ |= {"SSL_CERT_FILE": str(made.authority), "AWS_CA_BUNDLE": str(made.authority)}
    try:
        yield made
    finally:
        os.environ.clear()
        os.environ |= before


@contextmanager
def in_memory() -> Iterator[Path]:
    """A directory on a tmpfs where there is one: a disk would be the limit."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="trainyard-bench-", dir=memory if os.access(memory, os.W_OK) else None, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


@contextmanager
def on_disk() -> Iterator[Path]:
    """A directory whose files take no memory for good: a pod's volumes are on a disk."""
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


def emptied(directory: Path) -> None:
    """Frees the bytes of what was copied to a disk, and puts its files aside until the disk is done with. Were they deleted, the next
    copy would pay: ext4 gives no inode away that was freed in the last minutes, and tries all of those for each new file.
    """
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 0)
    directory.rename(tempfile.mkdtemp(prefix="spent-", dir=directory.parent))
