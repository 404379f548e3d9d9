"""Input that is replaced while it is being read: training never gets a file of two versions, and is told which object it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.agent_rig import Job
from tests.support.faults import Fault, FaultProxy
from trainyard.api.report import Result

LARGE = r"^GET \S+/d/large"
BIG = 20_000_000  # three ranges


@pytest.fixture
def one(behind: Job) -> Job:
    behind.put("d/large", body=os.urandom(BIG))
    behind.channel("d/")
    return behind


def large(one: Job) -> Path:
    return one.pod.ml / "input/data/train/large"


@pytest.mark.parametrize("size", [BIG, BIG // 2, BIG * 2], ids=["as long", "shorter", "longer"])
@pytest.mark.parametrize("ranges", [1, 2])
def test_an_object_that_is_replaced_between_two_ranges_is_refused_by_name(
    one: Job, proxy: FaultProxy, ranges: int, size: int
) -> None:
    new = os.urandom(size)
    proxy.faults.append(Fault(LARGE, 1, skip=ranges, then=lambda: one.put("d/large", body=new)))
    report = one.pod.stage(code=1)
    assert report.reason == "DataDownloadFailed"
    words = f"{one.uri('d/large')} has changed since it was listed: do not replace input data while a job uses it"
    assert words in (report.message or "")
    assert not large(one).exists()
    # The next attempt lists anew, and what is left of this one is not taken for a part of it.
    proxy.faults.clear()
    assert one.pod.stage().result is Result.STAGED
    assert large(one).read_bytes() == new


def test_an_object_that_is_replaced_while_a_range_is_tried_again_is_refused_by_name(
    one: Job, proxy: FaultProxy
) -> None:
    # The first try has written half a range of the old version.
    proxy.faults += [
        Fault(LARGE, 3, down="cut", at=3_000_000),
        Fault(LARGE, 1, then=lambda: one.put("d/large", body=os.urandom(BIG))),
    ]
    report = one.pod.stage(code=1)
    assert f"{one.uri('d/large')} has changed since it was listed" in (report.message or "")
    assert not large(one).exists()


def test_an_object_that_is_deleted_between_two_ranges_is_refused_by_name(one: Job, proxy: FaultProxy) -> None:
    proxy.faults.append(
        Fault(LARGE, 1, skip=1, then=lambda: one.server.client.delete_object(Bucket=one.bucket, Key="d/large"))
    )
    report = one.pod.stage(code=1)
    assert report.reason == "DataDownloadFailed"
    assert f"{one.uri('d/large')} is gone since it was listed" in (report.message or "")
    assert not large(one).exists()


def test_an_object_that_is_written_again_with_the_same_bytes_is_taken(one: Job, proxy: FaultProxy) -> None:
    same = one.server.read(one.bucket, "d/large")
    proxy.faults.append(Fault(LARGE, 1, skip=1, then=lambda: one.put("d/large", body=same)))
    assert one.pod.stage().result is Result.STAGED
    assert large(one).read_bytes() == same
