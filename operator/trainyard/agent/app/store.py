"""S3 with patience: both engines behind one face, failures judged, passing ones tried again."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from trainyard.agent.adapters.credentials import CredentialFiles
from trainyard.agent.adapters.s3http import S3Http
from trainyard.agent.core.verdict import Target, Verdict, Who, judge, pause
from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Body, ByteReader, FileBody, ObjectStore, StoredObject
from trainyard.agent.timing import Timing
from trainyard.api.plan import StorePlan

T = TypeVar("T")
PIECE = 4 * 1024 * 1024


def _page(bucket: str, prefix: str, after: str | None, http: ObjectStore) -> tuple[list[StoredObject], str | None]:
    return http.list_page(bucket, prefix, after)


def _piece(bucket: str, key: str, first: int, length: int, http: ObjectStore) -> Body:
    return http.get(bucket, key, first=first, length=length)


class Refused(Exception):  # noqa: N818 - becomes a ClientFailure where it is known what was being done
    """The end of patience with one request."""

    def __init__(self, verdict: Verdict, fault: StoreFault) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict
        self.fault = fault


@dataclass(frozen=True)
class Patience:
    """How long one request is tried. `stubborn`: also what looks lasting, because somebody may mend it meanwhile."""

    seconds: float
    """From the request's first failure on; each request has its own."""
    stubborn: bool = False
    notify: Callable[[str | None], None] = lambda _text: None
    """Told each refusal's text, and None when the request got through after all."""
    enough: threading.Event = field(default_factory=threading.Event)
    """Once set, the next failure of any request is its last."""


