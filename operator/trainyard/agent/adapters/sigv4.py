"""AWS Signature Version 4 for S3: the headers that make a request valid. Tested against botocore's, and 0.3 s cheaper to import."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from trainyard.agent.ports import Credentials

EMPTY_SHA256 = hashlib.sha256().hexdigest()


def encode_key(key: str) -> str:
    """A key as the path of a URL: S3 encodes once and normalizes nothing."""
    return quote(key, safe="/-_.~", errors="surrogateescape")


def encode_query(query: Sequence[tuple[str, str]]) -> str:
    """In the signature's order: that of the encoded names."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def signed_headers(
    method: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: dict[str, str],
    *,
    payload_sha256: str,
    credentials: Credentials,
    region: str,
    moment: str,
) -> dict[str, str]:
    """`headers` (`host` among them, names in lower case) plus the signature's. `path` is encoded, `moment` is YYYYMMDDTHHMMSSZ."""
    all_headers = headers | {"x-amz-content-sha256": payload_sha256, "x-amz-date": moment}
    if credentials.token:
        all_headers["x-amz-security-token"] = credentials.token
    ordered = sorted(all_headers.items())
    names = ";".join(name for name, _ in ordered)
    canonical = "\n".join(
        [
            method,
            path,
            encode_query(query),
            *(f"{name}:{' '.join(value.split())}" for name, value in ordered),
            "",
            names,
            payload_sha256,
        ]
    )
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.digest(_key(credentials.secret_key, moment[:8], region), to_sign.encode(), "sha256").hex()
    all_headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return all_headers


@lru_cache(maxsize=4)
def _key(secret: str, day: str, region: str) -> bytes:
    """The day's key: each request of a day is signed with the same one."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
