"""Where a request goes: AWS's own endpoints and others, in both styles of address, for both engines alike."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from trainyard.agent.adapters.connections import Pool
from trainyard.agent.app.engines import Engines
from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials, StoredObject
from trainyard.agent.timing import Timing
from trainyard.api.plan import StorePlan

Where: TypeAlias = Callable[[Engines, str, str], tuple[tuple[str, str, str], tuple[bool, str, str]]]
OWN = "https://s3.example.com:9000/base"


class Source:
    """Credentials, always the same."""

    def __call__(self) -> Credentials:
        return Credentials("a", "b")


def engines(**fields: Any) -> Engines:
    return Engines(StorePlan(role="r", **fields), Source(), Timing(), moved=lambda *_: None, admits=lambda _: True)


def asked_by_python(made: Engines, bucket: str, key: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """Where it connects to, and the request's Host and path."""
    seen: list[str] = []
    here, there = socket.socketpair()

    @contextmanager
    def connection(_pool: Pool, secure: bool, host: str, *, fresh: bool) -> Iterator[tuple[Any, bool]]:
        seen.append(f"{'https' if secure else 'http'}://{host}")
        assert not fresh
        yield SimpleNamespace(sock=here, close=lambda: None), False

    monkeypatch.setattr(Pool, "connection", connection)
    there.shutdown(socket.SHUT_WR)
    with here, there:
        with suppress(StoreFault):
            made.own(bucket).get(bucket, key)
        first, *lines = there.recv(65536).decode("latin-1").split("\r\n")
    host = next(line for line in lines if line.lower().startswith("host:"))
    return seen[0], host.partition(":")[2].strip(), first.split(" ")[1]


def asked_by_s3fetch(made: Engines, bucket: str, key: str, directory: Path) -> tuple[bool, str, str]:
    """Whether it is to use TLS, and the Host and path that it is given."""
    program = directory / "program"
    program.write_text("#!/bin/sh\nexec cat\n")
    program.chmod(0o755)
    fetcher = made.fetcher(program)
    fetcher.ask(0, bucket, StoredObject(key, 1, ""), first=0, length=1, by="", part="p", file="f")
    assert fetcher._process.stdout
    read = b""
    while not read.endswith(b"p\0f\0"):
        read += fetcher._process.stdout.read(65536) or b""
    fetcher.close()
    settings, *fields = read.decode().split("\0")
    host, path = fields[fields.index("G") + 2 :][:2]
    return '"secure": true' in settings, host, path


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Where:
    """What the Python client and s3fetch ask."""
    return lambda made, bucket, key: (
        asked_by_python(made, bucket, key, monkeypatch),
        asked_by_s3fetch(made, bucket, key, tmp_path),
    )


@pytest.mark.parametrize(
    ("fields", "bucket", "address", "path"),
    [
        ({"region": "us-east-1"}, "data", "https://data.s3.us-east-1.amazonaws.com", "/k"),
        ({"region": "eu-central-1"}, "data", "https://data.s3.eu-central-1.amazonaws.com", "/k"),
        ({"region": "cn-north-1"}, "data", "https://data.s3.cn-north-1.amazonaws.com.cn", "/k"),
        ({"addressing_style": "virtual"}, "data", "https://data.s3.us-east-1.amazonaws.com", "/k"),
        ({"addressing_style": "path"}, "data", "https://s3.us-east-1.amazonaws.com", "/data/k"),
        ({}, "my.data", "https://s3.us-east-1.amazonaws.com", "/my.data/k"),
        ({"addressing_style": "virtual"}, "my.data", "https://my.data.s3.us-east-1.amazonaws.com", "/k"),
        ({"endpoint_url": OWN}, "data", "https://s3.example.com:9000", "/base/data/k"),
        ({"endpoint_url": OWN, "addressing_style": "path"}, "data", "https://s3.example.com:9000", "/base/data/k"),
        ({"endpoint_url": OWN, "addressing_style": "virtual"}, "data", "https://data.s3.example.com:9000", "/base/k"),
        ({"endpoint_url": "http://minio/"}, "data", "http://minio", "/data/k"),
    ],
    ids=str,
)  # fmt: skip
def test_both_engines_ask_at_the_address_of_region_style_and_bucket(
    fields: dict[str, Any], bucket: str, address: str, path: str, where: Where
) -> None:
    scheme, _, host = address.partition("://")
    assert where(engines(**fields), bucket, "k") == ((address, host, path), (scheme == "https", host, path))


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("a b+c", "a%20b%2Bc"),
        ("a//b/./../c", "a//b/./../c"),
        ("/begins", "/begins"),
        ("ünï", "%C3%BCn%C3%AF"),
        ("100%&=?#*'()", "100%25%26%3D%3F%23%2A%27%28%29"),
        ("~-_.", "~-_."),
        ("tab\there", "tab%09here"),
    ],
)
@pytest.mark.parametrize(("style", "before"), [("virtual", "/"), ("path", "/data/")])
def test_a_key_is_encoded_once_and_never_made_shorter(
    key: str, encoded: str, style: str, before: str, where: Where
) -> None:
    by_python, by_s3fetch = where(engines(addressing_style=style), "data", key)
    assert (by_python[2], by_s3fetch[2]) == (before + encoded, before + encoded)
