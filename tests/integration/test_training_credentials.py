"""The role's credentials as training gets them: AWS's own SDK in a process that has nothing but what the pod's spec gives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.agent_rig import Job, S3Server, job
from trainyard.api.names import PATH_CREDENTIALS, agent_token, credentials_token

READ = """
import boto3, json, sys
session = boto3.Session()
found = session.get_credentials()
body = session.client("s3").get_object(Bucket=sys.argv[1], Key="k")["Body"].read().decode()
print(json.dumps([found.method, session.region_name, body, found._expiry_time.timestamp() > 0]))
"""


@pytest.fixture
def one(server: S3Server, tmp_path: Path) -> Iterator[Job]:
    with job(server, tmp_path, f"b-{uuid4().hex}") as made:
        made.put("k", body=b"content")
        made.change(training_credentials=True)
        yield made


def environment(one: Job) -> dict[str, str]:
    """As controller.core.pods gives it, but for the port."""
    identity = one.plan.job
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{one.pod.host.address}:{one.port}{PATH_CREDENTIALS}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": credentials_token(identity.uid, identity.attempt),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": one.server.url,
        "PATH": os.environ["PATH"],
        "HOME": "/none",
    }


def in_training(one: Job, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", READ, one.bucket],
        env=environment(one) | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ask(one: Job, token: str | None, address: str | None = None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"http://{address or one.pod.host.address}:{one.port}{PATH_CREDENTIALS}")
    if token is not None:
        request.add_header("Authorization", token)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        body = error.read()
        return error.code, json.loads(body) if body else {}


def token(one: Job) -> str:
    return credentials_token(one.plan.job.uid, one.plan.job.attempt)


def test_boto3_in_an_unmodified_program_reads_with_the_roles_credentials(one: Job) -> None:
    one.pod.start()
    done = in_training(one)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["container-role", "us-east-1", "content", True]


def test_a_rotated_secret_is_what_is_given(one: Job) -> None:
    one.pod.start()
    before = ask(one, token(one))[1]
    one.set_credentials(access="rotated", secret="anew")
    after = ask(one, token(one))[1]
    assert (before["AccessKeyId"], after["AccessKeyId"], after["SecretAccessKey"]) == (
        "rig-access-key",
        "rotated",
        "anew",
    )


def test_what_a_service_account_brings_is_given_with_its_end(one: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in one.credentials.iterdir():
        file.unlink()
    one.change(store=one.plan.store.but(credentials_secret=None))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the pod")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "too")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "and this")
    one.pod.start()
    status, found = ask(one, token(one))
    assert (status, found["AccessKeyId"], found["SecretAccessKey"], found["Token"]) == (
        200,
        "of the pod",
        "too",
        "and this",
    )


def test_a_missing_secret_is_an_answer_that_says_what_to_do(one: Job) -> None:
    (one.credentials / "AWS_ACCESS_KEY_ID").unlink()
    one.pod.start()
    status, found = ask(one, token(one))
    assert (status, found["code"]) == (503, "NoCredentials")
    assert 'Secret "s3-keys" of the ExecutionRole' in found["message"]


def test_the_token_of_the_operator_opens_nothing_here_and_the_other_way_round(one: Job) -> None:
    one.pod.start()
    others = agent_token(one.plan.job.uid, one.plan.job.attempt)
    assert [ask(one, wrong)[0] for wrong in (None, "", "wrong", others, f"Bearer {others}")] == [401] * 5
    for header in (token(one), f"Bearer {token(one)}"):
        request = urllib.request.Request(
            f"http://{one.pod.host.address}:{one.port}/report", headers={"Authorization": header}
        )
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=5)


def test_from_outside_of_the_pod_there_is_nothing_to_ask(one: Job) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: it tells which address is this machine's own
        outside = probe.getsockname()[0]
    assert not outside.startswith("127.")
    one.pod.host = one.pod.host.but(address=outside)
    one.pod.start()
    assert ask(one, token(one)) == (404, {})


def test_a_role_that_lends_nothing_has_nothing_to_ask_for(one: Job) -> None:
    one.change(training_credentials=False)
    one.pod.start()
    assert ask(one, token(one)) == (404, {})
    done = in_training(one)
    assert done.returncode != 0
