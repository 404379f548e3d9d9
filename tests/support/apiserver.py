"""An HTTP server that answers for TrainingJobs as an apiserver does, for texts and for waiting; rules are the real one's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

PREFIX = "/apis/trainyard.dev/v1alpha1/namespaces/"


def status(code: int, reason: str, message: str, name: str = "") -> tuple[int, dict[str, Any]]:
    """An answer of Kubernetes' kind Status."""
    details = {"name": name, "group": "trainyard.dev", "kind": "trainingjobs"}
    said = {"status": "Failure", "message": message, "reason": reason, "details": details, "code": code}
    return code, {"kind": "Status", "apiVersion": "v1"} | said


class Apiserver:
    """`jobs` by (namespace, name). `answers` are given first, one for each request, in place of the true ones: (code, body)."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.jobs: dict[tuple[str, str], dict[str, Any]] = {}
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, str, str, Any]] = []  # method, path, content type, body

    def kubeconfig(self, path: Path, **context: str) -> Path:
        cluster = {"name": "double", "cluster": {"server": self.url}}
        user = {"name": "me", "user": {"token": "t"}}
        named = {"name": "here", "context": {"cluster": "double", "user": "me"} | context}
        content = {"apiVersion": "v1", "kind": "Config", "current-context": "here"}
        path.write_text(yaml.safe_dump(content | {"clusters": [cluster], "users": [user], "contexts": [named]}))
        return path

    def answer(self, method: str, path: str, content_type: str, body: Any) -> tuple[int, Any]:
        self.requests.append((method, path, content_type, body))
        if self.answers:
            return self.answers.pop(0)
        namespace, _, name = path.partition("?")[0].removeprefix(PREFIX).split("/")
        job = self.jobs.get((namespace, name))
        if job is None:
            return status(404, "NotFound", f'trainingjobs.trainyard.dev "{name}" not found', name)
        if method == "PATCH":
            if body["metadata"]["uid"] != job["metadata"]["uid"]:
                return status(409, "Conflict", "uid does not match", name)
            job["spec"] |= body["spec"]
        return 200, job


def _handler(double: list[Apiserver]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            code, body = double[0].answer(self.command, self.path, self.headers.get("Content-Type", ""), sent)
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = _serve  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[Apiserver]:
    made: list[Apiserver] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    made.append(Apiserver(server))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
