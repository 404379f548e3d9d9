"""s3fetch as a program, before servers that answer in every way there is: what it says of a request is true, and no more than that."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anycrc
import pytest

from hack import ports
from tests.integration.agent_rig import s3fetch, wait_for
from trainyard.agent.adapters.connections import Endpoint
from trainyard.agent.adapters.fetcher import BY_ANSWER, BY_CRC32, BY_MD5, BY_NOTHING, Fetcher, Outcome
from trainyard.agent.adapters.sigv4 import EMPTY_SHA256, signed_headers
from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials, StoredObject

BODY = b"hello, world"
KEYS = Credentials("access", "secret/key+", "token==")
Answers = Callable[[int], bytes]
"""What is said to the request of that number on all connections together, from 0."""


@dataclass
class Told:
    """A server that says what it is told to, and hangs up where `closing` has the request's number."""

    answers: Answers
    closing: frozenset[int] = frozenset()
    heads: list[str] = field(default_factory=list)
    connections: int = 0

    @contextmanager
    def serving(self) -> Iterator[str]:
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    if not (data := connection.recv(1)):
                        return
                    head += data
                number = len(self.heads)
                self.heads.append(head.decode("latin-1"))
                connection.sendall(self.answers(number))
                if number in self.closing:
                    return


def answer(body: bytes = BODY, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    lines = {"content-length": str(len(body) if length is None else length)} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in lines.items()), "", ""]
    return "\r\n".join(head).encode() + body


@dataclass
class Bench:
    """One fetcher for one endpoint."""

    fetcher: Fetcher
    directory: Path
    heard: dict[int, Outcome] = field(default_factory=dict)
    came: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        for outcomes in self.fetcher.outcomes(self.came.append):
            self.heard |= {each.number: each for each in outcomes}
        self.ended.set()

    def ask(
        self, number: int, item: StoredObject, by: str = BY_NOTHING, span: tuple[int, int] | None = None, name: str = ""
    ) -> Path:
        """Gives the file that it is to become; of a range there is only the part."""
        first, length = span or (0, item.size)
        file = self.directory / (name or f"file-{number}")
        self.fetcher.ask(
            number, "b", item, first=first, length=length, by=by, part=f"{self.directory}/part-{number}",
            file="" if span else str(file),
        )  # fmt: skip
        return file

    def outcome(self, number: int) -> Outcome:
        self.fetcher.flush()
        found = wait_for("an outcome", lambda: self.heard.get(number), 20)
        assert isinstance(found, Outcome)
        return found

    def tell(self, item: StoredObject, by: str = BY_NOTHING, span: tuple[int, int] | None = None) -> tuple[str, bytes]:
        """Kind of outcome, and what is in the file, or in the part."""
        number = len(self.heard)
        file = self.ask(number, item, by, span)
        found = self.outcome(number)  # which may have come by now
        part = self.directory / f"part-{found.number}"
        assert not (part.exists() and file.exists())
        path = file if file.exists() else part
        return found.kind, path.read_bytes() if path.exists() else b""


@contextmanager
def bench(
    url: str, directory: Path, credentials: Callable[[], Credentials] = lambda: KEYS, **settings: object
) -> Iterator[Bench]:
    endpoint = Endpoint.parse(url)
    given = {"connect_timeout": 2.0, "read_timeout": 2.0, "denied": (), "allowed": ()} | settings
    fetcher = Fetcher(
        s3fetch(), lambda bucket, key: endpoint.address(bucket, key, virtual=False), credentials,
        **{"secure": endpoint.secure, "region": "eu-central-1"} | given,
    )  # fmt: skip
    made = Bench(fetcher, directory)
    listener = threading.Thread(target=made.listen, daemon=True)
    listener.start()
    try:
        yield made
    finally:
        fetcher.kill()
        listener.join(20)
        fetcher.close()


def item(body: bytes = BODY, etag: str = "", key: str = "k") -> StoredObject:
    return StoredObject(key, len(body), etag)


