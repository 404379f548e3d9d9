"""Our signature is botocore's, for any key, query and header."""

from __future__ import annotations

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from trainyard.agent.adapters import sigv4
from trainyard.agent.ports import Credentials

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)


def botocores(path: str, query: list[tuple[str, str]], headers: dict[str, str], token: str) -> str:
    target = f"http://s3.example:9000{path}"
    if query:
        target += "?" + sigv4.encode_query(query)
    request = AWSRequest("PUT", target, headers=headers | {"X-Amz-Content-SHA256": sigv4.EMPTY_SHA256})
    request.context["timestamp"] = "20260102T030405Z"
    auth = S3SigV4Auth(BotoCredentials("AK", "SK", token or None), "s3", "eu-west-1")
    request.headers["X-Amz-Date"] = "20260102T030405Z"
    if token:
        request.headers["X-Amz-Security-Token"] = token
    canonical = auth.canonical_request(request)
    return str(auth.signature(auth.string_to_sign(request, canonical), request))


@given(
    key=TEXT,
    query=st.lists(st.tuples(TEXT, TEXT), max_size=3, unique_by=lambda pair: pair[0]),
    token=st.sampled_from(["", "TOKEN"]),
)
def test_signatures_agree_with_botocores(key: str, query: list[tuple[str, str]], token: str) -> None:
    path = "/bucket/" + sigv4.encode_key(key)
    headers = {"host": "s3.example:9000", "if-match": '"abc"'}
    ours = sigv4.signed_headers(
        "PUT", path, query, headers,
        payload_sha256=sigv4.EMPTY_SHA256, credentials=Credentials("AK", "SK", token), region="eu-west-1", moment="20260102T030405Z",
    )  # fmt: skip
    assert ours["authorization"].endswith(f"Signature={botocores(path, query, headers, token)}")


@pytest.mark.parametrize(
    ("key", "path"), [("a b+c%/ü", "a%20b%2Bc%25/%C3%BC"), ("a//../b", "a//../b"), ("~-_.", "~-_.")]
)
def test_keys_are_encoded_once_and_never_normalized(key: str, path: str) -> None:
    assert sigv4.encode_key(key) == path
