"""The agent against an S3 server behind a proxy that misbehaves: nothing is lost, nothing is wrong, and it is said why.

Two constants decide how long these take: `read`, which is a minute in a cluster, and the pauses between tries.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.integration.agent_rig import ACCESS_KEY, SECRET_KEY, Job, wait_for
from tests.support.faults import Fault, FaultProxy
from trainyard.agent.adapters import s3xml
from trainyard.agent.adapters.s3http import S3Http
from trainyard.agent.app import publish
from trainyard.agent.app.patience import Patience
from trainyard.agent.app.pipe import AHEAD
from trainyard.agent.app.store import Store
from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials
from trainyard.api.report import Phase, Result

MODEL = "out/Job/output/model.tar.gz"
GET_DATA = r"^GET \S+/d/"
PART = r"^PUT \S+partNumber="
COMPLETE = r"^POST \S+model.tar.gz\?uploadId="
MANIFEST = "trainyard-manifest"
BIG = 20_000_000  # three ranges to read, three parts to write


@pytest.fixture
def one(behind: Job) -> Job:
    behind.timing = replace(behind.timing, blocked_told=0.2, renewal=6)
    return behind


def data(one: Job, sizes: dict[str, int]) -> dict[str, bytes]:
    """Objects of the channel `train`."""
    content = {name: os.urandom(size) for name, size in sizes.items()}
    for name, body in content.items():
        one.put(f"d/{name}", body=body)
    one.channel("d/")
    return content


def staged(one: Job) -> dict[str, bytes]:
    directory = one.pod.ml / "input/data/train"
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def failure(one: Job) -> tuple[str | None, str]:
    report = one.pod.stage(code=1)
    assert report.result is Result.FAILED
    return report.reason, report.message or ""


# Downloads


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(GET_DATA, 4, answer=(500, "InternalError")), id="500"),
        pytest.param(Fault(GET_DATA, 8, answer=(503, "SlowDown")), id="503"),
        pytest.param(Fault(GET_DATA, 4, answer=(502, "")), id="502 of a proxy"),
        pytest.param(Fault(GET_DATA, 4, reset="before"), id="reset before"),
        pytest.param(Fault(GET_DATA, 4, reset="after"), id="reset after"),
        pytest.param(Fault(GET_DATA, 4, down="cut", at=1000), id="truncated"),
        pytest.param(Fault(GET_DATA, 4, down="flip", at=1000), id="corrupted"),
        pytest.param(Fault(GET_DATA, 4, down="stall", at=1000), id="stalled"),
        pytest.param(Fault("list-type=2", 3, answer=(503, "SlowDown")), id="listing 503"),
        pytest.param(Fault("list-type=2", 2, down="cut", at=400), id="listing truncated"),
        pytest.param(Fault("trainyard-attempt", 3, reset="after"), id="marker reset"),
    ],
)
def test_data_arrives_as_it_is_in_s3_whatever_happens_on_the_way(one: Job, proxy: FaultProxy, fault: Fault) -> None:
    content = data(one, {"big": BIG, "small": 5000, "ünusual": 5000})
    one.change(download_retry_seconds=20)
    proxy.faults.append(fault)
    assert one.pod.stage().result is Result.STAGED
    assert fault.hits == fault.times
    assert staged(one) == content


def test_one_connection_in_a_hundred_that_breaks_costs_no_data(one: Job, proxy: FaultProxy) -> None:
    content = data(one, {f"{number:03}": 2000 for number in range(400)})
    fault = Fault("", None, chance=0.01, reset="after")
    proxy.faults.append(fault)
    one.change(download_retry_seconds=20)
    assert one.pod.stage().objects == 400
    assert fault.hits
    assert staged(one) == content


def test_an_object_of_parts_that_comes_damaged_is_fetched_again(one: Job, proxy: FaultProxy) -> None:
    body = os.urandom(BIG)
    upload = one.server.client.create_multipart_upload(Bucket=one.bucket, Key="d/parts")["UploadId"]
    size = 6 * 1024 * 1024
    parts = [
        {"PartNumber": number, "ETag": one.server.client.upload_part(
            Bucket=one.bucket, Key="d/parts", UploadId=upload, PartNumber=number, Body=body[size * (number - 1) : size * number]
        )["ETag"]}
        for number in range(1, 5)
    ]  # fmt: skip
    one.server.client.complete_multipart_upload(
        Bucket=one.bucket, Key="d/parts", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    one.channel("d/")
    fault = Fault(GET_DATA, 1, down="flip", at=123)
    proxy.faults.append(fault)
    one.pod.stage()
    assert fault.hits == 1
    assert staged(one) == {"parts": body}


def test_an_object_that_always_comes_damaged_fails_the_job_by_name(one: Job, proxy: FaultProxy) -> None:
    data(one, {"a": 100, "big": BIG})
    proxy.faults.append(Fault("/d/big", None, down="flip", at=10))
    reason, message = failure(one)
    assert reason == "DataDownloadFailed"
    assert f"s3://{one.bucket}/d/big arrived damaged: " in message
    assert "big" not in staged(one)


def test_a_listing_that_lost_a_byte_loses_no_objects(
    one: Job, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = data(one, {str(number): 10 for number in range(20)})
    seen: list[bytes] = []
    read = s3xml.listing
    with monkeypatch.context() as patched:
        patched.setattr(s3xml, "listing", lambda document: (seen.append(document), read(document))[1])
        list(Store(one.plan.store, one.credentials, one.timing).objects(one.bucket, "d/", Patience(5)))
    # "false", which says that there is nothing more, becomes another word.
    fault = Fault("list-type=2", 1, down="flip", at=seen[0].index(b"<IsTruncated>") + len(b"<IsTruncated>"))
    proxy.faults.append(fault)
    one.change(download_retry_seconds=20)
    one.pod.stage()
    assert fault.hits == 1
    assert staged(one) == content


def test_a_trickle_is_no_stall(one: Job, proxy: FaultProxy) -> None:
    content = data(one, {"slow": 4000})
    proxy.faults.append(Fault(GET_DATA, None, down="slow", rate=1000))
    one.pod.stage()
    assert staged(one) == content


def test_a_slow_download_says_how_slow_it_is_and_goes_on(one: Job, proxy: FaultProxy) -> None:
    content = data(one, {"slow": 60_000})
    proxy.faults.append(Fault(GET_DATA, None, down="slow", rate=6000))
    one.timing = replace(one.timing, pace=2)
    one.pod.start()
    stage = one.pod.stage_in_background()
    report = wait_for("a word of it", lambda: (r := one.pod.report()).reason == "DownloadSlow" and r)
    assert report.message == "the data of algo-1 comes from S3 at about 3 kB/s"
    assert stage.wait(60) == 0
    assert staged(one) == content


def test_a_download_that_is_held_up_says_so_and_goes_on(one: Job, proxy: FaultProxy) -> None:
    content = data(one, {"x": 1000})
    fault = Fault(GET_DATA, None, answer=(503, "SlowDown"))
    proxy.faults.append(fault)
    one.change(download_retry_seconds=60)
    one.pod.start()
    process = one.pod.stage_in_background()
    report = wait_for("the reason", lambda: (r := one.pod.report()).reason == "DownloadBlocked" and r)
    assert report.phase is Phase.STAGING
    assert "keeps failing" in report.message
    proxy.faults.clear()
    assert process.wait(20) == 0
    assert one.pod.report().reason is None
    assert staged(one) == content


def test_a_store_that_fails_for_longer_than_it_may_fails_the_job(one: Job, proxy: FaultProxy) -> None:
    data(one, {"x": 1000})
    proxy.faults.append(Fault(GET_DATA, None, answer=(503, "SlowDown")))
    began = time.monotonic()
    reason, message = failure(one)
    assert reason == "DataDownloadFailed"
    assert "Data download failed:S3 at" in message
    assert time.monotonic() - began > one.plan.download_retry_seconds


def test_access_that_is_taken_away_in_the_middle_fails_at_once_and_names_the_action(
    one: Job, proxy: FaultProxy
) -> None:
    data(one, {f"{number:03}": 2000 for number in range(100)})
    one.change(download_retry_seconds=900)
    proxy.faults.append(Fault(GET_DATA, None, skip=20, answer=(403, "AccessDenied")))
    began = time.monotonic()
    reason, message = failure(one)
    assert reason == "AccessDenied"
    assert f"s3:GetObject on arn:aws:s3:::{one.bucket}/d/" in message
    assert time.monotonic() - began < 15


def test_a_token_that_expires_in_the_middle_costs_no_data(one: Job, proxy: FaultProxy) -> None:
    content = data(one, {f"{number:03}": 2000 for number in range(100)})
    one.change(download_retry_seconds=900)
    proxy.faults.append(Fault("", None, skip=30, answer=(400, "ExpiredToken")))
    process = one.pod.stage_in_background()
    wait_for("the refusals", lambda: proxy.faults[0].hits)
    proxy.faults.clear()
    assert process.wait(20) == 0
    assert staged(one) == content


def test_credentials_that_have_expired_are_read_anew_until_they_are_renewed(one: Job, proxy: FaultProxy) -> None:
    content = data(one, {"x": 2000})
    one.set_credentials(secret="old")
    proxy.faults.append(fault := Fault("", None, answer=(400, "ExpiredToken")))
    process = one.pod.stage_in_background()
    wait_for("the refusals", lambda: fault.hits)
    one.set_credentials()
    seen = fault.hits
    wait_for("requests with the new ones", lambda: fault.hits >= seen + 2)
    proxy.faults.clear()  # from here on, the server itself refuses the old ones
    assert process.wait(20) == 0
    assert staged(one) == content


def test_a_token_that_is_not_renewed_fails_the_job_and_says_so(one: Job, proxy: FaultProxy) -> None:
    data(one, {"x": 1000})
    one.change(download_retry_seconds=900)
    proxy.faults.append(Fault(GET_DATA, None, answer=(400, "ExpiredToken")))
    reason, message = failure(one)
    assert reason == "AccessDenied"
    assert "have expired" in message


@pytest.mark.parametrize(
    ("answer", "words"),
    [((404, "NoSuchBucket"), "does not exist"), ((301, "PermanentRedirect"), "is not in region us-east-1")],
    ids=["bucket", "region"],
)
def test_a_bucket_that_is_not_where_it_should_be_fails_at_once(
    one: Job, proxy: FaultProxy, answer: tuple[int, str], words: str
) -> None:
    data(one, {"x": 1000})
    one.change(download_retry_seconds=900)
    proxy.faults.append(Fault("list-type=2", None, answer=answer))
    began = time.monotonic()
    reason, message = failure(one)
    assert (reason, time.monotonic() - began < 15) == ("NoSuchBucket", True)
    assert words in message


class Stranger(BaseHTTPRequestHandler):
    """Gives everybody the same bytes, and an ETag to them."""

    def do_GET(self) -> None:
        body = b"not yours"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", '"of a stranger"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_redirect_to_another_host_brings_nothing_from_there(one: Job, proxy: FaultProxy) -> None:
    data(one, {"x": len(b"not yours")})
    one.change(download_retry_seconds=60)
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        elsewhere = f"http://127.0.0.1:{stranger.server_port}/b/k"
        proxy.faults.append(Fault(GET_DATA, None, answer=(307, "TemporaryRedirect"), location=elsewhere))
        reason, message = failure(one)
        stranger.shutdown()
    assert reason == "NoSuchBucket"
    assert "is not in region us-east-1" in message
    assert staged(one) == {}


def limited(one: Job, **addresses: list[str]) -> None:
    one.change(store=one.plan.store.but(**addresses))


def test_an_endpoint_where_none_may_be_hears_nothing(one: Job, proxy: FaultProxy) -> None:
    data(one, {"x": 10})
    limited(one, denied_addresses=["127.0.0.0/8"])
    reason, message = failure(one)
    assert reason == "AccessDenied"
    assert f"the S3 endpoint {proxy.url} is at 127.0.0.1, where the operator's settings" in message
    assert proxy.requests == []


def test_an_endpoint_is_judged_by_what_its_name_resolves_to(one: Job, proxy: FaultProxy) -> None:
    data(one, {"x": 10})
    url = proxy.url.replace("127.0.0.1", "localhost")
    limited(one, denied_addresses=["127.0.0.0/8", "::1/128"])
    one.change(store=one.plan.store.but(endpoint_url=url))
    assert failure(one)[0] == "AccessDenied"
    assert proxy.requests == []


def test_an_administrator_may_allow_what_is_denied_around_it(one: Job) -> None:
    content = data(one, {"x": 10})
    limited(one, denied_addresses=["127.0.0.0/8"], allowed_addresses=["127.0.0.1/32"])
    one.pod.stage()
    assert staged(one) == content


# Uploads


def commit(one: Job) -> None:
    """What the upload process does, in this one."""
    told: list[str] = []

    def tell(event: str, **_: Any) -> None:
        told.append(event)

    publish.Publisher(one.pod.settings, one.plan, tell).commit(publish.Job("Completed"))
    assert told[-1] == "committed"


def is_whole(one: Job, content: dict[str, bytes]) -> None:
    """Model and manifest are right, agree, and nothing else is left."""
    assert one.model() == content
    stored = hashlib.sha256(one.server.read(one.bucket, MODEL)).hexdigest()
    assert [artifact["sha256"] for artifact in one.manifest()["artifacts"]] == [stored]
    assert one.server.uploads(one.bucket) == []


def trained(one: Job) -> dict[str, bytes]:
    """A job staged and trained, whose model makes three parts."""
    assert one.pod.stage().result is Result.STAGED
    content = {"big": os.urandom(BIG)}
    one.pod.write(content)
    return content


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_upload_that_is_cut_at_any_request_is_whole_in_the_end(one: Job, proxy: FaultProxy, when: Any) -> None:
    content = trained(one)
    proxy.requests.clear()
    commit(one)
    is_whole(one, content)
    count = len(proxy.requests)
    assert count >= 10
    for number in range(count):
        proxy.faults[:] = [Fault("", 1, skip=number, reset=when)]
        for key in one.server.keys(one.bucket):
            if "attempt" not in key:
                one.server.client.delete_object(Bucket=one.bucket, Key=key)
        commit(one)
        assert proxy.faults[0].hits == 1
        is_whole(one, content)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_an_upload_that_is_aborted_at_any_part_is_done_again(one: Job, proxy: FaultProxy, number: int) -> None:
    content = trained(one)

    def abort() -> None:
        for upload in one.server.client.list_multipart_uploads(Bucket=one.bucket).get("Uploads", []):
            one.server.client.abort_multipart_upload(Bucket=one.bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    # Up to twice: what was begun again may meet the same fate.
    proxy.faults.append(Fault(f"{PART}{number}" if number < 4 else COMPLETE, 2, then=abort))
    commit(one)
    assert proxy.faults[0].hits
    is_whole(one, content)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("", 12, answer=(500, "InternalError")), id="500"),
        pytest.param(Fault(PART, 12, answer=(503, "SlowDown")), id="503"),
        pytest.param(Fault("", 3, answer=(404, "")), id="404 of a proxy"),
        pytest.param(Fault(PART, 3, up="cut", at=100_000), id="part truncated"),
        pytest.param(Fault(PART, 3, up="flip", at=100_000), id="part corrupted"),
        pytest.param(Fault(PART, 3, up="stall", at=100_000), id="part stalled"),
        pytest.param(Fault(COMPLETE, 1, up="flip", at=100), id="completion corrupted"),
        pytest.param(Fault(COMPLETE, 2, down="flip", at=60), id="completion's answer corrupted"),
        pytest.param(Fault(f"PUT .*{MANIFEST}", 2, up="flip", at=20), id="manifest corrupted"),
        pytest.param(Fault(f"GET .*{MANIFEST}", 1, down="flip", at=20), id="read-back corrupted"),
        pytest.param(Fault(f"GET .*{MANIFEST}", 1, down="cut", at=20), id="read-back truncated"),
        pytest.param(Fault("GET .*trainyard-attempt", 1, down="flip", at=20), id="marker corrupted"),
        pytest.param(Fault(PART, 3, answer=(403, "AccessDenied")), id="403"),
        pytest.param(Fault(PART, 3, answer=(400, "ExpiredToken")), id="expired token"),
        pytest.param(Fault(COMPLETE, 2, answer=(404, "NoSuchBucket")), id="bucket away"),
    ],
)
def test_a_model_is_whole_whatever_happens_on_the_way(one: Job, proxy: FaultProxy, fault: Fault) -> None:
    content = trained(one)
    proxy.faults.append(fault)
    commit(one)
    assert fault.hits == fault.times
    is_whole(one, content)


# Uploads without an archive

FILES = "out/Job/output/model/"
FILE = rf"^PUT \S+/{FILES}(?!large)"


def trained_files(one: Job) -> dict[str, bytes]:
    """A job staged and trained, whose model is a file of three parts and small ones, and which leaves no archive."""
    one.change(compression="NONE")
    assert one.pod.stage().result is Result.STAGED
    content = {"large": os.urandom(BIG), "deep/er": os.urandom(200_000), "config": b"{}", "empty": b""}
    one.pod.write(content)
    return content


def are_whole(one: Job, content: dict[str, bytes]) -> None:
    """Objects and manifest are right, agree, and nothing else is left."""
    keys = [key for key in one.server.keys(one.bucket) if key.startswith(FILES)]
    assert {key.removeprefix(FILES): one.server.read(one.bucket, key) for key in keys} == content
    (artifact,) = one.manifest()["artifacts"]
    said = {file["path"]: file["sha256"] for file in artifact["files"]}
    assert said == {path: hashlib.sha256(body).hexdigest() for path, body in content.items()}
    assert one.server.uploads(one.bucket) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_files_that_are_cut_at_any_request_are_whole_in_the_end(one: Job, proxy: FaultProxy, when: Any) -> None:
    content = trained_files(one)
    proxy.requests.clear()
    commit(one)
    are_whole(one, content)
    count = len(proxy.requests)
    assert count >= 14
    for number in range(count):
        proxy.faults[:] = [Fault("", 1, skip=number, reset=when)]
        for key in one.server.keys(one.bucket):
            if "attempt" not in key:
                one.server.client.delete_object(Bucket=one.bucket, Key=key)
        for known in one.pod.state.glob("sent-*"):
            known.unlink()
        commit(one)
        # Files that go at the same moment share a look at the marker, so a few requests more or less are made.
        assert proxy.faults[0].hits == 1 or number >= count - 4
        are_whole(one, content)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("", 12, answer=(500, "InternalError")), id="500"),
        pytest.param(Fault("^PUT ", 12, answer=(503, "SlowDown")), id="503"),
        pytest.param(Fault("", 3, answer=(404, "")), id="404 of a proxy"),
        pytest.param(Fault(FILE, 3, up="cut", at=1), id="file truncated"),
        pytest.param(Fault(rf"^PUT \S+/{FILES}deep", 3, up="flip", at=1000), id="file corrupted"),
        pytest.param(Fault(rf"^PUT \S+/{FILES}deep", 3, up="stall", at=1000), id="file stalled"),
        pytest.param(Fault(FILE, 3, reset="after"), id="answer lost"),
        pytest.param(Fault(PART, 3, up="flip", at=100_000), id="part corrupted"),
        pytest.param(Fault(r"^POST \S+large\?uploadId=", 2, down="flip", at=60), id="completion's answer corrupted"),
        pytest.param(Fault(r"list-type=2", 3, answer=(503, "SlowDown")), id="listing 503"),
        pytest.param(Fault(r"list-type=2", 2, down="cut", at=300), id="listing truncated"),
        pytest.param(Fault(f"PUT .*{MANIFEST}", 2, up="flip", at=20), id="manifest corrupted"),
        pytest.param(Fault("GET .*trainyard-attempt", 1, down="flip", at=20), id="marker corrupted"),
        pytest.param(Fault(FILE, 3, answer=(403, "AccessDenied")), id="403"),
        pytest.param(Fault(FILE, 3, answer=(400, "ExpiredToken")), id="expired token"),
        pytest.param(Fault(FILE, 2, answer=(404, "NoSuchBucket")), id="bucket away"),
    ],
)
def test_files_are_whole_whatever_happens_on_the_way(one: Job, proxy: FaultProxy, fault: Fault) -> None:
    content = trained_files(one)
    proxy.faults.append(fault)
    commit(one)
    assert fault.hits == fault.times
    are_whole(one, content)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_large_file_that_is_aborted_at_any_part_is_sent_again(one: Job, proxy: FaultProxy, number: int) -> None:
    content = trained_files(one)

    def abort() -> None:
        for upload in one.server.client.list_multipart_uploads(Bucket=one.bucket).get("Uploads", []):
            one.server.client.abort_multipart_upload(Bucket=one.bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    proxy.faults.append(Fault(f"{PART}{number}" if number < 4 else r"^POST \S+large\?uploadId=", 2, then=abort))
    commit(one)
    assert proxy.faults[0].hits
    are_whole(one, content)


def test_a_server_that_refuses_before_it_has_read_all_is_understood(one: Job) -> None:
    http = S3Http(one.server.url, "us-east-1", False, lambda: Credentials(ACCESS_KEY, SECRET_KEY))
    for _ in range(5):
        upload = http.start_upload(one.bucket, "k")
        http.abort_upload(one.bucket, "k", upload)
        with pytest.raises(StoreFault, match="NoSuchUpload"):
            http.put_part(one.bucket, "k", upload, 1, bytearray(8 << 20))


def test_an_older_model_as_large_as_this_one_is_not_taken_for_it(one: Job, proxy: FaultProxy) -> None:
    trained(one)
    commit(one)
    content = {"big": os.urandom(BIG)}  # as many parts, and as many bytes
    one.pod.write(content)

    def abort() -> None:
        for upload in one.server.client.list_multipart_uploads(Bucket=one.bucket).get("Uploads", []):
            one.server.client.abort_multipart_upload(Bucket=one.bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    proxy.faults.append(Fault(COMPLETE, 1, then=abort))
    commit(one)
    is_whole(one, content)


def test_a_manifest_that_never_reads_as_written_is_no_success(one: Job, proxy: FaultProxy) -> None:
    trained(one)
    proxy.faults.append(Fault(f"GET .*{MANIFEST}", None, down="flip", at=20))
    with pytest.raises(Exception, match="reads differently"):
        commit(one)


def test_a_slow_line_takes_its_time_and_is_not_given_up(one: Job, proxy: FaultProxy) -> None:
    # A part takes longer than any pause may be, and longer than the upload process may be silent.
    one.timing = replace(one.timing, quiet=9, read=3)
    one.change(upload_hold_seconds=2)
    one.pod.start()
    one.pod.run_training({"big": (content := os.urandom(9_000_000))})
    proxy.faults.append(Fault(PART, None, up="slow", rate=700_000))
    began = time.monotonic()
    one.pod.training_ends()
    report = one.pod.end()
    assert (report.result, report.message) == (Result.COMMITTED, None)
    assert time.monotonic() - began > 10
    is_whole(one, {"big": content})


def test_a_slow_upload_says_how_slow_it_is_and_goes_on(one: Job, proxy: FaultProxy) -> None:
    one.timing = replace(one.timing, pace=2, read=20)
    one.pod.start()
    # More than the proxy's end of the line holds.
    one.pod.run_training({"big": (content := os.urandom(1_500_000))})
    proxy.faults.append(Fault(r"^PUT \S+model.tar.gz", None, up="slow", rate=60_000))
    one.pod.training_ends()
    report = wait_for("a word of it", lambda: (r := one.pod.report()).reason == "UploadSlow" and r)
    # What the proxy holds comes in bursts: a window may see half of the rate.
    assert report.message in {
        f"S3 takes what algo-1 sends at about {rate} kB/s for each connection" for rate in (10, 30)
    }
    assert one.pod.end().result is Result.COMMITTED
    is_whole(one, {"big": content})


# Streams


def streams(one: Job, sizes: dict[str, int]) -> bytes:
    """Training runs and may read a Pipe channel; what is in it."""
    content = data(one, sizes)
    one.channels({"s3_uri": one.uri("d/"), "input_mode": "Pipe"})
    one.change(download_retry_seconds=60)
    one.pod.start()
    one.pod.stage()
    one.pod.probe()
    return b"".join(body for _, body in sorted(content.items()))


def test_a_stream_that_waits_for_s3_says_so_while_it_does(one: Job, proxy: FaultProxy) -> None:
    content = streams(one, {"a": AHEAD + BIG, "b": 5000})  # not all of it can be there already
    proxy.faults.append(Fault(GET_DATA, None, answer=(503, "SlowDown")))
    path = one.pod.ml / "input/data/train_0"
    reader = ThreadPoolExecutor(1).submit(path.read_bytes)
    wait_for("the reason", lambda: one.pod.report().reason == "DownloadBlocked")
    report = one.pod.report()
    assert report.phase is Phase.TRAINING
    assert "SlowDown" in (report.message or "")
    proxy.faults.clear()
    assert reader.result(60) == content
    wait_for("no reason any more", lambda: one.pod.report().reason is None)
    one.pod.training_ends(0)
    assert one.pod.end().result is Result.COMMITTED


def test_objects_that_may_be_listed_but_not_read_are_refused_before_training(one: Job, proxy: FaultProxy) -> None:
    data(one, {"a": 10, "b": 10})
    one.channels({"s3_uri": one.uri("d/"), "input_mode": "Pipe"})
    proxy.faults.append(Fault(GET_DATA, None, answer=(403, "AccessDenied")))
    reason, message = failure(one)
    assert reason == "AccessDenied"
    assert one.uri("d/a") in message
