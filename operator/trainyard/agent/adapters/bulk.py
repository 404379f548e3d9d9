"""obstore: the fast engine for reading data. Keys it would change or refuse are not for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import obstore
from obstore.store import S3Store

from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Body, Credentials, bare_etag


def takes(key: str) -> bool:
    """Can obstore name this key? It drops outer slashes and refuses `//`, `.`, `..` and control characters."""
    parts = key.split("/")
    return not any(part in {"", ".", ".."} for part in parts) and key.isprintable() and key.isascii()


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except StoreFault:
        raise
    except Exception as error:
        raise StoreFault("connection", f"{type(error).__name__}") from error


class BulkReader:
    """A ByteReader. Its faults carry no judgement: what fails here is asked again of the other engine."""

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        virtual: bool,
        credentials: Callable[[], Credentials],
        *,
        connect_timeout: float = 5,
        read_timeout: float = 60,
    ) -> None:
        self._endpoint_url = endpoint_url.rstrip("/")
        self._region = region
        self._virtual = virtual
        self._credentials = credentials
        self._timeouts = (connect_timeout, read_timeout)
        self._lock = threading.Lock()
        self._stores: dict[tuple[str, Credentials], S3Store] = {}

    def get(self, bucket: str, key: str, *, first: int = 0, length: int | None = None, etag: str = "") -> Body:
        with _faults():
            return memoryview(self._ask(bucket, key, etag, None if length is None else (first, first + length)).bytes())

    def _ask(self, bucket: str, key: str, etag: str, span: tuple[int, int] | None) -> Any:
        options: dict[str, Any] = ({"if_match": etag} if etag else {}) | ({"range": span} if span else {})
        found = obstore.get(self._store(bucket), key, options=cast("Any", options))
        # It follows redirects, and then the answer is whoever's: that of the object has the ETag that was asked for.
        if etag and bare_etag(came := found.meta.get("e_tag") or "") != bare_etag(etag):
            raise StoreFault("connection", f"an answer with ETag {came} instead of {etag}")
        return found

    def _store(self, bucket: str) -> S3Store:
        credentials = self._credentials()
        with self._lock:
            found = self._stores.get((bucket, credentials))
            if found is None:
                # Keys that were renewed are not asked for again.
                self._stores = {known: store for known, store in self._stores.items() if known[0] != bucket}
                found = self._stores[bucket, credentials] = self._make(bucket, credentials)
            return found

    def _make(self, bucket: str, credentials: Credentials) -> S3Store:
        scheme, _, host = self._endpoint_url.partition("://")
        # In virtual-host style obstore wants the bucket in the endpoint already.
        endpoint = f"{scheme}://{bucket}.{host}" if self._virtual else self._endpoint_url
        connect, read = self._timeouts
        given: dict[str, Any] = {"session_token": credentials.token} if credentials.token else {}
        return S3Store(
            bucket,
            endpoint=endpoint,
            region=self._region,
            access_key_id=credentials.access_key,
            secret_access_key=credentials.secret_key,
            virtual_hosted_style_request=self._virtual,
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=connect),
                "read_timeout": timedelta(seconds=read),
                "timeout": timedelta(seconds=10 * read),
            },
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=read)},
            **given,
        )
