"""The node's own credentials, of a metadata service as EC2's: used where the plan says so, and never asked for elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import boto3
import pytest

from tests.integration.agent_rig import ACCESS_KEY, SECRET_KEY, Job, S3Server, job
from tests.integration.test_training_credentials import ask, token
from tests.support import metadata
from tests.support.metadata import Metadata
from tests.support.s3servers import running
from trainyard.api.report import Result


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that takes sessions."""
    directory = tmp_path_factory.mktemp("moto") / "data"
    directory.mkdir()
    with running("moto", directory) as url:
        yield url


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    with metadata.serving(ACCESS_KEY, SECRET_KEY) as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def one(moto: str, service: Metadata, tmp_path: Path) -> Iterator[Job]:
    """A job whose role names no credentials at all."""
    client = boto3.client(
        "s3", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    server = cast("S3Server", SimpleNamespace(url=moto, client=client))
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        for file in made.credentials.iterdir():
            file.unlink()
        made.put("d/x", body=b"content")
        made.channel("d/")
        yield made


def use(one: Job, *, metadata: bool, secret: str | None = None) -> None:
    said = {"credentials_secret": secret, "instance_metadata": metadata}
    one.change(store=one.plan.store.but(**said))


def test_a_role_that_may_use_them_stages_trains_and_uploads_with_the_nodes_credentials(
    one: Job, service: Metadata
) -> None:
    use(one, metadata=True)
    one.change(training_credentials=True)
    one.pod.start()
    one.pod.run_training({"model.bin": b"model"})
    assert (one.pod.ml / "input/data/train/x").read_bytes() == b"content"
    status, lent = ask(one, token(one))
    assert (status, lent["AccessKeyId"], lent["Token"]) == (200, ACCESS_KEY, "session")
    one.pod.training_ends(0)
    report = one.pod.end()
    assert report.result is Result.COMMITTED
    assert [artifact.uri for artifact in report.artifacts] == [one.uri("out/Job/output/model.tar.gz")]
    # The second version alone: nothing is asked before there is a token.
    assert service.requests[0] == "PUT /latest/api/token"


def test_without_leave_the_service_is_not_even_asked(one: Job, service: Metadata) -> None:
    use(one, metadata=False)
    report = one.pod.stage(code=1)
    assert report.reason == "NoCredentials"
    assert "names no Secret and its service account brings no AWS credentials" in (report.message or "")
    one.change(training_credentials=True)
    one.pod.start()
    assert ask(one, token(one))[0] == 503
    assert service.requests == []


def test_a_secret_that_is_named_counts_and_the_node_is_not_asked_in_its_place(one: Job, service: Metadata) -> None:
    use(one, metadata=True, secret="s3-keys")
    report = one.pod.stage(code=1)
    assert 'Secret "s3-keys"' in (report.message or "")
    one.set_credentials()
    assert one.pod.stage().result is Result.STAGED
    assert service.requests == []


def test_a_node_without_a_role_is_said_to_have_none(one: Job, service: Metadata) -> None:
    service.roles.clear()
    use(one, metadata=True)
    report = one.pod.stage(code=1)
    assert report.reason == "NoCredentials"
    assert "its instance metadata service gives none" in (report.message or "")
