"""The checks of an S3 server, with AWS's own SDK as the judge. The only module that knows boto3.

Each check writes under a prefix of its own, so that none depends on another; `clean` takes everything away.
"""

from __future__ import annotations

import base64
import hashlib
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from trainyard.cli.errors import Failed

PART = 5 * 1024 * 1024
"""The smallest that S3 takes, unless a part is the last one."""
ODD_KEYS = (
    "we ird", "plus+", "per%2Bcent", "query&=?#", "umlaut-ü-日本", "quote'\"", "star*[x]", "back\\slash", "tab\there", "line\nbreak", "dot.", "~.-_",
    "double//slash", "dot/./part", "dots/../part", "tail/", "long-" + "x" * 220,
)  # fmt: skip


class Wrong(Exception):  # noqa: N818 - not an error: the server differs
    """What the server did instead."""


@dataclass(frozen=True)
class Server:
    """How to reach it. Credentials are those of AWS's SDK: environment, profile, files."""

    endpoint: str | None
    bucket: str
    region: str
    virtual: bool
    ca_bundle: str | None = None
    profile: str | None = None


def _client(server: Server, **more: Any) -> Any:
    try:
        return boto3.Session(profile_name=server.profile).client(
            "s3",
            endpoint_url=server.endpoint,
            region_name=server.region,
            verify=server.ca_bundle,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "virtual" if server.virtual else "path"},
                retries={"total_max_attempts": 2},
                connect_timeout=10,
                read_timeout=60,
            ),
            **more,
        )
    except (BotoCoreError, ValueError) as error:
        raise Failed(f"no S3 client: {error}") from None


