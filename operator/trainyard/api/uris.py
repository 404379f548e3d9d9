"""Places in S3, as the contract writes them."""

from __future__ import annotations

from typing import Final

S3_URI: Final = r"^s3://[^/]+(/.*)?$"


def split_s3_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/key/prefix` -> (`bucket`, `key/prefix`); the key may be empty."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ValueError(f"{uri!r} is not of the form s3://BUCKET/PREFIX")
    return bucket, key
