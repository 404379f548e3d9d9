"""The benchmarks of staging, streams, upload and archive in their smallest form: that they run, and that all of them carry whole data."""

from __future__ import annotations

from pathlib import Path

from tests.bench import pipes
from tests.bench.transfer import archive, staging, upload
from tests.integration.agent_rig import S3Server

PEERS = ["s5cmd", "rclone", "aws s3 cp", "boto3"]


def test_staging_is_measured_beside_every_peer() -> None:
    found = staging.run(["small", "small-tls", "large", "large-core", "huge", "versitygw"], 1, short=True, who=PEERS)
    assert found.keys() == {"small_vs_s5cmd", "large_vs_best", "first_get_s", "peak_rss_mib"}
    assert all(value > 0 for value in found.values())


def test_upload_is_measured_beside_every_peer() -> None:
    found = upload.run(["one", "many"], 1, short=True, who=PEERS)
    assert found.keys() == {"upload_vs_s5cmd", "peak_rss_mib"}
    assert all(value > 0 for value in found.values())


def test_archives_are_measured_beside_what_one_would_write_by_hand() -> None:
    found = archive.run(1, short=True, megabytes=20)
    assert found.keys() == {"archive_vs_gzip", "archive_ratio", "peak_rss_mib"}
    assert 0 < found["archive_ratio"] < 1.05


def test_streams_are_measured_beside_curl(server: S3Server, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    found = pipes.compare(server, tmp_path, "small", 8, size=128 << 10, runs=1)
    assert (found["objects"], found["bytes"]) == (8, 1 << 20)
    assert found.keys() == {"objects", "bytes", "agent/curl", "peak"}
    assert all(isinstance(value, float | int) and value > 0 for value in found.values())
