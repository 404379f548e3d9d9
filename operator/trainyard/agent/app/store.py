"""S3 with patience: both engines behind one face, failures judged, passing ones tried again."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from trainyard.agent.adapters.connections import Moved
from trainyard.agent.adapters.fetcher import Fetcher
from trainyard.agent.app.engines import Engines
from trainyard.agent.app.identity import source
from trainyard.agent.app.patience import READINGS, Ask, Patience, Refused, Tries, nobody
from trainyard.agent.core.addresses import admission
from trainyard.agent.core.proof import plain
from trainyard.agent.core.verdict import Target, Who, judge
from trainyard.agent.errors import NOT_S3, StoreFault
from trainyard.agent.ports import About, Body, FileBody, ObjectStore, StoredObject
from trainyard.agent.timing import Timing
from trainyard.api import names
from trainyard.api.plan import StorePlan

log = logging.getLogger(__name__)
T = TypeVar("T")
PIECE = 4 * 1024 * 1024


def _page(
    bucket: str, prefix: str, after: str | None, known: set[str], http: ObjectStore
) -> tuple[list[StoredObject], str | None]:
    page, following = http.list_page(bucket, prefix, after)
    if following in known:
        raise StoreFault("answer", "a listing that goes round in a circle", status=200, code=NOT_S3)
    return page, following


def _as_long(body: Body, length: int) -> None:
    if len(body) != length:
        raise StoreFault("connection", f"{len(body)} bytes came instead of {length}")


def _piece(bucket: str, key: str, first: int, length: int, http: ObjectStore) -> Body:
    return http.get(bucket, key, first=first, length=length)


class Store:
    """What the agent does with S3. All methods raise Refused, and are safe for threads."""

    def __init__(
        self,
        plan: StorePlan,
        credentials: Path,
        timing: Timing,
        *,
        identity: Path = Path(names.IDENTITY_DIR),
        moved: Moved = lambda _size, _seconds: None,
    ) -> None:
        """`moved` is told of what was sent, from any thread."""
        self._timing = timing
        admits = admission(plan.denied_addresses, plan.allowed_addresses)
        identified = source(plan, credentials, identity, timing, admits)
        self._engines = Engines(plan, identified, timing, moved=moved, admits=admits)
        self.who = Who(
            plan.role,
            plan.credentials_secret,
            self._engines.url,
            plan.region,
            web_identity=bool(plan.web_identity),
            kms_key=plan.kms_key,
            instance_metadata=plan.instance_metadata,
        )
        self._tries = Tries(timing, self.who, identified)
        self.doubtful: set[str] = set()
        """URIs that may have unfinished uploads whose ids nobody knows."""
        self.fallbacks = 0
        """How often our own engine was asked for what another one could not bring."""

    @property
    def damaged(self) -> int:
        """Readings whose bytes were not those of the object."""
        return self._tries.damaged

    def pages(self, bucket: str, prefix: str, patience: Patience) -> Iterator[list[StoredObject]]:
        """All objects whose key starts with `prefix`, up to 1,000 at a time."""
        after: str | None = None
        known: set[str] = set()
        """Where pages began; one that begins there again would never end."""
        target = Target("list", bucket, prefix)
        while True:
            page, after = self._try(target, patience, partial(_page, bucket, prefix, after, known))
            yield page
            if after is None:
                return
            known.add(after)

    def objects(self, bucket: str, prefix: str, patience: Patience) -> Iterator[StoredObject]:
        return chain.from_iterable(self.pages(bucket, prefix, patience))

    def read(self, bucket: str, item: StoredObject, first: int, length: int, patience: Patience) -> Body:
        """Bytes of the listed version of an object, exactly as many as asked for."""
        whole = first == 0 and length == item.size
        wanted: dict[str, int] = {} if whole else {"first": first, "length": length}

        def get(http: ObjectStore) -> Body:
            body = http.get(bucket, item.key, etag=item.etag, **wanted)
            _as_long(body, length)
            return body

        return self._try(Target("read", bucket, item.key), patience, get)

    def fetcher(self, program: Path) -> Fetcher:
        """For many objects. It has no patience: of what it cannot bring `fell_back` is to be told. Raises OSError."""
        return self._engines.fetcher(program)

    def read_whole(self, bucket: str, item: StoredObject, patience: Patience) -> tuple[Body, bool]:
        """The listed version of an object, and whether it has been compared with a checksum that came with it."""

        def get(http: ObjectStore) -> tuple[Body, bool]:
            body, verified = http.get_whole(bucket, item.key, item.etag)
            _as_long(body, item.size)
            return body, verified

        return self._try(Target("read", bucket, item.key), patience, get)

    def read_start(self, bucket: str, key: str, length: int, patience: Patience) -> tuple[Body, StoredObject]:
        """Up to `length` bytes of an object that no listing has, and which it is."""

        def get(http: ObjectStore) -> tuple[Body, StoredObject]:
            body, found = http.get_start(bucket, key, length)
            if len(body) != min(length, found.size):
                raise StoreFault("connection", f"{len(body)} of {found.size} bytes came")
            return body, found

        return self._try(Target("read", bucket, key), patience, get)

    def head(self, bucket: str, key: str, patience: Patience) -> StoredObject:
        """Size, ETag and checksum of an object."""
        return self._try(Target("read", bucket, key), patience, lambda http: http.head(bucket, key))

    def fell_back(self, bucket: str, key: str, why: str) -> None:
        """s3fetch did not bring it; this will."""
        self.fallbacks += 1
        # The first, second, fourth ...: a bad day must not fill the log.
        if self.fallbacks & (self.fallbacks - 1) == 0:
            log.warning("s3fetch cannot bring s3://%s/%s (%s); number %d", bucket, key, why, self.fallbacks)

    def came_damaged(self, uri: str) -> None:
        self._tries.came_damaged(uri)

    def about(self, bucket: str, key: str, *, part: int | None = None) -> About | None:
        """None where the store does not say."""
        try:
            return self._try(
                Target("read", bucket, key),
                Patience(self._timing.brief),
                lambda http: http.about(bucket, key, part=part),
            )
        except Refused:
            return None

    def read_small(self, bucket: str, key: str, patience: Patience) -> tuple[bytes, str] | None:
        """A small object and its ETag; None if there is none. Read again if its bytes are not those of its ETag."""
        readings: list[bytes] = []
        while True:
            try:
                found = self._try(Target("read", bucket, key), patience, lambda http: http.get_small(bucket, key))
            except Refused as refused:
                if refused.fault.missing:
                    return None
                raise
            digest = None if found.opaque else plain(found.etag)
            right = digest is None or hashlib.md5(found.body, usedforsecurity=False).hexdigest() == digest
            # What comes twice is so: there are stores whose ETags are no digests.
            if right or found.body in readings or len(readings) == READINGS:
                return found.body, found.etag
            readings.append(found.body)

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

    def ends(self, bucket: str, key: str, size: int, tail: bytes, patience: Patience) -> bool:
        """Has an object that size, and these last bytes? Asked again before no is the answer."""
        for _ in range(READINGS):
            try:
                get = partial(_piece, bucket, key, size - len(tail), len(tail) + 1)
                if self._try(Target("read", bucket, key), patience, get) == tail:
                    return True
            except Refused as refused:
                if not refused.fault.missing and refused.fault.status != 416:
                    raise
        return False

    def spoilt(self, bucket: str, key: str, why: str) -> Refused:
        """The refusal of an upload that has to be made anew."""
        fault = StoreFault("answer", why, status=404, code="NoSuchUpload")
        return Refused(judge(fault, Target("write", bucket, key), self.who), fault)

    def put(
        self,
        bucket: str,
        key: str,
        body: Body | FileBody,
        patience: Patience,
        *,
        match: str | None = None,
        sha256: str | None = None,
        ask: Ask = nobody,
    ) -> None:
        def put(http: ObjectStore) -> None:
            ask(patience)  # before every try: meanwhile the place may have become another's
            http.put(bucket, key, body, match=match, sha256=sha256)

        self._try(Target("write", bucket, key), patience, put)

    def delete(self, bucket: str, key: str, patience: Patience) -> None:
        self._try(Target("delete", bucket, key), patience, lambda http: http.delete(bucket, key))

    def start_upload(self, bucket: str, key: str, patience: Patience) -> str:
        """Its id. Where an answer was lost there may be another one: the key is then in `doubtful`."""

        def start(http: ObjectStore) -> str:
            try:
                return http.start_upload(bucket, key)
            except StoreFault:
                self.doubtful.add(f"s3://{bucket}/{key}")
                raise

        return self._try(Target("write", bucket, key), patience, start)

    def put_part(self, bucket: str, key: str, upload: str, *, number: int, body: Body, patience: Patience) -> str:
        return self._try(
            Target("write", bucket, key), patience, lambda http: http.put_part(bucket, key, upload, number, body)
        )

    def complete_upload(self, bucket: str, key: str, upload: str, etags: list[str], patience: Patience) -> None:
        self._try(Target("write", bucket, key), patience, lambda http: http.complete_upload(bucket, key, upload, etags))

    def abort_upload(self, bucket: str, key: str, upload: str) -> None:
        """Once, as well as it goes: the bucket's lifecycle rule is the last resort."""
        self._try(Target("write", bucket, key), Patience(0), lambda http: http.abort_upload(bucket, key, upload))

    def list_uploads(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        """Key and id of unfinished uploads."""
        return self._try(Target("list", bucket, prefix), Patience(0), lambda http: http.list_uploads(bucket, prefix))

    def _try(self, target: Target, patience: Patience, request: Callable[[ObjectStore], T]) -> T:
        http = self._engines.own(target.bucket)
        return self._tries.try_(target, patience, lambda: request(http))
