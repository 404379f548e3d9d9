"""S3 over plain signed HTTP: everything but the bulk of the input, which s3fetch brings.

One attempt per call (a connection that went stale while idle is replaced unnoticed); every failure is a StoreFault.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from trainyard.agent.adapters import checksums, s3xml, wire
from trainyard.agent.adapters.connections import BLOCK, Endpoint, Moved, Pool, Sending, fault_of
from trainyard.agent.adapters.sigv4 import encode_query, signed_headers
from trainyard.agent.errors import NOT_ENCRYPTED, NOT_S3, StoreFault
from trainyard.agent.ports import About, Body, Credentials, FileBody, Small, StoredObject, bare_etag

Query = Sequence[tuple[str, str]]
DETAIL_BYTES = 300
WHOLE = 2**30
SSE = "x-amz-server-side-encryption"
KMS = "aws:kms"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Body
    headers: Mapping[str, str]

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "")

    @property
    def document(self) -> bytes:
        return bytes(self.body)


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
        moved: Moved = lambda _size, _seconds: None,
        admits: Callable[[str], bool] = lambda _address: True,
        kms_key: str = "",
    ) -> None:
        """`virtual`: the bucket is part of the host name. `moved` is told of what was sent.
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
        return s3xml.listing(self._send("GET", bucket, "", query).document)

    def get(self, bucket: str, key: str, *, first: int = 0, length: int | None = None, etag: str = "") -> Body:
        if length is None:
            return self.get_whole(bucket, key, etag)[0]
        headers = _version(etag) | {"range": f"bytes={first}-{first + length - 1}"}
        answer = self._send("GET", bucket, key, headers=headers, most=length)
        _same(answer, etag)
        if not _begins(answer, first):
            raise StoreFault(
                "connection", f"other bytes came than those from {first} on: the server does not know ranges"
            )
        return answer.body

    def get_whole(self, bucket: str, key: str, etag: str) -> tuple[Body, bool]:
        answer = self._send("GET", bucket, key, headers=checksums.MODE | _version(etag))
        _same(answer, etag)
        return answer.body, _verified(answer)

    def get_start(self, bucket: str, key: str, length: int) -> tuple[Body, StoredObject]:
        try:
            answer = self._send("GET", bucket, key, headers={"range": f"bytes=0-{length - 1}"}, most=length)
        except StoreFault as fault:
            if fault.status != 416:
                raise
            answer = self._send("GET", bucket, key, most=length)  # an empty one has no first byte
        whole = answer.headers.get("content-range", "").rpartition("/")[2]
        if answer.status == 206 and not whole.isdigit():
            raise StoreFault("answer", "a range of an object whose size is not told", status=206, code=NOT_S3)
        return answer.body, StoredObject(key, int(whole) if whole.isdigit() else len(answer.body), answer.etag)

    def head(self, bucket: str, key: str) -> StoredObject:
        try:
            answer = self._send("HEAD", bucket, key, headers=checksums.MODE)
        except StoreFault as fault:
            if fault.kind == "answer" and not fault.code:
                # An answer to HEAD has no body, so nothing says why it is a refusal.
                self.get(bucket, key, length=1)
            raise
        size = answer.headers.get("content-length", "")
        if not size.isdigit():  # HTTP allows it, and some gateways do it for objects that are stored compressed
            return self.get_start(bucket, key, 1)[1]
        return StoredObject(key, int(size), answer.etag, checksums.answered(answer.headers))

    def get_small(self, bucket: str, key: str) -> Small:
        answer = self._send("GET", bucket, key, headers=checksums.MODE)
        _verified(answer)
        return Small(answer.document, answer.etag, _opaque(answer.headers))

    def about(self, bucket: str, key: str, *, part: int | None = None) -> About:
        headers = self._send("HEAD", bucket, key, [("partNumber", str(part))] if part else ()).headers
        return About(int(headers.get("content-length") or 0), opaque=_opaque(headers))

    def put(
        self, bucket: str, key: str, body: Body | FileBody, *, match: str | None = None, sha256: str | None = None
    ) -> None:
        condition = {} if match is None else {"if-match": match} if match else {"if-none-match": "*"}
        headers = condition | self._encryption
        self._encrypted(self._send("PUT", bucket, key, headers=headers, body=body, sha256=sha256))

    def delete(self, bucket: str, key: str) -> None:
        try:
            self._send("DELETE", bucket, key)
        except StoreFault as fault:
            if not fault.missing:
                raise

    def start_upload(self, bucket: str, key: str) -> str:
        # Never sent twice in silence: one that was answered into a dead connection exists, and nobody would look for it.
        answer = self._send("POST", bucket, key, [("uploads", "")], headers=self._encryption, once=True)
        upload = s3xml.upload_id(answer.document)
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
        code, message = s3xml.error_of(answer.document)
        if code:
            raise StoreFault("answer", message[:DETAIL_BYTES], status=500, code=code)
        s3xml.completed(answer.document)

    def abort_upload(self, bucket: str, key: str, upload: str) -> None:
        self._send("DELETE", bucket, key, [("uploadId", upload)])

    def list_uploads(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        return s3xml.uploads(self._send("GET", bucket, "", [("uploads", ""), ("prefix", prefix)]).document)

    def _encrypted(self, answer: Answer) -> None:
        """A server that does not know of encryption takes the object all the same, and says nothing."""
        if self._encryption and not answer.headers.get(SSE, "").startswith(KMS):
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
        sha256: str | None = None,
        once: bool = False,
        most: int | None = None,
    ) -> Answer:
        credentials = self._credentials()
        host, path = self._endpoint.address(bucket, key, virtual=self._virtual)
        if sha256 is None:
            sha256 = body.sha256 if isinstance(body, FileBody) else hashlib.sha256(body).hexdigest()
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        signed = signed_headers(
            method,
            path,
            query,
            {"host": host} | (headers or {}),
            payload_sha256=sha256,
            credentials=credentials,
            region=self._region,
            moment=moment,
        )
        size = body.size if isinstance(body, FileBody) else len(body)
        if size or method in {"PUT", "POST"}:
            signed["content-length"] = str(size)
        head = wire.head(method, f"{path}?{encode_query(query)}" if query else path, signed)
        for fresh in (True,) if once else (False, True):
            answer = self._attempt(method, host, head, body, fresh=fresh, most=most)
            if answer is not None:
                return _checked(answer)
        raise AssertionError("a fresh connection gives an answer or a fault")

    def _attempt(
        self, method: str, host: str, head: bytes, body: Body | FileBody, *, fresh: bool, most: int | None
    ) -> Answer | None:
        """None: the connection was an old one and is dead; nothing was answered."""
        used = sent = False
        try:
            with self._pool.connection(self._endpoint.secure, host, fresh=fresh) as (connection, used):
                # A server that refuses may answer and hang up before it has read the whole body: what it said is the answer.
                sending = Sending(connection.sock, self._moved)
                with suppress(BrokenPipeError, ConnectionResetError):
                    _write(connection.sock, head, body, BLOCK if self._endpoint.secure else WHOLE, sending)
                    sent = True
                if sent and body:
                    sending.wait(self._read_timeout)
                reply = wire.reply(connection.sock, method, most)
                if reply.closing or not sent:
                    connection.close()
                return Answer(reply.status, reply.body, reply.headers)
        except (ConnectionError, http.client.RemoteDisconnected, http.client.BadStatusLine) as error:
            if used:
                return None
            raise fault_of(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise fault_of(error) from error


def _write(sock: socket.socket, head: bytes, body: Body | FileBody, most: int, sending: Sending) -> None:
    """`most`: bytes at once. They have the socket's time limit together, unless it takes a part of them, as one without TLS does."""
    sock.sendall(head)
    for block in _blocks(body):
        view = memoryview(block)
        while view:
            count = sock.send(view[:most])
            view = view[count:]
            sending.gave(count)


def _blocks(body: Body | FileBody) -> Iterator[Body]:
    if isinstance(body, FileBody):
        with body.path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
        return
    if body:
        yield body


def _version(etag: str) -> dict[str, str]:
    """That version of an object, and no other one. A listing need not have told which."""
    return {"if-match": etag} if etag else {}


def _same(answer: Answer, etag: str) -> None:
    """Is it the version that was asked for?"""
    if etag and answer.etag and bare_etag(answer.etag) != bare_etag(etag):
        raise StoreFault("answer", f"ETag {answer.etag} came", status=412, code="PreconditionFailed")


def _begins(answer: Answer, first: int) -> bool:
    """Is the answer's first byte that of the object's bytes?"""
    span = answer.headers.get("content-range", "")
    return span.startswith(f"bytes {first}-") if span else answer.status == 206 or not first


def _checked(answer: Answer) -> Answer:
    if answer.status < 300:
        return answer
    code, message = s3xml.error_of(answer.document)
    raise StoreFault("answer", message[:DETAIL_BYTES] or f"HTTP {answer.status}", status=answer.status, code=code)


def _opaque(headers: Mapping[str, str]) -> bool:
    """Is an object encrypted so that its ETag is no digest of its bytes?"""
    return headers.get(SSE, "").startswith(KMS) or f"{SSE}-customer-algorithm" in headers


def _verified(answer: Answer) -> bool:
    """Of a whole object: has it the checksum that came with it? False: none came that tells. Raises StoreFault."""
    wanted = checksums.answered(answer.headers)
    verifier = checksums.Verifier(wanted)
    verifier.add(answer.body)
    if fault := verifier.fault():
        raise StoreFault("damaged", fault)
    return bool(wanted) and not checksums.of_parts(wanted)