class Checks:
    """`checks` by the names of `core.conformance.CHECKS`."""

    def __init__(self, server: Server, prefix: str) -> None:
        """`prefix` ends in a slash; everything that is written is below it."""
        self._server = server
        self._bucket = server.bucket
        self._prefix = prefix
        self._s3 = _client(server)
        if self._s3._request_signer._credentials is None:  # noqa: SLF001 - no public way to ask before the first request
            raise Failed("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --profile")
        self._checks: dict[str, Callable[[str], None]] = {
            "access": self._access, "objects": self._objects, "missing": self._missing, "prefixes": self._prefixes, "pages": self._pages,
            "ranges": self._ranges, "multipart": self._multipart, "abort": self._abort, "aborted": self._aborted,
            "if-match reads": self._if_match_reads, "if-none-match writes": self._if_none_match, "if-match writes": self._if_match_writes,
            "etags": self._etags, "part sizes": self._part_sizes, "damage": self._damage, "checksums": self._checksums,
            "odd keys": self._odd_keys, "key and folder": self._key_and_folder, "presigned": self._presigned, "credentials": self._credentials,
        }  # fmt: skip

    def run(self, name: str) -> str | None:
        """What the server did instead; None: it did as it should."""
        try:
            self._checks[name](f"{self._prefix}{name.replace(' ', '-')}/")
        except Wrong as wrong:
            return str(wrong)
        except ClientError as error:
            return f"{error.operation_name} answered {_said(error)}"
        except (BotoCoreError, OSError, ValueError) as error:
            return " ".join(str(error).split())
        return None

    def clean(self) -> None:
        """Takes away what was written. Raises Failed, with what is left, where that is refused."""
        try:
            # A page at a time, from its beginning: some servers forget where a listing was when objects go.
            while keys := self._list(self._prefix):
                for key in keys:
                    self._s3.delete_object(Bucket=self._bucket, Key=key)
                if self._list(self._prefix) == keys:
                    raise Failed(
                        f"these stay: {', '.join(keys[:5])}; delete what is below s3://{self._bucket}/{self._prefix}"
                    )
            for key, upload in self._uploads():
                self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
        except (ClientError, BotoCoreError) as error:
            raise Failed(f"s3://{self._bucket}/{self._prefix} could not be taken away: {error}") from None

    # What checks are made of

    def _put(self, key: str, body: bytes = b"content", **more: Any) -> str:
        return str(self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, **more)["ETag"])

    def _get(self, key: str, **more: Any) -> bytes:
        return bytes(self._s3.get_object(Bucket=self._bucket, Key=key, **more)["Body"].read())

    def _list(self, prefix: str) -> list[str]:
        found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", [])]

    def _uploads(self) -> list[tuple[str, str]]:
        found = self._s3.list_multipart_uploads(Bucket=self._bucket, Prefix=self._prefix)
        return [
            (item["Key"], item["UploadId"]) for item in found.get("Uploads", []) if item["Key"].startswith(self._prefix)
        ]

    def _parts(self, key: str, *bodies: bytes) -> tuple[str, list[dict[str, Any]]]:
        upload = self._s3.create_multipart_upload(Bucket=self._bucket, Key=key)["UploadId"]
        parts = [
            {"PartNumber": number, "ETag": self._s3.upload_part(
                Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
            )["ETag"]}
            for number, body in enumerate(bodies, 1)
        ]  # fmt: skip
        return upload, parts

    def _complete(self, key: str, upload: str, parts: list[dict[str, Any]]) -> str:
        done = self._s3.complete_multipart_upload(
            Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
        )
        return str(done["ETag"])

    # The checks

    def _access(self, _at: str) -> None:
        self._s3.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def _objects(self, at: str) -> None:
        for body in (b"", b"first", b"second, and longer"):
            self._put(f"{at}k", body)
            _same(self._get(f"{at}k"), body)
        self._s3.delete_object(Bucket=self._bucket, Key=f"{at}k")
        _same(self._list(at), [])

    def _missing(self, at: str) -> None:
        _answers(404, lambda: self._get(f"{at}nothing"), code="NoSuchKey")

    def _prefixes(self, at: str) -> None:
        keys = [f"{at}data/001", f"{at}data/002", f"{at}data/01/x", f"{at}data-more", f"{at}dat"]
        for key in keys:
            self._put(key)
        _same(self._list(f"{at}data/00"), keys[:2])
        _same(self._list(f"{at}data"), sorted(keys[:4]))
        _same(self._list(f"{at}data-more"), [keys[3]])

    def _pages(self, at: str) -> None:
        keys = [f"{at}{number:02}" for number in range(7)]
        for key in keys:
            self._put(key)
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=at, PaginationConfig={"PageSize": 3}
        )
        found = [[item["Key"] for item in page.get("Contents", [])] for page in pages]
        _same([key for page in found for key in page], keys)
        _same(len(found), 3)

    def _ranges(self, at: str) -> None:
        self._put(f"{at}k", b"0123456789")
        _same(self._get(f"{at}k", Range="bytes=2-5"), b"2345")
        _same(self._get(f"{at}k", Range="bytes=8-20"), b"89")
        _answers(416, lambda: self._get(f"{at}k", Range="bytes=10-12"))

    def _multipart(self, at: str) -> None:
        upload, parts = self._parts(f"{at}k", b"a" * PART, b"b" * 100)
        _same(self._list(at), [])
        self._complete(f"{at}k", upload, parts)
        _same(self._get(f"{at}k"), b"a" * PART + b"b" * 100)

    def _abort(self, at: str) -> None:
        upload, _ = self._parts(f"{at}k", b"a" * 100)
        if (f"{at}k", upload) not in self._uploads():
            raise Wrong("an unfinished upload is not listed")
        self._s3.abort_multipart_upload(Bucket=self._bucket, Key=f"{at}k", UploadId=upload)
        if (f"{at}k", upload) in self._uploads():
            raise Wrong("an aborted upload is still listed")

    def _aborted(self, at: str) -> None:
        for name in ("fresh", "taken"):
            if name == "taken":
                self._complete(f"{at}{name}", *self._parts(f"{at}{name}", b"old"))
            upload, parts = self._parts(f"{at}{name}", b"new")
            self._s3.abort_multipart_upload(Bucket=self._bucket, Key=f"{at}{name}", UploadId=upload)
            what = f"its completion, the key being {name}"
            _answers(404, lambda: self._complete(f"{at}{name}", upload, parts), code="NoSuchUpload", what=what)  # noqa: B023

    def _if_match_reads(self, at: str) -> None:
        etag = self._put(f"{at}k")
        _same(self._get(f"{at}k", IfMatch=etag), b"content")
        self._put(f"{at}k", b"another")
        _answers(412, lambda: self._get(f"{at}k", IfMatch=etag))

    def _if_none_match(self, at: str) -> None:
        self._put(f"{at}k", b"first", IfNoneMatch="*")
        _answers(412, lambda: self._put(f"{at}k", b"second", IfNoneMatch="*"))
        _same(self._get(f"{at}k"), b"first")

    def _if_match_writes(self, at: str) -> None:
        etag = self._put(f"{at}k", b"first")
        self._put(f"{at}k", b"second", IfMatch=etag)
        _answers(412, lambda: self._put(f"{at}k", b"third", IfMatch=etag))
        _same(self._get(f"{at}k"), b"second")

    def _etags(self, at: str) -> None:
        _same(self._put(f"{at}k").strip('"'), hashlib.md5(b"content", usedforsecurity=False).hexdigest())

    def _part_sizes(self, at: str) -> None:
        bodies = (b"a" * PART, b"b" * 100)
        etag = self._complete(f"{at}k", *self._parts(f"{at}k", *bodies))
        digests = b"".join(hashlib.md5(body, usedforsecurity=False).digest() for body in bodies)
        _same(etag.strip('"'), f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-2")
        _same(self._s3.head_object(Bucket=self._bucket, Key=f"{at}k", PartNumber=1)["ContentLength"], PART)

    def _damage(self, at: str) -> None:
        client = _client(self._server)

        def damage(request: Any, **_: Any) -> None:
            request.body = b"bontent"

        def sign(request: Any, **_: Any) -> None:
            request.context["payload_signing_enabled"] = True  # over http it is; over https the SDK leaves it to TLS

        client.meta.events.register("before-sign.s3.PutObject", sign)
        client.meta.events.register("before-send.s3.PutObject", damage)
        digest = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
        try:
            client.put_object(Bucket=self._bucket, Key=f"{at}k", Body=b"content", ChecksumSHA256=digest)
        except ClientError:
            return
        raise Wrong("the damaged body was stored" if self._get(f"{at}k") == b"bontent" else "it was accepted")

    def _checksums(self, at: str) -> None:
        right = base64.b64encode(zlib.crc32(b"content").to_bytes(4, "big")).decode()
        self._put(f"{at}k", ChecksumAlgorithm="CRC32", ChecksumCRC32=right)
        told = self._s3.head_object(Bucket=self._bucket, Key=f"{at}k", ChecksumMode="ENABLED").get("ChecksumCRC32")
        if told != right:
            raise Wrong(f"the checksum is told as {told}")
        wrong = base64.b64encode(b"0" * 4).decode()
        with suppress(ClientError):
            self._put(f"{at}k", ChecksumCRC32=wrong)
            raise Wrong("a wrong checksum is accepted")

    def _odd_keys(self, at: str) -> None:
        lost = [key for key in ODD_KEYS if not self._keeps(f"{at}{len(key)}-", key)]
        if lost:
            raise Wrong(f"{', '.join(repr(key) if len(key) < 40 else f'{len(key)} characters' for key in lost)}")

    def _keeps(self, at: str, key: str) -> bool:
        try:
            self._put(at + key)
            return self._get(at + key) == b"content" and self._list(at + key[:1]) == [at + key]
        except (ClientError, BotoCoreError):
            return False

    def _key_and_folder(self, at: str) -> None:
        self._put(f"{at}k", b"file")
        self._put(f"{at}k/x", b"below")
        _same(self._get(f"{at}k"), b"file")
        _same(self._get(f"{at}k/x"), b"below")

    def _presigned(self, at: str) -> None:
        target = {"Bucket": self._bucket, "Key": f"{at}k"}
        for method, operation, body in (("PUT", "put_object", b"linked"), ("GET", "get_object", None)):
            url = self._s3.generate_presigned_url(operation, target, ExpiresIn=60)
            try:
                kind = {"content-type": "application/octet-stream"}
                request = urllib.request.Request(url, body, kind, method=method)  # noqa: S310 - the SDK made the URL
                with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                    if method == "GET":
                        _same(answer.read(), b"linked")
            except urllib.error.HTTPError as error:
                raise Wrong(f"a link to {method} answered {error.code}") from None

    def _credentials(self, _at: str) -> None:
        stranger = _client(self._server, aws_access_key_id="TRAINYARDDOCTOR00000", aws_secret_access_key="unknown")  # noqa: S106
        _answers(403, lambda: stranger.list_objects_v2(Bucket=self._bucket, MaxKeys=1), code="InvalidAccessKeyId")


def _same(found: object, wanted: object) -> None:
    if found != wanted:
        raise Wrong(f"{_short(found)} came instead of {_short(wanted)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:60]}... ({len(text)} characters)"


def _said(error: ClientError) -> str:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return f"{status} {error.response.get('Error', {}).get('Code', '')}".strip()


def _answers(status: int, request: Callable[[], object], *, code: str = "", what: str = "it") -> None:
    try:
        request()
    except ClientError as error:
        wanted = f"{status} {code}".strip()
        if not _said(error).startswith(wanted):
            raise Wrong(f"{what} answered {_said(error)} instead of {wanted}") from None
        return
    raise Wrong(f"{what} was accepted instead of answered {status}")
