"""s3fetch, the program that brings many objects at once: a process of its own, as operator/s3fetch/protocol.go describes it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials, StoredObject

BY_NOTHING, BY_ANSWER, BY_MD5, BY_CRC32 = "", "answer", "md5", "crc32"
"""How bytes are looked at while they come: not at all; against the checksum that comes with a whole object; by a digest, which an ETag
may have."""
TOGETHER = 16
"""Requests that are given to the process at once."""
RECEIVE = 64 * 1024
CAME = b"came "
ENDS_WITHIN = 5
FIELDS = 11
"""Of a request's record, its kind among them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one request. `placed`: the file is there. `found`: the bytes are in the part, `text` is their digest (hex), if they have one.
    `damaged`: they came whole, and are not those that S3 has. `failed`: they did not come. Of both `text` says why."""

    number: int
    kind: Literal["placed", "found", "damaged", "failed"]
    text: str


def _network(text: str) -> str:
    return str(ip_network(text))


class Fetcher:
    """One process. Requests are made by one thread, outcomes read by another. Raises OSError if the program cannot be run."""

    def __init__(
        self,
        program: Path,
        address: Callable[[str, str], tuple[str, str]],
        credentials: Callable[[], Credentials],
        *,
        secure: bool,
        region: str,
        connect_timeout: float,
        read_timeout: float,
        denied: Sequence[str],
        allowed: Sequence[str],
    ) -> None:
        """`address` gives host and encoded path of a bucket's key; `denied`, `allowed`: networks."""
        self._address = address
        self._credentials = credentials
        self._used: Credentials | None = None
        settings = {
            "secure": secure,
            "region": region,
            "connect": connect_timeout,
            "read": read_timeout,
            "denied": [*map(_network, denied)],
            "allowed": [*map(_network, allowed)],
        }
        self._first = f"{json.dumps(settings)}\0"
        self._waiting: list[str] = []
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def ask(
        self, number: int, bucket: str, item: StoredObject, *, first: int, length: int, by: str, part: str, file: str
    ) -> None:
        """Of an object `length` bytes from `first` on, into their place in `part`. That is renamed to `file`, unless this is empty, once
        they are proven. The request is under way after `flush` at the latest. Raises OSError if the process has ended."""
        host, path = self._address(bucket, item.key)
        record = f"G\0{number}\0{host}\0{path}\0{item.size}\0{first}\0{length}\0{item.etag}\0{by}\0{part}\0{file}\0"
        if record.count("\0") != FIELDS:
            raise ValueError("a field that would be more than one")
        self._waiting.append(record)
        # The very first need not wait for others.
        if len(self._waiting) >= TOGETHER or not number:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        with suppress(StoreFault):  # what fails without any is asked of another engine, which says what is wrong
            if (current := self._credentials()) != self._used:
                self._used = current
                self._waiting.insert(0, f"C\0{current.access_key}\0{current.secret_key}\0{current.token}\0")
        records, self._waiting = "".join([self._first, *self._waiting]).encode("utf-8", "surrogateescape"), []
        self._first = ""
        assert self._process.stdin
        view = memoryview(records)
        while view:
            view = view[os.write(self._process.stdin.fileno(), view) :]

    def outcomes(self, came: Callable[[int], None]) -> Iterator[list[Outcome]]:
        """As they come, until the process ends. `came` is told once a second how many bytes have come, while any should."""
        assert self._process.stdout
        rest = b""
        while data := os.read(self._process.stdout.fileno(), RECEIVE):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.startswith(CAME):
                    came(int(line.removeprefix(CAME)))
            yield [_outcome(line) for line in lines if not line.startswith(CAME)]

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> str:
        """After the last outcome: how the process has ended."""
        try:
            code = self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            return "it says no more"
        return f"it has ended by signal {-code}" if code < 0 else f"it has ended with code {code}"

    def close(self) -> None:
        """Ends the process, and frees what belonged to it: nobody reads its outcomes any more."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _outcome(line: bytes) -> Outcome:
    kind, number, *text = line.decode("utf-8", "replace").split(" ", 2)
    assert kind in {"placed", "found", "damaged", "failed"}
    return Outcome(int(number), kind, text[0] if text else "")  # type: ignore[arg-type]
