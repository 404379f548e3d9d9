"""Every refusal names the object and the fix; only what passes by itself is tried again."""

from __future__ import annotations

import pytest

from trainyard.agent.core.verdict import Target, Who, judge, pause
from trainyard.agent.errors import StoreFault
from trainyard.api.reasons import Reason

WHO = Who("arn:role", "s3-keys", "http://s3:9000", "us-east-1")
OBJECT = Target("read", "data", "train/x")


def answer(status: int, code: str, detail: str = "said") -> StoreFault:
    return StoreFault("answer", detail, status=status, code=code)


@pytest.mark.parametrize(
    "fault",
    [
        answer(503, "SlowDown"), answer(500, "InternalError"), answer(429, ""), answer(502, ""), answer(400, "RequestTimeout"), answer(404, ""),
        answer(409, "ConditionalRequestConflict"), answer(409, "OperationAborted"), answer(509, ""), answer(522, ""), answer(529, ""),
        StoreFault("timeout", "t"), StoreFault("connection", "c"), StoreFault("dns", "d"), StoreFault("nowhere", "n"), StoreFault("refused", "r"),
    ],
    ids=str,
)  # fmt: skip
def test_what_passes_by_itself_is_tried_again(fault: StoreFault) -> None:
    assert not judge(fault, OBJECT, WHO).lasting


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (answer(403, "AccessDenied"), Reason.ACCESS_DENIED, 'allow the keys in Secret "s3-keys" the action s3:GetObject on '),
        (answer(403, "InvalidAccessKeyId"), Reason.ACCESS_DENIED, "kubectl create secret generic s3-keys"),
        (answer(404, "XAdminUserNotFound"), Reason.ACCESS_DENIED, "does not know the keys"),
        (answer(403, "SignatureDoesNotMatch"), Reason.ACCESS_DENIED, "the secret access key is wrong"),
        (answer(400, "ExpiredToken"), Reason.ACCESS_DENIED, "have expired"),
        (answer(404, "NoSuchBucket"), Reason.NO_SUCH_BUCKET, 'bucket "data" does not exist'),
        (answer(404, "NoSuchKey"), Reason.DATA_DOWNLOAD_FAILED, "s3://data/train/x is gone"),
        (answer(412, "PreconditionFailed"), Reason.DATA_DOWNLOAD_FAILED, "s3://data/train/x has changed"),
        (answer(301, "PermanentRedirect"), Reason.NO_SUCH_BUCKET, "is not in region us-east-1"),
        (answer(403, "InvalidObjectState"), Reason.ACCESS_DENIED, "archive storage class"),
        (answer(501, "NotImplemented"), Reason.DATA_DOWNLOAD_FAILED, "refuses to read"),
        (answer(400, "Strange"), Reason.DATA_DOWNLOAD_FAILED, "refuses to read s3://data/train/x (Strange: said)"),
        (StoreFault("credentials", "", code="AWS_ACCESS_KEY_ID"), Reason.NO_CREDENTIALS, "has no key AWS_ACCESS_KEY_ID; create it with: kubectl"),
        (StoreFault("tls", "self-signed"), Reason.DATA_DOWNLOAD_FAILED, "no certificate that can be trusted"),
    ],
)  # fmt: skip
def test_what_lasts_says_what_to_do(fault: StoreFault, reason: Reason, words: str) -> None:
    verdict = judge(fault, OBJECT, WHO)
    assert verdict.lasting
    assert verdict.reason is reason
    assert words in verdict.text


def test_a_404_that_s3_did_not_write_says_nothing_of_the_object() -> None:
    bare = answer(404, "", "HTTP 404")
    assert not bare.missing
    verdict = judge(bare, Target("write", "out", "k"), WHO)
    assert verdict.misspelt
    assert "answers as no S3 server does for s3://out/k" in verdict.text
    assert "is gone" not in judge(answer(404, "NoSuchKey"), Target("write", "out", "k"), WHO).text


def test_a_refused_write_says_so_in_the_contracts_words() -> None:
    text = judge(answer(403, "AccessDenied", "no"), Target("write", "out", "k"), WHO).text
    assert text.startswith("cannot write to s3://out/k (AccessDenied: no): allow ")


KMS = Who("arn:role", "s3-keys", "http://s3:9000", "us-east-1", kms_key="alias/models")


@pytest.mark.parametrize(
    "fault",
    [
        answer(400, "KMS.NotFoundException", "Invalid keyId alias/models"),
        answer(400, "KMS.DisabledException", "is disabled"),
        answer(403, "AccessDenied", "not authorized to perform: kms:GenerateDataKey on the resource"),
        answer(400, "InvalidArgument", "Server Side Encryption with AWS KMS managed key requires HTTP header"),
        answer(501, "NotImplemented", "a header you provided implies functionality that is not implemented"),
    ],
    ids=str,
)
def test_a_key_that_cannot_encrypt_is_named_with_the_rights_it_takes(fault: StoreFault) -> None:
    verdict = judge(fault, Target("write", "out", "k"), KMS)
    assert verdict.lasting
    assert verdict.reason is Reason.ACCESS_DENIED
    assert 'does not encrypt s3://out/k with the KMS key "alias/models" of outputDataConfig.kmsKeyID' in verdict.text
    assert "kms:GenerateDataKey and kms:Decrypt" in verdict.text


def test_an_object_that_may_not_be_decrypted_says_so() -> None:
    fault = answer(403, "AccessDenied", "User is not authorized to perform: kms:Decrypt on the resource")
    assert 'allow the keys in Secret "s3-keys" the action kms:Decrypt' in judge(fault, OBJECT, WHO).text


def test_a_refusal_that_has_nothing_to_do_with_the_key_is_what_it_was() -> None:
    for detail in ("no", "not authorized to perform: s3:PutObject on arn:aws:s3:::kms-encrypted/k"):
        assert (
            "the action s3:PutObject"
            in judge(answer(403, "AccessDenied", detail), Target("write", "out", "k"), KMS).text
        )
    assert not judge(answer(400, "KMS.ThrottlingException"), Target("write", "out", "k"), KMS).lasting


def test_without_a_secret_the_role_is_named() -> None:
    who = Who("arn:role", None, "http://s3", "r")
    assert 'the credentials of role "arn:role"' in judge(answer(403, "AccessDenied"), OBJECT, who).text


def test_pauses_double_up_to_a_limit_and_are_spread() -> None:
    assert [pause(attempt, 0.2, 10, 1.0) for attempt in (1, 2, 3, 20)] == [0.2, 0.4, 0.8, 10]
    assert pause(3, 0.2, 10, 0.0) == 0.4