class Store:
    """What the agent does with S3. All methods raise Refused, and are safe for threads."""

    def __init__(self, plan: StorePlan, credentials: Path, timing: Timing) -> None:
        self._plan = plan
        self._timing = timing
        self._source = CredentialFiles(credentials, plan.credentials_secret)
        suffix = ".cn" if plan.region.startswith("cn-") else ""
        self._url = plan.endpoint_url or f"https://s3.{plan.region}.amazonaws.com{suffix}"
        self.who = Who(plan.role, plan.credentials_secret, self._url, plan.region)
        self._reached = False

    def _virtual(self, bucket: str) -> bool:
        if self._plan.addressing_style != "auto":
            return self._plan.addressing_style == "virtual"
        # A dot in the name breaks the certificate's wildcard; servers of one's own rarely have wildcard names.
        return self._plan.endpoint_url is None and "." not in bucket

    @cached_property
    def _http(self) -> dict[bool, ObjectStore]:
        return {
            virtual: S3Http(
                self._url, self._plan.region, virtual, self._source,
                connect_timeout=self._timing.connect, read_timeout=self._timing.read,
            )
            for virtual in (False, True)
        }  # fmt: skip

    @cached_property
    def _bulk(self) -> dict[bool, ByteReader]:
        from trainyard.agent.adapters.bulk import BulkReader  # noqa: PLC0415 - only staging needs it

        return {
            virtual: BulkReader(
                self._url, self._plan.region, virtual, self._source,
                connect_timeout=self._timing.connect, read_timeout=self._timing.read,
            )
            for virtual in (False, True)
        }  # fmt: skip

    def pages(self, bucket: str, prefix: str, patience: Patience) -> Iterator[list[StoredObject]]:
        """All objects whose key starts with `prefix`, up to 1,000 at a time."""
        after: str | None = None
        target = Target("list", bucket, prefix)
        while True:
            page, after = self._try(target, patience, partial(_page, bucket, prefix, after))
            yield page
            if after is None:
                return

    def objects(self, bucket: str, prefix: str, patience: Patience) -> Iterator[StoredObject]:
        return chain.from_iterable(self.pages(bucket, prefix, patience))

    def read(self, bucket: str, item: StoredObject, first: int, length: int, patience: Patience) -> Body:
        """Bytes of the listed version of an object, exactly as many as asked for."""
        whole = first == 0 and length == item.size
        wanted: dict[str, int] = {} if whole else {"first": first, "length": length}
        from trainyard.agent.adapters.bulk import takes  # noqa: PLC0415 - only staging needs it

        # The fast engine gives no checksum out; of what comes in several requests the caller has to see to it.
        if takes(item.key) and not (whole and item.checksum):
            try:
                body = self._bulk[self._virtual(bucket)].get(bucket, item.key, etag=item.etag, **wanted)
                if len(body) == length:
                    return body
            except StoreFault:
                pass  # the other engine finds out why, and is patient

        def get(http: ObjectStore) -> Body:
            body = http.get(bucket, item.key, etag=item.etag, **wanted)
            if len(body) != length:
                raise StoreFault("connection", f"{len(body)} bytes came instead of {length}")
            return body

        return self._try(Target("read", bucket, item.key), patience, get)

    def read_start(self, bucket: str, key: str, length: int, patience: Patience) -> tuple[Body, StoredObject]:
        """Up to `length` bytes of an object that no listing has, and which it is."""
        from trainyard.agent.adapters.bulk import takes  # noqa: PLC0415 - as above

        def whole(found: tuple[Body, StoredObject]) -> bool:
            return len(found[0]) == min(length, found[1].size)

        if takes(key):
            try:
                found = self._bulk[self._virtual(bucket)].get_start(bucket, key, length)
                if whole(found):
                    return found
            except StoreFault:
                pass

        def get(http: ObjectStore) -> tuple[Body, StoredObject]:
            found = http.get_start(bucket, key, length)
            if not whole(found):
                raise StoreFault("connection", f"{len(found[0])} of {found[1].size} bytes came")
            return found

        return self._try(Target("read", bucket, key), patience, get)

    def head(self, bucket: str, key: str, patience: Patience) -> StoredObject:
        """Size and ETag of an object that no listing has."""
        return self._try(Target("read", bucket, key), patience, lambda http: http.head(bucket, key))

    def read_small(self, bucket: str, key: str, patience: Patience) -> tuple[bytes, str] | None:
        """A small object and its ETag; None if there is none."""
        try:
            return self._try(Target("read", bucket, key), patience, lambda http: http.get_small(bucket, key))
        except Refused as refused:
            if refused.fault.missing:
                return None
            raise

    def there(self, bucket: str, key: str, patience: Patience) -> bool:
        """Is there an object? Asked by reading a byte: a right that the agent has, unlike that to list."""
        try:
            self._try(Target("read", bucket, key), patience, partial(_piece, bucket, key, 0, 1))
        except Refused as refused:
            if refused.fault.missing:
                return False
            if refused.fault.status != 416:  # an empty one has no first byte
                raise
        return True

    def same(self, bucket: str, key: str, body: FileBody, patience: Patience) -> bool:
        """Are an object's bytes those of the file? Read piece by piece."""
        digest = hashlib.sha256()
        for first in range(0, body.size, PIECE):
            length = min(PIECE, body.size - first)
            last = first + length == body.size
            # One byte more than there should be shows whether there is one.
            get = partial(_piece, bucket, key, first, length + last)
            try:
                piece = self._try(Target("read", bucket, key), patience, get)
            except Refused as refused:
                if refused.fault.missing or refused.fault.status == 416:
                    return False
                raise
            if len(piece) != length:
                return False
            digest.update(piece)
        return digest.hexdigest() == body.sha256

    def put(
        self, bucket: str, key: str, body: Body | FileBody, patience: Patience, *, match: str | None = None
    ) -> None:
        self._try(Target("write", bucket, key), patience, lambda http: http.put(bucket, key, body, match=match))

    def delete(self, bucket: str, key: str, patience: Patience) -> None:
        self._try(Target("delete", bucket, key), patience, lambda http: http.delete(bucket, key))

    def start_upload(self, bucket: str, key: str, patience: Patience) -> str:
        return self._try(Target("write", bucket, key), patience, lambda http: http.start_upload(bucket, key))

    def put_part(self, bucket: str, key: str, upload: str, *, number: int, body: Body, patience: Patience) -> str:
        return self._try(
            Target("write", bucket, key), patience, lambda http: http.put_part(bucket, key, upload, number, body)
        )

    def complete_upload(self, bucket: str, key: str, upload: str, etags: list[str], patience: Patience) -> None:
        self._try(Target("write", bucket, key), patience, lambda http: http.complete_upload(bucket, key, upload, etags))

    def abort_upload(self, bucket: str, key: str, upload: str) -> None:
        """Once, as well as it goes: the bucket's lifecycle rule is the last resort."""
        self._try(Target("write", bucket, key), Patience(0), lambda http: http.abort_upload(bucket, key, upload))

    def list_uploads(self, bucket: str, key: str) -> list[str]:
        return self._try(Target("list", bucket, key), Patience(0), lambda http: http.list_uploads(bucket, key))

    def _try(self, target: Target, patience: Patience, request: Callable[[ObjectStore], T]) -> T:
        http = self._http[self._virtual(target.bucket)]
        failing_since = 0.0
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = request(http)
            except StoreFault as fault:
                self._reached = self._reached or (fault.kind in {"answer", "timeout"} and not fault.foreign)
                verdict = judge(fault, target, self.who)
                failing_since = failing_since or time.monotonic()
                failing = time.monotonic() - failing_since
                if self._hopeless(fault, target, verdict, patience, failing):
                    raise Refused(verdict, fault) from fault
                patience.notify(verdict.text)
                self._wait(attempt, patience, failing)
            else:
                self._reached = True
                if attempt > 1:
                    patience.notify(None)
                return answer

    def _hopeless(
        self, fault: StoreFault, target: Target, verdict: Verdict, patience: Patience, failing: float
    ) -> bool:
        if failing >= patience.seconds or patience.enough.is_set():
            return True
        if fault.missing and target.verb == "read":
            return True
        if patience.stubborn:
            # A condition that failed stays so, and an upload that is gone does not come back.
            return fault.status == 412 or fault.code == "NoSuchUpload"
        # An endpoint that answered before is down for a while; one that never did is misspelt.
        return verdict.lasting or (verdict.unreached and not self._reached and failing >= self._timing.unreachable)

    def _wait(self, attempt: int, patience: Patience, failing: float) -> None:
        dice = random.random()  # noqa: S311 - spreads retries
        wait = pause(attempt, self._timing.backoff_first, self._timing.backoff_most, dice)
        patience.enough.wait(max(0.0, min(wait, patience.seconds - failing)))
