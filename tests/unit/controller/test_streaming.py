"""Why a job waits for its data: asked for while it is staged, and while training reads streams, and shown as long as it does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import objects as o
from trainyard.api.report import Phase, Report
from trainyard.controller.app.reports import CHECKPOINTS_SECONDS, INTERVAL_SECONDS, STREAMS_SECONDS, interval
from trainyard.controller.core.policies import decide
from trainyard.controller.core.snapshot import Snapshot
from trainyard.controller.core.status import reduce

PIPE = {"channelName": "train", "inputMode": "Pipe", "dataSource": {"s3DataSource": {"s3URI": "s3://b/p"}}}
KEEPS = {"checkpointConfig": {"s3URI": "s3://b/ck"}}
BOARD = {"tensorBoardOutputConfig": {"s3OutputPath": "s3://b/tb"}}
BLOCKED = Report(host="algo-1", phase=Phase.TRAINING, reason="DownloadBlocked", message="S3 answers 503 (SlowDown)")


def ready(of: Snapshot) -> tuple[str, str, str]:
    (found,) = [each for each in reduce(of, decide(of)).conditions if each.type == "Ready"]
    return found.status, found.reason, found.message


def test_a_stream_that_waits_shows_in_the_condition_while_training_goes_on() -> None:
    job = o.job(inputDataConfig=[PIPE])
    waits = o.snapshot(job, [o.training()], reports={"pod-algo-1": BLOCKED})
    assert ready(waits) == ("True", "DownloadBlocked", "the stream of algo-1 waits: S3 answers 503 (SlowDown)")
    goes_on = o.snapshot(job, [o.training()], reports={"pod-algo-1": BLOCKED.but(reason=None)})
    assert ready(goes_on)[1] == "Training"
    over = o.snapshot(job, [o.uploading()], reports={"pod-algo-1": BLOCKED})
    assert ready(over)[1] == "Uploading"


def test_what_was_in_the_way_while_it_staged_is_not_said_of_training() -> None:
    staged = BLOCKED.but(phase=Phase.STAGING)
    assert ready(o.snapshot(o.job(), [o.training()], reports={"pod-algo-1": staged}))[1] == "Training"


def test_files_that_s3_refuses_while_training_runs_show_in_the_condition() -> None:
    refused = BLOCKED.but(reason="UploadBlocked", message="bucket tb does not exist")
    shown = ready(o.snapshot(o.job(**BOARD), [o.training()], reports={"pod-algo-1": refused}))
    assert shown == ("True", "UploadBlocked", "S3 does not take what algo-1 writes: bucket tb does not exist")


def test_a_storage_volume_that_is_full_shows_in_the_condition_while_training_goes_on() -> None:
    told = BLOCKED.but(reason="DiskFull", message="the storage volume of algo-1 is full (0 bytes are free)")
    full = o.snapshot(o.job(), [o.training()], reports={"pod-algo-1": told})
    assert ready(full) == ("True", "DiskFull", "the storage volume of algo-1 is full (0 bytes are free)")


def test_hosts_with_a_volume_of_their_own_are_asked_whether_it_is_full() -> None:
    own = o.instance_type(storageClassName="gp3")
    assert interval(o.snapshot(o.job(), [o.training()], instance_type=own), o.training()) == CHECKPOINTS_SECONDS


def staging(*reports: Report) -> tuple[tuple[str, str, str], str]:
    """What the condition Ready says, and the status message, with such reports of hosts that stage."""
    hosts = [report.host for report in reports]
    job = o.job(hosts=len(hosts))
    seen = o.snapshot(job, [o.staging(host) for host in hosts], reports={f"pod-{each.host}": each for each in reports})
    return ready(seen), reduce(seen, decide(seen)).secondary_status_transitions[-1].status_message


def test_s3_that_keeps_failing_while_data_is_staged_shows_in_condition_and_message() -> None:
    blocked = BLOCKED.but(phase=Phase.STAGING)
    assert staging(blocked) == (("False", "DownloadBlocked", "S3 answers 503 (SlowDown)"), "S3 answers 503 (SlowDown)")
    assert staging(blocked.but(reason=None, message=None))[0][1:] == ("Staging", "Downloading input data")


def test_a_host_whose_data_comes_slowly_is_said_of_the_job_unless_another_gets_none() -> None:
    slow = BLOCKED.but(
        phase=Phase.STAGING, reason="DownloadSlow", message="the data of algo-1 comes from S3 at about 1 kB/s"
    )
    assert staging(slow)[0] == ("False", "DownloadSlow", "the data of algo-1 comes from S3 at about 1 kB/s")
    assert staging(slow, BLOCKED.but(host="algo-2", phase=Phase.STAGING))[0][1] == "DownloadBlocked"


def test_one_host_that_is_blocked_is_said_of_the_job_while_others_wait() -> None:
    blocked = BLOCKED.but(host="algo-2", phase=Phase.STAGING)
    waits = Report(host="algo-1", phase=Phase.WAITING, reason="WaitingForHosts", message="waiting for algo-2")
    assert staging(waits, blocked)[0] == ("False", "DownloadBlocked", "S3 answers 503 (SlowDown)")


def test_hosts_that_are_ready_show_for_whom_they_wait() -> None:
    waits = Report(host="algo-1", phase=Phase.WAITING, reason="WaitingForHosts", message="waiting for algo-2")
    text = "Downloading input data: some hosts are ready and wait for algo-2"
    assert staging(waits, Report(host="algo-2", phase=Phase.STAGING)) == (("False", "WaitingForHosts", text), text)


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 0),
        (KEEPS, CHECKPOINTS_SECONDS),
        (BOARD, CHECKPOINTS_SECONDS),
        ({"inputDataConfig": [PIPE]}, STREAMS_SECONDS),
        (KEEPS | {"inputDataConfig": [PIPE]}, STREAMS_SECONDS),
    ],
)
def test_hosts_that_train_are_asked_only_where_there_is_something_to_tell(spec: dict[str, Any], seconds: float) -> None:
    job = o.job(**spec)
    assert interval(o.snapshot(job, [o.training()]), o.training()) == seconds
    assert interval(o.snapshot(job, [o.staging()]), o.staging()) == INTERVAL_SECONDS
