"""Credentials of an STS for the service account's token: asked for, renewed, and what is said when they cannot be had."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import boto3
import pytest

from tests.integration.agent_rig import Job, S3Server, job, wait_for
from tests.support.faults import Fault, FaultProxy
from tests.support.s3servers import running
from trainyard.agent.adapters.webidentity import WebIdentity
from trainyard.api.names import credentials_token
from trainyard.api.plan import WebIdentityPlan
from trainyard.api.report import Result

STS = "^POST /$"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """S3 and an STS at one URL."""
    directory = tmp_path_factory.mktemp("moto") / "data"
    directory.mkdir()
    with running("moto", directory) as url:
        yield url


@pytest.fixture
def proxy(moto: str) -> Iterator[FaultProxy]:
    with FaultProxy(moto) as made:
        yield made


@pytest.fixture
def one(moto: str, proxy: FaultProxy, tmp_path: Path) -> Iterator[Job]:
    """A job whose role has a web identity; the STS is behind the proxy, S3 is not."""
    client = boto3.client(
        "s3", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    server = cast("S3Server", SimpleNamespace(url=moto, client=client))
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        made.timing = replace(made.timing, read=20, renewal=10)
        for file in made.credentials.iterdir():
            file.unlink()
        made.change(store=made.plan.store.but(credentials_secret=None, web_identity=plan(proxy.url)))
        (made.pod.root / "identity").mkdir()
        (made.pod.root / "identity/token").write_text("first")
        made.put("d/x", body=b"content")
        made.channel("d/")
        yield made


def plan(url: str) -> WebIdentityPlan:
    role = "arn:aws:iam::123456789012:role/training"
    return WebIdentityPlan(role_arn=role, sts_endpoint_url=url, duration_seconds=900, session_name="trainyard-ns-job")


def asked(proxy: FaultProxy) -> int:
    return proxy.requests.count("POST /")


def test_data_is_staged_with_what_the_sts_gives(one: Job, proxy: FaultProxy) -> None:
    assert one.pod.stage().result is Result.STAGED
    assert (one.pod.ml / "input/data/train/x").read_bytes() == b"content"
    assert asked(proxy) == 1


def test_training_gets_them_too_with_their_end(one: Job, proxy: FaultProxy) -> None:
    one.change(training_credentials=True)
    one.pod.start()
    token = credentials_token(one.plan.job.uid, one.plan.job.attempt)
    for _ in range(2):
        request = urllib.request.Request(
            f"http://{one.pod.host.address}:{one.port}/credentials", headers={"Authorization": token}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            found = json.loads(answer.read())
    assert found["Token"]
    assert found["Expiration"].startswith("20")
    assert asked(proxy) == 1


def test_streams_and_checkpoints_have_them_too(one: Job, proxy: FaultProxy) -> None:
    one.channels({"s3_uri": one.uri("d/"), "input_mode": "Pipe"})
    one.put("ck/step-1", body=b"earlier")
    one.keep_checkpoints()
    one.pod.start()
    one.pod.run_training({"model.bin": b"model"})
    assert (one.pod.ml / "input/data/train_0").read_bytes() == b"content"
    assert (one.pod.ml / "checkpoints/step-1").read_bytes() == b"earlier"
    one.pod.write({"step-2": b"new"}, "checkpoints")

    def kept() -> bool:
        found = one.server.client.list_objects_v2(Bucket=one.bucket, Prefix="ck/step-2")
        return "ck/step-2" in [item["Key"] for item in found.get("Contents", [])]

    wait_for("the checkpoint", kept)
    one.pod.training_ends(0)
    assert one.pod.end().result is Result.COMMITTED
    assert asked(proxy) >= 2  # each process asks for itself


def test_an_sts_that_fails_for_a_moment_is_asked_again(one: Job, proxy: FaultProxy) -> None:
    proxy.faults.append(Fault(STS, 3, answer=(503, "ServiceUnavailable")))
    assert one.pod.stage().result is Result.STAGED


def test_an_sts_that_refuses_is_quoted(one: Job, proxy: FaultProxy) -> None:
    proxy.faults.append(Fault(STS, None, answer=(403, "AccessDenied")))
    report = one.pod.stage(code=1)
    assert report.reason == "NoCredentials"
    assert f"the STS at {proxy.url} answers 403 (AccessDenied: made up by the proxy)" in (report.message or "")
    assert "spec.webIdentity" in (report.message or "")


def test_an_sts_where_no_endpoint_may_be_gets_no_token(one: Job, proxy: FaultProxy) -> None:
    one.change(store=one.plan.store.but(denied_addresses=["127.0.0.0/8"]))
    report = one.pod.stage(code=1)
    assert f"the STS at {proxy.url} is at 127.0.0.1, which s3.deniedAddresses forbid" in (report.message or "")
    assert proxy.requests == []


def test_a_token_that_is_not_there_is_named(one: Job) -> None:
    (one.pod.root / "identity/token").unlink()
    report = one.pod.stage(code=1)
    assert "the token of the service account is not there" in (report.message or "")


def test_a_rotated_token_is_shown_to_the_sts_and_an_old_one_is_not_asked_about_again(
    proxy: FaultProxy, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    source = WebIdentity(plan(proxy.url), token)
    first = source()
    assert source() == first
    assert asked(proxy) == 1
    token.write_text("second")
    assert source() != first
    assert asked(proxy) == 2


def test_good_credentials_are_used_while_the_sts_is_away(proxy: FaultProxy, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    source = WebIdentity(plan(proxy.url), token)
    first = source()
    token.write_text("second")
    proxy.faults.append(Fault(STS, None, answer=(500, "InternalFailure")))
    assert [source(), source()] == [first, first]
    assert asked(proxy) == 2  # and not again for each request
    assert (first.expires or 0) > time.time() + 600


def test_what_s3_calls_expired_is_asked_for_anew(one: Job, proxy: FaultProxy) -> None:
    s3 = proxy.url
    one.change(store=one.plan.store.but(endpoint_url=s3))
    fault = Fault("^GET .*list-type=2", 1, answer=(400, "ExpiredToken"))
    proxy.faults.append(fault)
    assert one.pod.stage().result is Result.STAGED
    assert asked(proxy) == 2