def md5(body: bytes = BODY) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("asked", "by", "span"),
    [
        (item(), BY_NOTHING, None),
        (item(etag='"e-2"'), BY_CRC32, (3, 4)),
        (item(etag='"e"'), BY_ANSWER, None),
        (item(etag=md5()), BY_MD5, None),
    ],
    ids=["plain", "range", "checksum", "etag"],
)
@pytest.mark.parametrize("key", ["a/b c+d%~*'(", "ünusual/\udcff", "//x/"])
def test_a_request_is_signed_as_our_own_client_signs_it(
    tmp_path: Path, key: str, asked: StoredObject, by: str, span: tuple[int, int] | None
) -> None:
    credentials = KEYS if span else Credentials("access", "secret")
    told = Told(lambda _: answer())
    with told.serving() as url, bench(f"{url}/base", tmp_path, lambda: credentials) as made:
        wanted = StoredObject(key, asked.size, asked.etag)
        made.tell(wanted, by, span)
    first, *lines = told.heads[0].strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    signed = {
        name: value
        for name, value in headers.items()
        if name not in {"authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"}
    }
    assert signed.keys() - {"host"} == (
        ({"if-match"} if asked.etag else set())
        | ({"range"} if span else set())
        | ({"x-amz-checksum-mode"} if by == BY_ANSWER else set())
    )
    assert path == Endpoint.parse(f"{url}/base").address("b", key, virtual=False)[1]
    assert headers == signed_headers(
        method, path, (), signed, payload_sha256=EMPTY_SHA256, credentials=credentials, region="eu-central-1",
        moment=headers["x-amz-date"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crc32", zlib.crc32(BODY).to_bytes(4, "big")),
        ("crc32c", anycrc.Model("CRC32C").calc(BODY).to_bytes(4, "big")),
        ("crc64nvme", anycrc.Model("CRC64-NVME").calc(BODY).to_bytes(8, "big")),
        ("sha1", hashlib.sha1(BODY).digest()),
        ("sha256", hashlib.sha256(BODY).digest()),
    ],
)
def test_an_object_is_a_file_once_it_has_the_checksum_that_came_with_it(
    tmp_path: Path, name: str, value: bytes
) -> None:
    header = f"x_amz_checksum_{name}"
    said = [
        answer(**{header: text(value)}),
        answer(b"hello, World", **{header: text(value)}),
        answer(**{header: f"{text(value)}-1"}),
        answer(**{header: text(value), "x_amz_checksum_type": "COMPOSITE"}),
        answer(),
    ]
    with Told(said.__getitem__).serving() as url, bench(url, tmp_path) as made:
        assert made.tell(item(), BY_ANSWER) == ("placed", BODY)
        assert made.tell(item(), BY_ANSWER)[0] == "damaged"
        # None that tells of the bytes: somebody else has to find out, unless the ETag does.
        assert [made.tell(item(), BY_ANSWER) for _ in range(2)] == [("found", BODY)] * 2
        assert made.tell(item(etag=md5()), BY_ANSWER) == ("placed", BODY)


def test_an_etag_proves_a_whole_object_if_it_is_its_md5(tmp_path: Path) -> None:
    with Told(lambda _: answer()).serving() as url, bench(url, tmp_path) as made:
        for etag in (md5(), md5().strip('"'), f"W/{md5()}"):
            assert made.tell(item(etag=etag), BY_MD5) == ("placed", BODY)
        for etag in (md5(b"x"), '"e-1"', ""):
            assert made.tell(item(etag=etag), BY_MD5) == ("found", BODY)
        assert made.heard[3].text == md5().strip('"')
        assert made.tell(item(etag='"e"'), BY_NOTHING) == ("placed", BODY)


def test_ranges_come_to_their_place_with_a_digest_each(tmp_path: Path) -> None:
    whole = os.urandom(3_000_000)

    def ranged(number: int) -> bytes:
        first, _, last = told.heads[number].lower().partition("range: bytes=")[2].partition("\r")[0].partition("-")
        span = f"bytes {first}-{last}/{'*' if number else len(whole)}"
        return answer(whole[int(first) : int(last) + 1], "206 Partial Content", etag='"e"', content_range=span)

    told = Told(ranged)
    with told.serving() as url, bench(url, tmp_path) as made:
        part = tmp_path / "all"
        for number, first in enumerate((2_000_000, 0, 1_000_000)):
            by = (BY_CRC32, BY_MD5, BY_NOTHING)[number]
            made.fetcher.ask(
                number, "b", item(whole, '"e"'), first=first, length=1_000_000, by=by, part=str(part), file=""
            )  # fmt: skip
        said = [made.outcome(number) for number in range(3)]
    assert part.read_bytes() == whole
    assert [each.kind for each in said] == ["found"] * 3
    assert int(said[0].text, 16) == zlib.crc32(whole[2_000_000:])
    assert (said[1].text, said[2].text) == (hashlib.md5(whole[:1_000_000]).hexdigest(), "")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(b"", "404 Not Found"), "404"),
        (answer(b"", "412 Precondition Failed"), "412"),
        (answer(b"slow", "503 Slow Down"), "503"),
        (answer(b"", "307 Temporary Redirect", location="http://127.0.0.1:1/"), "307"),
        (answer(b"", "204 No Content"), "204"),
        (answer(status="206 Partial Content"), "206"),
        (answer(BODY[:-1]), "11 bytes come instead of 12"),
        (answer(BODY + b"!"), "13 bytes come instead of 12"),
        (answer(BODY[:5], length=12), "after 5 of 12 bytes"),
        (answer(etag='"other"'), 'ETag "other" came'),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "after 5 of 12 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nhello, world!\r\n0\r\n\r\n", "more than 12 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "Content-Length"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "malformed"),
        (b"", "EOF"),
    ],
)
def test_what_is_not_the_whole_object_is_told_and_makes_no_file(tmp_path: Path, said: bytes, why: str) -> None:
    told = Told(lambda number: answer(etag='"e"') if number else said, closing=frozenset({0}))
    with told.serving() as url, bench(url, tmp_path) as made:
        assert made.tell(item(etag='"e"'))[0] == "failed"
        assert why in made.heard[0].text
        assert not (tmp_path / "file-0").exists()
        assert made.tell(item(etag='"e"')) == ("placed", BODY), "the next one is none the worse"


