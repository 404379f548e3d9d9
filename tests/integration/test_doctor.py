"""`trainyard doctor s3` against three servers: each shows what it differs in, and nothing stays behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.cli import Cli, runner
from tests.support.s3servers import ACCESS_KEY, SECRET_KEY, SERVERS, running
from trainyard.cli.core.conformance import CHECKS

# What each server cannot show: every other check must pass with it. docs/how-to/check-your-s3.md has the same table.
DIFFERENT = {
    "versitygw": {"aborted", "odd keys", "key and folder", "credentials"},
    "rclone": {"part sizes", "odd keys", "key and folder"},
    "moto": {"aborted", "damage", "checksums", "odd keys", "credentials"},
}
PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/check-your-s3.md"


@pytest.fixture(params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str, Any]]:
    """Name, URL, client."""
    for name, value in (("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)):
        monkeypatch.setenv(name, value)
    (tmp_path / "data").mkdir()
    with running(request.param, tmp_path / "data") as url:
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="trainyard-doctor/mine", Body=b"stays")
        yield request.param, url, client


def test_a_server_passes_all_but_what_it_is_known_for(
    server: tuple[str, str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    name, url, client = server
    cli: Cli = runner(capsys)
    done = cli("doctor", "s3", "--endpoint", url, "--bucket", "bucket", "-o", "json")
    found = json.loads(done.out)
    verdicts = {check["name"]: check["verdict"] for check in found["checks"]}
    assert {check for check, verdict in verdicts.items() if verdict != "pass"} == DIFFERENT[name], done.out
    assert (done.code, found["jobsRun"], len(verdicts)) == (0, True, len(CHECKS))
    # It takes away what it wrote, and that alone.
    assert [item["Key"] for item in client.list_objects_v2(Bucket="bucket")["Contents"]] == ["trainyard-doctor/mine"]
    assert not client.list_multipart_uploads(Bucket="bucket").get("Uploads")


def test_a_bucket_that_is_not_there_ends_it_with_one_line(
    server: tuple[str, str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    _, url, _ = server
    done = runner(capsys)("doctor", "s3", "--endpoint", url, "--bucket", "no-such-bucket")
    assert done.code == 1
    assert "access" in done.out
    assert "404 NoSuchBucket" in done.out
    assert "no job can run with it" in done.out
    assert len(done.out.splitlines()) == 2


def test_the_page_says_what_the_servers_show() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `") and line.count("|") == 6
    ]
    assert [row[0] for row in rows] == [f"`{check.name}`" for check in CHECKS]
    for number, name in enumerate(DIFFERENT, 2):
        assert {row[0].strip("`") for row in rows if row[number] != "yes"} == DIFFERENT[name], name
