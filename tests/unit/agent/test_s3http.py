"""What is asked of S3, header by header."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trainyard.agent.adapters.s3http import S3Http
from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials, StoredObject

OBJECT = b"hello world"


class Server:
    """Answers every GET with `status`, `body` and `headers`, and every HEAD with no length."""

    def __init__(self, status: int, body: bytes, **headers: str) -> None:
        self.seen: list[str | None] = []
        """What was asked for by If-Match."""
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                seen.append(self.headers.get("if-match"))
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def do_DELETE(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> S3Http:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return S3Http(url, "r", False, lambda: Credentials("a", "b", None))

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize(("etag", "asked"), [('"abc"', '"abc"'), ("", None)])
def test_a_version_is_asked_for_only_where_the_listing_told_one(etag: str, asked: str | None) -> None:
    server = Server(206, b"hello")
    with server as http:
        assert bytes(http.get("b", "k", first=0, length=5, etag=etag)) == b"hello"
        assert bytes(http.get_whole("b", "k", etag)[0]) == b"hello"
    assert server.seen == [asked] * 2


@pytest.mark.parametrize(
    "server",
    [Server(200, OBJECT), Server(200, OBJECT[:5]), Server(206, OBJECT[:5], content_range=f"bytes 0-4/{len(OBJECT)}")],
    ids=["all of it", "from its start", "another range"],
)
def test_what_is_not_the_range_that_was_asked_for_is_not_taken_for_it(server: Server) -> None:
    with server as http, pytest.raises(StoreFault, match=r"more bytes|other bytes"):
        http.get("b", "k", first=6, length=5)


def test_a_server_without_ranges_has_all_of_a_small_object() -> None:
    with Server(200, OBJECT) as http:
        assert bytes(http.get("b", "k", first=0, length=20)) == OBJECT
        assert http.get_start("b", "k", 20) == (OBJECT, StoredObject("k", len(OBJECT), ""))
    with Server(200, OBJECT, content_range="bytes 0-10/*") as http:
        assert http.get_start("b", "k", 20)[1].size == len(OBJECT)


def test_the_start_of_an_object_is_not_all_of_it_in_memory() -> None:
    with Server(200, OBJECT) as http, pytest.raises(StoreFault, match="more bytes"):
        http.get_start("b", "k", 5)


def test_a_head_without_a_length_is_no_empty_object() -> None:
    with Server(206, OBJECT[:1], content_range=f"bytes 0-0/{len(OBJECT)}") as http:
        assert http.head("b", "k") == StoredObject("k", len(OBJECT), "")


def test_the_start_of_an_object_of_unknown_size_is_not_taken_for_all_of_it() -> None:
    with Server(206, OBJECT[:4], content_range="bytes 0-3/*") as http, pytest.raises(StoreFault, match="size"):
        http.get_start("b", "k", 4)


def test_what_is_not_there_counts_as_deleted() -> None:
    with Server(404, b"<Error><Code>NoSuchKey</Code></Error>") as http:
        http.delete("b", "k")
    with Server(404, b"<Error><Code>NoSuchBucket</Code></Error>") as http, pytest.raises(StoreFault):
        http.delete("b", "k")
