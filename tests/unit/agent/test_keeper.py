"""What a pass over checkpoints asks of a server that takes everything and deletes nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.agent.builders import plan
from trainyard.agent.app import mirrored, restore
from trainyard.agent.app.keeper import MOST_REFUSED, Keeper
from trainyard.agent.app.settings import Settings
from trainyard.agent.errors import AgentError
from trainyard.api.plan import CheckpointPlan, StorePlan

NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"


class Server:
    """`asked`: (method, path) of every request."""

    def __init__(self, *, denies: bool = False) -> None:
        asked: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self, code: int, body: bytes = b"") -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                asked.append((self.command, self.path))
                self.send_response(code)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self._answer(404, NO_KEY)

            def do_PUT(self) -> None:
                self._answer(403, DENIED) if denies else self._answer(200)

            def do_DELETE(self) -> None:
                self._answer(403, DENIED)

            def log_message(self, *_: object) -> None:
                pass

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, method: str) -> list[str]:
        return [path for asked, path in self.asked if asked == method]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings("algo-1", ml=tmp_path / "ml", state=tmp_path / "state", credentials=tmp_path / "keys")
    for directory in (made.checkpoints, made.state, made.credentials):
        directory.mkdir(parents=True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (made.credentials / name).write_text("x")
    return made


def keeper(server: Server, settings: Settings) -> Keeper:
    kept = CheckpointPlan(s3_uri="s3://b/ck", local_path="/opt/ml/checkpoints", interval_seconds=5)
    store = StorePlan(role="arn:role", endpoint_url=server.url, credentials_secret="s3")
    restore.record(settings, kept)
    made = plan(store=store, checkpoints=kept)
    return Keeper(settings, made, mirrored.checkpoints(settings, kept), lambda *_, **__: None, threading.Event())


def test_what_cannot_be_deleted_is_no_failure_and_is_soon_left_alone(server: Server, settings: Settings) -> None:
    for number in range(20):
        (settings.checkpoints / f"{number:02}").write_text("restored")
    found = keeper(server, settings)
    for path in settings.checkpoints.iterdir():
        path.unlink()
    (settings.checkpoints / "new").write_text("x")
    said = found.keep(last=True)
    assert server.of("PUT") == ["/b/ck/new"]
    assert len(server.of("DELETE")) == MOST_REFUSED
    assert (said["uploaded"], said["deleted"], said["refused"]) == (1, 0, None)


def test_a_refused_deletion_says_which_right_is_missing(server: Server, settings: Settings) -> None:
    (settings.checkpoints / "old").write_text("restored")
    found = keeper(server, settings)
    (settings.checkpoints / "old").unlink()
    assert found.keep(last=False)["refused"] is None
    assert server.of("DELETE") == [], "it may come back at once"
    said = found.keep(last=False)
    assert "allow the keys in Secret" in str(said["refused"])
    assert "s3:DeleteObject on arn:aws:s3:::b/ck/old" in str(said["refused"])


def test_a_file_that_was_away_for_one_look_is_not_deleted(server: Server, settings: Settings) -> None:
    (settings.checkpoints / "latest").write_text("restored")
    found = keeper(server, settings)
    (settings.checkpoints / "latest").rename(settings.checkpoints / "latest.sagemaker-ignore")
    found.keep(last=False)
    (settings.checkpoints / "latest.sagemaker-ignore").rename(settings.checkpoints / "latest")
    for _ in range(3):
        found.keep(last=False)
    assert server.asked == []


def test_an_upload_that_could_not_be_aborted_is_aborted_with_the_next_look(server: Server, settings: Settings) -> None:
    found = keeper(server, settings)
    found._begun.begin("b", "ck/large", "left")
    found.keep(last=False)
    assert server.of("DELETE") == ["/b/ck/large?uploadId=left"]


def test_files_go_up_in_the_order_in_which_they_were_written(server: Server, settings: Settings) -> None:
    found = keeper(server, settings)
    for age, name in enumerate(["latest", "b/shard", "a"]):
        path = settings.checkpoints / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        os.utime(path, ns=(10**18 - age, 10**18 - age))
    found.keep(last=True)
    assert server.of("PUT") == ["/b/ck/a", "/b/ck/b/shard", "/b/ck/latest"]


def test_a_directory_that_is_gone_is_not_taken_for_an_empty_one(server: Server, settings: Settings) -> None:
    (settings.checkpoints / "old").write_text("restored")
    found = keeper(server, settings)
    settings.checkpoints.rename(settings.checkpoints.with_name("elsewhere"))
    for _ in range(3):
        assert "cannot be opened (No such file or directory)" in str(found.keep(last=False)["refused"])
    assert server.asked == []


def test_what_is_refused_at_the_end_is_raised_only_once_it_had_all_the_time_there_is(settings: Settings) -> None:
    """So that a folder that comes after it is kept before that time begins."""
    server = Server(denies=True)
    try:
        found = keeper(server, settings)
        (settings.checkpoints / "step").write_text("new")
        assert "s3:PutObject" in str(found.keep(last=True)["refused"])
        threading.Timer(0.3, found._enough.set).start()
        with pytest.raises(AgentError):
            found.keep(last=True, stubborn=True)
    finally:
        server.close()
