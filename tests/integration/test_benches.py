"""The benchmarks of staging, streams, upload and archive in their smallest form: that they run, and that all of them carry whole data."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.bench import pipes
from tests.bench.transfer import archive, limits, loads, measured, sharded, staging, sync, upload
from tests.bench.transfer.channels import Load
from tests.bench.transfer.servers import QuickServer, Way, serving
from tests.integration.agent_rig import S3Server

PEERS = ["s5cmd", "rclone", "aws s3 cp", "boto3"]


def test_staging_is_measured_beside_every_peer() -> None:
    found = staging.run(["small", "small-tls", "large", "large-core", "one", "versitygw"], 1, short=True, who=PEERS)
    assert found.keys() == {"small_vs_s5cmd", "large_vs_best", "first_get_s", "peak_rss_mib"}
    assert all(value > 0 for value in found.values())


def test_staging_is_measured_by_hosts_that_share_by_key() -> None:
    rows = sharded.measure(Load("60", "small", loads.small(60), True), (1, 3), 1)
    assert [row.name for row in rows] == ["agent, 1 host", "s5cmd run, 1 host", "agent, 3 hosts", "s5cmd run, 3 hosts"]
    assert all(row.runs[0].hosts >= row.seconds > 0 for row in rows)


def test_staging_is_measured_where_answers_go_wrong() -> None:
    load = Load("60", "small", loads.small(60), True, way=Way(faults=0.1))
    rows = staging.measure(QuickServer, load, 1, ["s5cmd", "rclone"])
    assert rows.keys() == {"agent", "s5cmd", "rclone"}
    assert rows["agent"].runs[0].faults > 0


def test_the_same_answers_go_wrong_each_time_and_none_for_ever(tmp_path: Path) -> None:
    load = Load("60", "small", loads.small(60), True)
    with serving(QuickServer, tmp_path, Way(faults=0.3)) as server:
        load.fill(server, "bench")

        def codes() -> list[int]:
            """HTTP status of each key's first answer, 0 for one that is cut; each key is asked for until it comes."""
            server.stats()
            found = []
            for key, body in load.objects.items():
                answers = [_get(f"{server.url}/bench/{key}")]
                while answers[-1] != (200, body):
                    answers.append(_get(f"{server.url}/bench/{key}"))
                    assert len(answers) < 20
                found.append(answers[0][0])
            return found

        first = codes()
        assert set(first) == {200, 503, 0}
        assert codes() == first


def _get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, http.client.IncompleteRead):
        return 0, b""


def test_staging_is_measured_within_limits_that_hold(tmp_path: Path) -> None:
    try:
        with limits.limited(cpus=0.1) as within:
            took = subprocess.run([*within, sys.executable, "-c", "bytearray(400 << 20)"], check=False)
            assert took.returncode == -signal.SIGKILL
            burnt = measured.run([*within, "sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"], tmp_path)
            assert burnt.seconds > 3 * burnt.cpu
    except limits.Unlimited as error:
        pytest.skip(str(error))
    rows = staging.measure(QuickServer, Load("60", "small", loads.small(60), True, limited=True), 1, ["s5cmd"])
    assert rows.keys() == {"agent", "s5cmd"}


def test_upload_is_measured_beside_every_peer() -> None:
    found = upload.run(["one", "many"], 1, short=True, who=PEERS)
    assert found.keys() == {"upload_vs_s5cmd", "peak_rss_mib"}
    assert all(value > 0 for value in found.values())


def test_upload_is_measured_through_tls_and_of_large_files() -> None:
    assert upload.run(["tls", "large"], 1, short=True, who=["s5cmd"]) == {}, "figures are those of `one`"


def test_checkpoints_of_a_training_that_is_killed_are_measured_beside_a_loop() -> None:
    (ours,), (theirs,) = sync.measure(sync.Training(5, 1_000_000, 0.5, 0.4), 1, ["s5cmd"]).values()
    assert (ours.idle, theirs.idle >= 1) == (0, True)
    for run in (ours, theirs):
        assert 0 <= run.newest <= run.written
        assert len(run.ages) == sync.MOMENTS + 1
        assert min(run.sent, run.requests, run.rss) > 0


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
