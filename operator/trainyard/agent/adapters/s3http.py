"""S3 over plain signed HTTP: the engine for listing, small objects, odd keys and multipart uploads, which obstore has not.

One attempt per call (a connection that went stale while idle is replaced unnoticed); every failure is a StoreFault.
"""

from __future__ import annotations

import hashlib
import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message

from trainyard.agent.adapters import checksums, s3xml
from trainyard.agent.adapters.connections import BLOCK, Endpoint, Pool, fault_of, wait_sent
from trainyard.agent.adapters.sigv4 import encode_key, encode_query, signed_headers
from trainyard.agent.errors import NOT_ENCRYPTED, StoreFault
from trainyard.agent.ports import About, Body, Credentials, FileBody, Small, StoredObject, bare_etag

Query = Sequence[tuple[str, str]]
DETAIL_BYTES = 300
SSE = "x-amz-server-side-encryption"
KMS = "aws:kms"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Message

    @property
    def etag(self) -> str:
        return str(self.headers.get("etag", ""))


class S3Http:
    """An ObjectStore. Safe for threads."""

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        virtual: bool,
        credentials: Callable[[], Credentials],
        *,
        connect_timeout: float = 5,
        read_timeout: float = 60,
        moved: Callable[[int], None] = lambda _size: None,
        admits: Callable[[str], bool] = lambda _address: True,
        kms_key: str = "",
    ) -> None:
        """`virtual`: the bucket is part of the host name. `moved` is told the size of every block that was sent.
        `admits`: may an address be spoken to? `kms_key`: what all objects are encrypted with; empty: as the bucket has it."""
        self._encryption = {SSE: KMS, f"{SSE}-aws-kms-key-id": kms_key} if kms_key else {}
        self._endpoint = Endpoint.parse(endpoint_url)
        self._region = region
        self._virtual = virtual
        self._credentials = credentials
        self._moved = moved
        self._read_timeout = read_timeout
        self._pool = Pool(connect_timeout, read_timeout, admits)

    def list_page(self, bucket: str, prefix: str, after: str | None) -> tuple[list[StoredObject], str | None]:
        query = [("list-type", "2"), ("prefix", prefix), ("encoding-type", "url")]
        if after:
            query.append(("continuation-token", after))
        return s3xml.listing(self._send("GET", bucket, "", query).body)

    def get(self, bucket: str, key: str, *, first: int = 0, length: int | None = None, etag: str = "") -> Body:
        headers = {"if-match": etag} if etag else {}
        if length is not None:
            headers["range"] = f"bytes={first}-{first + length - 1}"
        answer = self._send("GET", bucket, key, headers=headers | ({} if length is not None else checksums.MODE))
        if etag and answer.etag and bare_etag(answer.etag) != bare_etag(etag):
            raise StoreFault("answer", f"ETag {answer.etag} came", status=412, code="PreconditionFailed")
        if length is None:
            _verify(answer)
        return answer.body

    def get_start(self, bucket: str, key: str, length: int) -> tuple[Body, StoredObject]:
        try:
            answer = self._send("GET", bucket, key, headers={"range": f"bytes=0-{length - 1}"})
        except StoreFault as fault:
            if fault.status != 416:
                raise
            answer = self._send("GET", bucket, key)  # an empty one has no first byte
        whole = str(answer.headers.get("content-range") or "").rpartition("/")[2]
        return answer.body, StoredObject(key, int(whole) if whole.isdigit() else len(answer.body), answer.etag)

    def head(self, bucket: str, key: str) -> StoredObject:
        try:
            answer = self._send("HEAD", bucket, key, headers=checksums.MODE)
        except StoreFault as fault:
            if fault.kind == "answer" and not fault.code:
                # An answer to HEAD has no body, so nothing says why it is a refusal.
                self.get(bucket, key, length=1)
            raise
        size = int(answer.headers.get("content-length") or 0)
        return StoredObject(key, size, answer.etag, checksums.answered(answer.headers))

    def get_small(self, bucket: str, key: str) -> Small:
        answer = self._send("GET", bucket, key, headers=checksums.MODE)
        _verify(answer)
        return Small(answer.body, answer.etag, _opaque(answer.headers))

    def about(self, bucket: str, key: str, *, part: int | None = None) -> About:
        headers = self._send("HEAD", bucket, key, [("partNumber", str(part))] if part else ()).headers
        return About(int(headers.get("content-length") or 0), opaque=_opaque(headers))

    def put(self, bucket: str, key: str, body: Body | FileBody, *, match: str | None = None) -> None:
        condition = {} if match is None else {"if-match": match} if match else {"if-none-match": "*"}
        self._encrypted(self._send("PUT", bucket, key, headers=condition | self._encryption, body=body))

    def delete(self, bucket: str, key: str) -> None:
        self._send("DELETE", bucket, key)

    def start_upload(self, bucket: str, key: str) -> str:
        # Never sent twice in silence: one that was answered into a dead connection exists, and nobody would look for it.
        answer = self._send("POST", bucket, key, [("uploads", "")], headers=self._encryption, once=True)
        upload = s3xml.upload_id(answer.body)
        try:
            self._encrypted(answer)
        except StoreFault:
            with suppress(StoreFault):
                self.abort_upload(bucket, key, upload)
            raise
        return upload

    def put_part(self, bucket: str, key: str, upload: str, number: int, body: Body) -> str:
        return self._send("PUT", bucket, key, [("partNumber", str(number)), ("uploadId", upload)], body=body).etag

    def complete_upload(self, bucket: str, key: str, upload: str, etags: list[str]) -> None:
        answer = self._send("POST", bucket, key, [("uploadId", upload)], body=s3xml.completion(etags))
        # This call alone may answer 200 and bring an error nevertheless.
        code, message = s3xml.error_of(answer.body)
        if code:
            raise StoreFault("answer", message[:DETAIL_BYTES], status=500, code=code)
        s3xml.completed(answer.body)

    def abort_upload(self, bucket: str, key: str, upload: str) -> None:
        self._send("DELETE", bucket, key, [("uploadId", upload)])

    def list_uploads(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        return s3xml.uploads(self._send("GET", bucket, "", [("uploads", ""), ("prefix", prefix)]).body)

    def _encrypted(self, answer: Answer) -> None:
        """A server that does not know of encryption takes the object all the same, and says nothing."""
        if self._encryption and not str(answer.headers.get(SSE, "")).startswith(KMS):
            raise StoreFault("answer", f"no {SSE} in the answer", status=400, code=NOT_ENCRYPTED)

    def _send(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Query = (),
        *,
        headers: dict[str, str] | None = None,
        body: Body | FileBody = b"",
        once: bool = False,
    ) -> Answer:
        credentials = self._credentials()
        host = f"{bucket}.{self._endpoint.host}" if self._virtual else self._endpoint.host
        path = f"{self._endpoint.base}/" + encode_key(key if self._virtual else f"{bucket}/{key}" if key else bucket)
        digest = body.sha256 if isinstance(body, FileBody) else hashlib.sha256(body).hexdigest()
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        signed = signed_headers(
            method,
            path,
            query,
            {"host": host} | (headers or {}),
            payload_sha256=digest,
            credentials=credentials,
            region=self._region,
            moment=moment,
        )
        target = f"{path}?{encode_query(query)}" if query else path
        for fresh in (True,) if once else (False, True):
            answer = self._attempt(method, host, target, signed, body, fresh=fresh)
            if answer is not None:
                return _checked(answer)
        raise AssertionError("a fresh connection gives an answer or a fault")

    def _attempt(
        self, method: str, host: str, target: str, headers: dict[str, str], body: Body | FileBody, *, fresh: bool
    ) -> Answer | None:
        """None: the connection was an old one and is dead; nothing was answered."""
        used = sent = False
        try:
            with self._pool.connection(self._endpoint.secure, host, fresh=fresh) as (connection, used):
                # A server that refuses may answer and hang up before it has read the whole body: what it said is the answer.
                with suppress(BrokenPipeError, ConnectionResetError):
                    _write(connection, method, target, headers, body, moved=self._moved)
                    sent = True
                if sent and body:
                    wait_sent(connection.sock, self._read_timeout, self._moved)
                response = connection.getresponse()
                answer = Answer(response.status, response.read(), response.headers)
                if response.will_close or not sent:
                    connection.close()
                return answer
        except (ConnectionError, http.client.RemoteDisconnected, http.client.BadStatusLine) as error:
            if used:
                return None
            raise fault_of(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise fault_of(error) from error


def _write(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: dict[str, str],
    body: Body | FileBody,
    *,
    moved: Callable[[int], None],
) -> None:
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    size = body.size if isinstance(body, FileBody) else len(body)
    if size or method in {"PUT", "POST"}:
        connection.putheader("content-length", str(size))
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    # In pieces: the time limit of a socket is one for all that is sent at once, however slowly it goes.
    for block in _blocks(body):
        connection.send(block)
        moved(len(block))


def _blocks(body: Body | FileBody) -> Iterator[Body]:
    if isinstance(body, FileBody):
        with body.path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
        return
    view = memoryview(body)
    for first in range(0, len(view), BLOCK):
        yield view[first : first + BLOCK]


def _checked(answer: Answer) -> Answer:
    if answer.status < 300:
        return answer
    code, message = s3xml.error_of(answer.body)
    raise StoreFault("answer", message[:DETAIL_BYTES] or f"HTTP {answer.status}", status=answer.status, code=code)


def _opaque(headers: Message) -> bool:
    """Is an object encrypted so that its ETag is no digest of its bytes?"""
    return str(headers.get(SSE, "")).startswith(KMS) or f"{SSE}-customer-algorithm" in headers


def _verify(answer: Answer) -> None:
    """Of a whole object."""
    verifier = checksums.Verifier(checksums.answered(answer.headers))
    verifier.add(answer.body)
    if fault := verifier.fault():
        raise StoreFault("damaged", fault)
