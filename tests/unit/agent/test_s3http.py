"""What is asked of S3, header by header."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trainyard.agent.adapters.s3http import S3Http
from trainyard.agent.ports import Credentials


@pytest.mark.parametrize(("etag", "asked"), [('"abc"', '"abc"'), ("", None)])
def test_a_version_is_asked_for_only_where_the_listing_told_one(etag: str, asked: str | None) -> None:
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append(self.headers.get("if-match"))
            self.send_response(206)
            self.send_header("content-length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        http = S3Http(f"http://127.0.0.1:{server.server_address[1]}", "r", False, lambda: Credentials("a", "b", None))
        assert bytes(http.get("b", "k", first=0, length=5, etag=etag)) == b"hello"
        assert bytes(http.get_whole("b", "k", etag)[0]) == b"hello"
        server.shutdown()
    assert seen == [asked] * 2
