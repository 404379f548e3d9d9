"""How long S3 is asked again, request by request."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from trainyard.agent.adapters.connections import fault_of
from trainyard.agent.app.patience import Patience, Refused
from trainyard.agent.app.store import Store
from trainyard.agent.errors import FaultKind, StoreFault
from trainyard.agent.ports import FileBody, Small, StoredObject
from trainyard.agent.timing import Timing
from trainyard.api.plan import StorePlan

TIMING = Timing(backoff_first=0.02, backoff_most=0.05, unreachable=0.1, brief=0.1)
BUSY = StoreFault("answer", "later", status=503, code="SlowDown")
NOWHERE = StoreFault("nowhere", "Name or service not known")
BARE = StoreFault("answer", "HTTP 404", status=404)


class Scripted:
    """Raises the faults that it was given, in their order; then it answers."""

    def __init__(self, *faults: StoreFault, content: bytes = b"content", etag: str = "", opaque: bool = False) -> None:
        self.faults = list(faults)
        self.content = content
        self.small = Small(content, etag, opaque)
        self.readings = 0

    def _next(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    def get_small(self, _bucket: str, _key: str) -> Small:
        self._next()
        self.readings += 1
        return self.small

    def put(self, *_: Any, **__: Any) -> None:
        self._next()

    def get(self, _bucket: str, _key: str, *, first: int = 0, length: int | None = None, etag: str = "") -> bytes:
        self._next()
        return self.content[first:][:length]


def store(http: Scripted) -> Store:
    made = Store(StorePlan(role="r", endpoint_url="http://s3"), Path("/none"), TIMING)
    made._engines.__dict__["_own"] = {False: http, True: http}
    return made


def test_patience_is_counted_from_the_first_failure_of_each_request() -> None:
    patience = Patience(0.15)
    time.sleep(0.2)
    asked = store(Scripted(BUSY))
    assert asked.read_small("b", "k", patience) == (b"content", "")
    with pytest.raises(Refused, match="keeps failing"):
        store(Scripted(*[BUSY] * 100)).read_small("b", "k", patience)


def test_enough_ends_a_request_that_waits_for_its_next_try() -> None:
    enough = threading.Event()
    threading.Timer(0.1, enough.set).start()
    began = time.monotonic()
    with pytest.raises(Refused):
        store(Scripted(*[BUSY] * 10_000)).put("b", "k", b"", Patience(60, stubborn=True, enough=enough))
    assert time.monotonic() - began < 2


def test_a_404_of_a_proxy_loses_no_artifact() -> None:
    store(Scripted(BARE, BARE)).put("b", "k", b"", Patience(5, stubborn=True))


def test_a_404_of_a_proxy_is_no_missing_document() -> None:
    asked = store(Scripted(BUSY, BARE))
    assert asked.read_small("b", "k", Patience(5)) == (b"content", "")


def test_an_endpoint_that_is_a_web_server_is_given_up_soon() -> None:
    with pytest.raises(Refused, match="answers as no S3 server does"):
        store(Scripted(*[BARE] * 100)).read_small("b", "k", Patience(60))


@pytest.mark.parametrize("kind", ["refused", "timeout", "connection", "dns"])
def test_an_endpoint_that_was_never_reached_is_waited_for_as_one_that_was(kind: FaultKind) -> None:
    http = Scripted(*[StoreFault(kind, "away")] * 12)
    assert store(http).read_small("b", "k", Patience(60)) == (b"content", "")


def test_a_name_that_does_not_exist_is_given_up_soon() -> None:
    with pytest.raises(Refused, match="has no address"):
        store(Scripted(*[NOWHERE] * 100)).read_small("b", "k", Patience(60))


def test_a_name_that_has_existed_is_waited_for() -> None:
    http = Scripted()
    asked = store(http)
    asked.read_small("b", "k", Patience(60))
    http.faults = [NOWHERE] * 12
    assert asked.read_small("b", "k", Patience(60)) == (b"content", "")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (socket.EAI_NONAME, "nowhere"),
        (socket.EAI_NODATA, "nowhere"),
        (socket.EAI_AGAIN, "dns"),
        (socket.EAI_FAIL, "dns"),
    ],
)
def test_a_name_server_that_is_away_says_nothing_of_the_name(number: int, kind: str) -> None:
    assert fault_of(socket.gaierror(number, "said")).kind == kind


@pytest.mark.parametrize(
    ("fault", "there"),
    [
        (StoreFault("answer", "", status=404, code="NoSuchKey"), False),
        (StoreFault("answer", "", status=416, code="InvalidRange"), True),
        (None, True),
    ],
    ids=["missing", "empty", "something"],
)
def test_an_object_is_looked_for_by_reading_its_first_byte(fault: StoreFault | None, there: bool) -> None:
    assert store(Scripted(*[fault] if fault else [])).there("b", "k", Patience(0)) is there


@pytest.mark.parametrize(
    ("stored", "same"),
    [(b"abcdefghij", True), (b"abcdefghiX", False), (b"abcdefghi", False), (b"abcdefghijk", False)],
    ids=["same", "other", "shorter", "longer"],
)
def test_an_object_is_compared_with_a_file_piece_by_piece(
    stored: bytes, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard.agent.app.store.PIECE", 4)
    file = tmp_path / "manifest"
    file.write_bytes(b"abcdefghij")
    assert store(Scripted(content=stored)).same("b", "k", FileBody.of(file), Patience(0)) is same


@pytest.mark.parametrize(("opaque", "readings"), [(True, 1), (False, 2)], ids=["encrypted with a KMS key", "not so"])
def test_an_etag_is_compared_only_where_it_is_a_digest(opaque: bool, readings: int) -> None:
    http = Scripted(etag='"0123456789abcdef0123456789abcdef"', opaque=opaque)
    assert store(http).read_small("b", "k", Patience(0)) == (b"content", http.small.etag)
    assert http.readings == readings


class Circle(Scripted):
    """Whose third page is followed by the second one."""

    def list_page(self, _bucket: str, _prefix: str, after: str | None) -> tuple[list[StoredObject], str | None]:
        page = int(after or 1)
        return [StoredObject(f"k{page}", 1, "")], str(page + 1 if page < 3 else 2)


def test_a_listing_that_goes_round_in_a_circle_ends_with_a_refusal() -> None:
    found = store(Circle()).objects("b", "k", Patience(0.1))
    assert [next(found).key, next(found).key] == ["k1", "k2"]
    with pytest.raises(Refused, match="in a circle"):
        next(found)