def test_a_range_of_a_server_that_sends_everything_is_none(tmp_path: Path) -> None:
    with Told(lambda _: answer()).serving() as url, bench(url, tmp_path) as made:
        assert made.tell(item(), span=(0, 5))[0] == "failed"


@pytest.mark.parametrize("span", ["bytes 1-5/12", "bytes 0-4/13", "bytes */12", "lines 0-4/12"])
def test_another_range_than_was_asked_for_is_none(tmp_path: Path, span: str) -> None:
    said = answer(BODY[:5], "206 Partial Content", content_range=span)
    with Told(lambda _: said).serving() as url, bench(url, tmp_path) as made:
        assert made.tell(item(), span=(0, 5))[0] == "failed"


def test_what_is_said_on_the_way_is_no_answer(tmp_path: Path) -> None:
    said = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + answer()
    with Told(lambda _: said).serving() as url, bench(url, tmp_path) as made:
        assert [made.tell(item()) for _ in range(20)] == [("placed", BODY)] * 20


@pytest.mark.parametrize("more", [b"x-header: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["head", "hints"])
def test_an_answer_without_an_end_is_given_up(tmp_path: Path, more: bytes) -> None:
    said = b"HTTP/1.1 200 OK\r\n" * more.startswith(b"x") + more * (2_000_000 // len(more))
    with Told(lambda _: said).serving() as url, bench(url, tmp_path) as made:
        assert made.tell(item())[0] == "failed"
        assert "timeout" not in made.heard[0].text


def test_bodies_in_chunks_and_up_to_the_connections_end_are_bodies(tmp_path: Path) -> None:
    said = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
        answer(),
    ]
    told = Told(said.__getitem__, closing=frozenset({1}))
    with told.serving() as url, bench(url, tmp_path) as made:
        assert [made.tell(item()) for _ in said] == [("placed", BODY)] * 3


def test_bytes_that_nobody_asked_for_are_no_answer(tmp_path: Path) -> None:
    told = Told(lambda number: answer() if number else answer() + answer(b"HELLO, WORLD"))
    with told.serving() as url, bench(url, tmp_path) as made:
        assert [made.tell(item()) for _ in range(3)] == [("placed", BODY)] * 3
    assert told.connections >= 2


def test_a_connection_that_was_closed_while_it_was_idle_is_replaced_unnoticed(tmp_path: Path) -> None:
    told = Told(lambda _: answer(), closing=frozenset(range(30)))
    with told.serving() as url, bench(url, tmp_path) as made:
        assert [made.tell(item())[0] for _ in range(30)] == ["placed"] * 30
    assert told.connections == 30


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with Told(lambda _: answer(BODY[:5], length=12)).serving() as url, bench(url, tmp_path, read_timeout=0.2) as made:
        assert made.tell(item())[0] == "failed"
        assert "timeout" in made.heard[0].text


def test_where_nobody_listens_that_is_told(tmp_path: Path) -> None:
    with bench(f"http://127.0.0.1:{ports.free()}", tmp_path) as made:
        assert made.tell(item())[0] == "failed"
        assert "refused" in made.heard[0].text


def test_addresses_that_are_denied_hear_nothing(tmp_path: Path) -> None:
    told = Told(lambda _: answer())
    with told.serving() as url:
        with bench(url, tmp_path, denied=["10.0.0.0/8", "127.0.0.0/8"]) as made:
            assert made.tell(item())[0] == "failed"
            assert "127.0.0.1 may not be spoken to" in made.heard[0].text
            assert not told.heads
        with bench(url, tmp_path, denied=["0.0.0.0/0"], allowed=["127.0.0.1"]) as made:
            assert made.tell(item()) == ("placed", BODY)


def test_credentials_may_come_late_and_change(tmp_path: Path) -> None:
    current: list[Credentials] = []

    def credentials() -> Credentials:
        if not current:
            raise StoreFault("credentials", "none yet")
        return current[-1]

    told = Told(lambda _: answer())
    with told.serving() as url, bench(url, tmp_path, credentials) as made:
        assert made.tell(item())[0] == "failed"
        assert not told.heads
        for name in ("one", "two"):
            current.append(Credentials(name, "secret"))
            assert made.tell(item())[0] == "placed"
            assert f"Credential={name}/" in told.heads[-1]


def test_nothing_is_asked_for_what_has_no_bytes(tmp_path: Path) -> None:
    told = Told(lambda _: answer())
    with told.serving() as url, bench(url, tmp_path) as made:
        assert made.tell(item(b"")) == ("placed", b"")
        assert not told.heads


@pytest.mark.parametrize("name", ["with\nline", "caf\udce9", "tab\tand space "])
def test_files_of_any_name_can_be_made_and_every_user_may_write_to_them(tmp_path: Path, name: str) -> None:
    with Told(lambda _: answer()).serving() as url, bench(url, tmp_path) as made:
        file = made.ask(0, item(), name=name)
        assert made.outcome(0).kind == "placed"
        assert file.read_bytes() == BODY
        assert file.stat().st_mode & 0o777 == 0o666


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with Told(lambda _: answer()).serving() as url, bench(url, tmp_path) as made:
        made.ask(0, item(), name="none/file")
        assert made.outcome(0) == Outcome(0, "failed", "no such file or directory")


@pytest.mark.parametrize("odd", ['"a b"', '"a\r\nx-evil: 1"', '"\x7f"'])
def test_an_etag_that_would_be_more_than_a_header_is_not_sent(tmp_path: Path, odd: str) -> None:
    told = Told(lambda _: answer())
    with told.serving() as url, bench(url, tmp_path) as made:
        assert made.tell(item(etag=odd))[0] == "failed"
        assert not told.heads


def test_a_field_that_would_be_more_than_one_is_refused(tmp_path: Path) -> None:
    told = Told(lambda _: answer())
    with told.serving() as url, bench(url, tmp_path) as made:
        with pytest.raises(ValueError, match="more than one"):
            made.ask(0, item(etag='"e"\0md5\0/x\0/y'))
        assert made.tell(item()) == ("placed", BODY)


def test_without_a_request_it_is_left_alone(tmp_path: Path) -> None:
    with bench("http://127.0.0.1:1", tmp_path) as made:
        made.fetcher.flush()
        assert not made.ended.wait(0.3)


def test_many_requests_that_wait_are_made_together(tmp_path: Path) -> None:
    together, most = threading.Semaphore(0), [0]

    def slow(_: int) -> bytes:
        most[0] += 1
        assert together.acquire(timeout=20)
        return answer()

    with Told(slow).serving() as url, bench(url, tmp_path, read_timeout=20) as made:
        for number in range(100):
            made.ask(number, item())
        made.fetcher.flush()
        wait_for("100 requests at once", lambda: most[0] == 100)
        together.release(100)
        assert {made.outcome(number).kind for number in range(100)} == {"placed"}


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    told = Told(lambda _: time.sleep(20) or b"")
    with told.serving() as url, bench(url, tmp_path, read_timeout=20) as made:
        made.ask(0, item())
        made.fetcher.flush()
        wait_for("the request", lambda: told.heads)
        stdin = made.fetcher._process.stdin
        assert stdin
        stdin.close()
        assert made.ended.wait(5)


def test_how_it_has_ended_is_said(tmp_path: Path) -> None:
    with bench("http://127.0.0.1:1", tmp_path) as made:
        made.fetcher.kill()
        assert made.fetcher.end() == f"it has ended by signal {signal.SIGKILL:d}"
    # Says what is wrong with its settings, and ends.
    with bench("http://127.0.0.1:1", tmp_path, region=7) as made:
        made.ask(0, item(), BY_NOTHING)
        assert made.fetcher.end().startswith("it has ended with code ")
