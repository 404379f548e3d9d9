"""An S3 server whose certificate is of an authority of its own: trusted if the role names that, by both engines and by training."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from hack import ports, tools
from tests.integration.agent_rig import ACCESS_KEY, SECRET_KEY, Job, S3Server, find_versitygw, job, wait_for
from tests.support import certificates
from trainyard.api.report import Result


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Job]:
    """Its endpoint speaks TLS; the rig itself reaches the same files without."""
    binary = find_versitygw()
    if binary is None:
        pytest.skip("no versitygw: run `make setup`, or set TRAINYARD_VERSITYGW")
    files = tmp_path / "s3"
    files.mkdir()
    made = certificates.make(tmp_path)
    port = ports.free()
    plain = S3Server(binary, files)
    secure = subprocess.Popen(
        [
            tools.VERSITYGW.binary, "--port", f"127.0.0.1:{port}", "--cert", made.server, "--key", made.key, "--quiet", "posix", files
        ],
        env=os.environ | {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": SECRET_KEY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for("the TLS server", lambda: _speaks(port, made.authority))
        with job(plain, tmp_path, f"b-{uuid4().hex}", url=f"https://127.0.0.1:{port}") as one:
            one.put("d/plain", "d/ünusual")
            one.channel("d/")
            yield one
    finally:
        secure.terminate()
        secure.wait()
        plain.close()


def _speaks(port: int, authority: Path) -> bool:
    try:
        ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(authority), timeout=2)
    except OSError:
        return False
    return True


def trust(monkeypatch: pytest.MonkeyPatch, authority: Path) -> None:
    """As controller.core.pods does."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("SSL_CERT_DIR", "/etc/ssl/certs")


def test_an_authority_that_nobody_named_is_not_trusted(one: Job) -> None:
    report = one.pod.stage(code=1)
    assert "has no certificate that can be trusted" in (report.message or "")
    assert "spec.s3.caBundleConfigMapRef" in (report.message or "")


def test_the_roles_authority_is_trusted(one: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(monkeypatch, tmp_path / "ca.pem")
    assert one.pod.stage().objects == 2


def test_streams_checkpoints_and_artifacts_trust_it_too(
    one: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(monkeypatch, tmp_path / "ca.pem")
    one.channels({"s3_uri": one.uri("d/"), "input_mode": "Pipe"})
    one.keep_checkpoints()
    one.pod.start()
    one.pod.run_training({"model.bin": b"model"})
    assert (one.pod.ml / "input/data/train_0").read_bytes() == "d/plaind/ünusual".encode()
    one.pod.write({"step-1": b"new"}, "checkpoints")
    wait_for("the checkpoint", lambda: one.checkpoints().get("step-1") == b"new")
    one.pod.training_ends(0)
    assert one.pod.end().result is Result.COMMITTED
    assert one.model() == {"model.bin": b"model"}


def test_large_objects_come_whole_through_tls_and_none_of_them_twice(
    one: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(monkeypatch, tmp_path / "ca.pem")
    bodies = {"d/middle": os.urandom(2 << 20), "d/large": os.urandom((20 << 20) + 1)}
    for key, body in bodies.items():
        one.put(key, body=body)
    assert one.pod.stage().objects == 4
    for key, body in bodies.items():
        assert (one.pod.ml / "input/data/train" / key.removeprefix("d/")).read_bytes() == body
    told = json.loads((one.pod.state / "stage.json").read_text())
    assert (told["fallbacks"], told["damaged"]) == (0, 0)
