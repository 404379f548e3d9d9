"""What ends a job, interrupted: a share that a host keeps by itself, and a commit whose process is killed before it could say so."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Any, Literal

import pytest

from tests.integration.agent_rig import JOB_ID, Job, wait_for
from tests.support.faults import Fault, FaultProxy
from trainyard.agent.app import publish
from trainyard.api.report import Result

SHARE = f"out/Job/trainyard-shares/{JOB_ID}-1/algo-1/model.tar.gz"
MODEL = "out/Job/output/model.tar.gz"
MANIFEST = "out/Job/trainyard-manifest.json"
PART = r"^PUT \S+partNumber="
COMPLETE = r"^POST \S+model.tar.gz\?uploadId="
BIG = 20_000_000  # three parts to write


@pytest.fixture
def one(behind: Job) -> Job:
    return behind


# A share


def trained(one: Job) -> dict[str, bytes]:
    """A host staged and trained, whose files make three parts."""
    assert one.pod.stage().result is Result.STAGED
    content = {"big": os.urandom(BIG)}
    one.pod.write(content)
    return content


def share(one: Job) -> list[str]:
    """What the upload process does where algo-1 is lost, in this one, and what it tells."""
    told: list[str] = []

    def tell(event: str, **_: Any) -> None:
        told.append(event)

    publish.Publisher(one.pod.settings, one.plan, tell).share(publish.Job("Completed"))
    assert told[-1] == "committed"
    return told


def abort(one: Job) -> None:
    """As a lifecycle rule does, to all uploads that are on their way."""
    for upload in one.server.client.list_multipart_uploads(Bucket=one.bucket).get("Uploads", []):
        one.server.client.abort_multipart_upload(Bucket=one.bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def is_kept(one: Job, content: dict[str, bytes]) -> None:
    """The share is whole, and nothing is left of how it came there; what is the job's was not touched."""
    assert one.server.archive(one.bucket, SHARE) == content
    assert set(one.server.keys(one.bucket)) == {SHARE, "out/Job/trainyard-attempt.json"}
    assert one.server.uploads(one.bucket) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_share_that_is_cut_at_any_request_is_whole_in_the_end(
    one: Job, proxy: FaultProxy, when: Literal["before", "after"]
) -> None:
    content = trained(one)
    proxy.requests.clear()
    share(one)
    is_kept(one, content)
    count = len(proxy.requests)
    assert count >= 6
    for number in range(count):
        proxy.faults[:] = [Fault("", 1, skip=number, reset=when)]
        one.server.client.delete_object(Bucket=one.bucket, Key=SHARE)
        share(one)
        assert proxy.faults[0].hits == 1
        is_kept(one, content)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_share_that_is_aborted_at_any_part_is_sent_again(one: Job, proxy: FaultProxy, number: int) -> None:
    content = trained(one)

    # Up to twice: what was begun again may meet the same fate.
    proxy.faults.append(Fault(f"{PART}{number}" if number < 4 else COMPLETE, 2, then=lambda: abort(one)))
    share(one)
    assert proxy.faults[0].hits
    is_kept(one, content)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("", 12, answer=(503, "SlowDown")), id="503"),
        pytest.param(Fault(PART, 3, up="flip", at=100_000), id="part corrupted"),
        pytest.param(Fault(PART, 3, up="cut", at=100_000), id="part truncated"),
        pytest.param(Fault(COMPLETE, 2, down="flip", at=60), id="completion's answer corrupted"),
        pytest.param(Fault(PART, 3, answer=(400, "ExpiredToken")), id="expired token"),
    ],
)
def test_a_share_is_whole_whatever_happens_on_the_way(one: Job, proxy: FaultProxy, fault: Fault) -> None:
    content = trained(one)
    proxy.faults.append(fault)
    share(one)
    assert fault.hits == fault.times
    is_kept(one, content)


def test_a_share_without_an_archive_whose_large_file_is_aborted_is_sent_again(one: Job, proxy: FaultProxy) -> None:
    one.change(compression="NONE")
    content = trained(one) | {"small": b"1"}
    one.pod.write(content)
    place = f"{SHARE.removesuffix('.tar.gz')}/"

    proxy.faults.append(Fault(r"^POST \S+/big\?uploadId=", 2, then=lambda: abort(one)))
    share(one)
    assert proxy.faults[0].hits == 2
    assert {key: one.server.read(one.bucket, f"{place}{key}") for key in content} == content
    assert one.server.uploads(one.bucket) == []


# A commit


def test_a_sidecar_that_is_killed_between_the_model_and_its_manifest_has_committed_one_model_after_its_restart(
    one: Job, proxy: FaultProxy
) -> None:
    held = threading.Event()
    proxy.faults.append(Fault(rf"^PUT \S+/{MANIFEST}", None, up="stall", then=held.set))
    content = {"big": os.urandom(BIG)}
    one.pod.start()
    one.pod.run_training(content)
    one.pod.training_ends()
    wait_for("the manifest on its way", held.is_set)
    one.pod.kill()
    assert one.model() == content
    assert MANIFEST not in one.server.keys(one.bucket)
    proxy.faults.clear()
    one.pod.start()
    report = one.pod.end()
    assert (report.result, report.message) == (Result.COMMITTED, None)
    assert one.model() == content
    stored = hashlib.sha256(one.server.read(one.bucket, MODEL)).hexdigest()
    assert [artifact["sha256"] for artifact in one.manifest()["artifacts"]] == [stored]
    assert one.manifest()["outcome"] == "Completed"
    assert set(one.server.keys(one.bucket)) == {MODEL, MANIFEST, "out/Job/trainyard-attempt.json"}
    assert one.server.uploads(one.bucket) == []


def test_a_manifest_that_may_not_be_read_holds_up_no_share(one: Job, proxy: FaultProxy) -> None:
    # As S3 has it for a missing key where the role may not list.
    content = trained(one)
    proxy.faults.append(Fault(rf"^GET \S+/{MANIFEST}", None, answer=(403, "AccessDenied")))
    assert "refused" not in share(one)
    assert one.server.archive(one.bucket, SHARE) == content
