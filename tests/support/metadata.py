"""An instance metadata service as EC2's, in its second version: a token by PUT, then what the token's holder asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "a token of the service's own"
ROLE = "node-role"
CREDENTIALS = "/latest/meta-data/iam/security-credentials/"


@dataclass
class Metadata:
    """`requests` so far, as METHOD PATH; those without the token are refused, as where version 1 is switched off."""

    access_key: str
    secret_key: str
    url: str = ""
    requests: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=lambda: [ROLE])

    def environment(self) -> dict[str, str]:
        """With which AWS's SDKs ask here, and not at the link-local address."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}

    def answer(self, method: str, path: str, token: str, ttl: str) -> tuple[int, str]:
        self.requests.append(f"{method} {path}")
        if (method, path) == ("PUT", "/latest/api/token"):
            return (200, TOKEN) if ttl.isdigit() else (400, "")
        if token != TOKEN:
            return 401, ""
        if path == CREDENTIALS:
            return (200, "\n".join(self.roles)) if self.roles else (404, "")
        if path == f"{CREDENTIALS}{ROLE}":
            end = datetime.now(UTC) + timedelta(hours=6)
            return 200, json.dumps(
                {
                    "Code": "Success",
                    "Type": "AWS-HMAC",
                    "LastUpdated": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "AccessKeyId": self.access_key,
                    "SecretAccessKey": self.secret_key,
                    "Token": "session",
                    "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            )
        return 404, ""


def _handler(service: Metadata) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            headers = self.headers
            status, body = service.answer(
                self.command,
                self.path,
                headers.get("x-aws-ec2-metadata-token", ""),
                headers.get("x-aws-ec2-metadata-token-ttl-seconds", ""),
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_PUT = _serve  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(access_key: str, secret_key: str) -> Iterator[Metadata]:
    service = Metadata(access_key, secret_key)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(service)) as server:
        service.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield service
        finally:
            server.shutdown()
