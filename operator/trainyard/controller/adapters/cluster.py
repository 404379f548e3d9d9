"""The apiserver, as raw JSON over one HTTP session. The only module that knows the kubernetes client or aiohttp.

The client library is used for what it is good at, finding and renewing credentials; its generated models cost ten times the
CPU of the JSON they wrap. Every error that leaves this module is one of `adapters.errors`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.configuration import Configuration

from trainyard.controller.adapters.connection import Connection
from trainyard.controller.adapters.errors import ClusterError, NotFound, Refused, Unreachable, from_answer
from trainyard.controller.adapters.lines import Lines

Raw = dict[str, Any]
LineBatch = list[bytes]
Observe = Callable[[str, str, int, float], None]
PAGE = 500
_ERROR_BYTES = 1 << 16
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_WRITTEN = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
_LOG_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10)
# A log that is not followed and stays silent for so long: its node does not answer.
_SILENT_SECONDS = 30.0


@dataclass(frozen=True)
class Resource:
    """A kind as URLs have it."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        # A name from a status or a label may be anything: it stays one part of the path.
        within = f"namespaces/{quote(namespace, safe='')}" if namespace else ""
        parts = [root, within, self.plural, quote(name, safe=""), subresource]
        return "/".join(part for part in parts if part)


PODS = Resource("", "v1", "pods")
CONFIG_MAPS = Resource("", "v1", "configmaps")
SERVICES = Resource("", "v1", "services")
EVENTS = Resource("", "v1", "events")
NODES = Resource("", "v1", "nodes")
CLAIMS = Resource("", "v1", "persistentvolumeclaims")
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses")
VERSION = Resource("", "", "version")
LEASES = Resource("coordination.k8s.io", "v1", "leases")


async def connect() -> Configuration:
    """From KUBECONFIG, else the pod's service account, else the usual kubeconfig."""
    configuration = Configuration()
    named = os.pathsep.join(path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if Path(path).is_file())  # noqa: ASYNC240 - once, at start
    if not named and "KUBERNETES_SERVICE_HOST" in os.environ:
        kube_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        await kube_config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=named or None, client_configuration=configuration, persist_config=False
        )
    return configuration


class Cluster:
    """Verbs of the apiserver. `observe(verb, plural, status, seconds)` is called for each request."""

    def __init__(self, configuration: Configuration, observe: Observe | None = None) -> None:
        self._configuration = configuration
        self._observe = observe or (lambda *_: None)
        self._session: aiohttp.ClientSession | None = None
        self._logs: aiohttp.ClientSession | None = None

    async def connection(self) -> Connection:
        configuration = self._configuration
        # The client library keeps "Bearer <token>" whole, in either case of its first letter.
        word = (await configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or "").strip()
        return Connection(
            server=str(configuration.host).rstrip("/"),
            ca_path=configuration.ssl_ca_cert,
            certificate_path=configuration.cert_file,
            key_path=configuration.key_file,
            insecure=not configuration.verify_ssl,
            token=word.split(" ", 1)[-1].strip() or None,
            proxy=configuration.proxy,
        )

    async def open(self) -> None:
        connection = await self.connection()
        connector = aiohttp.TCPConnector(ssl=connection.tls(), limit=64, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        # Logs that are followed keep their connections: nothing else may have to wait for one. Who follows counts them.
        self._logs = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=connection.tls(), limit=0), timeout=_LOG_TIMEOUT, read_bufsize=1 << 16
        )

    async def close(self) -> None:
        for session in (self._session, self._logs):
            if session is not None:
                await session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw:
        return await self._request("GET", resource.path(namespace, name), resource)

    async def find(self, resource: Resource, namespace: str, name: str) -> Raw | None:
        """As `get`, None if there is none."""
        try:
            return await self.get(resource, namespace, name)
        except NotFound:
            return None

    async def list(
        self, resource: Resource, namespace: str = "", selector: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Raw]:
        """All objects, page by page, as the server had them when the first page was read."""
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            headers = {"Accept": METADATA_ONLY} if metadata_only else None
            page = await self._request(
                "GET", resource.path(namespace), resource, query=query, headers=headers, verb="LIST"
            )
            for item in page.get("items") or []:
                yield item
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            query = query | {"continue": token}

    async def version(self) -> tuple[int, int]:
        """The apiserver's; (0, 0) if it says none that can be read, or to others only."""
        try:
            answer = await self._request("GET", "/version", VERSION)
        except (Refused, NotFound):
            return 0, 0
        # Some providers have a minor like "35+".
        numbers = re.match(r"v?(\d+)\.(\d+)", str(answer.get("gitVersion")))
        return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)

    async def create(self, resource: Resource, manifest: Raw) -> Raw:
        """The new object; of a ConfigMap or Event its metadata."""
        headers = {"Accept": _WRITTEN} if resource in (CONFIG_MAPS, EVENTS) else None
        path = resource.path(manifest["metadata"].get("namespace", ""))
        return await self._request("POST", path, resource, body=manifest, headers=headers)

    async def replace(self, resource: Resource, manifest: Raw) -> Raw:
        metadata = manifest["metadata"]
        return await self._request(
            "PUT", resource.path(metadata["namespace"], metadata["name"]), resource, body=manifest
        )

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Raw, subresource: str = "") -> Raw:
        """JSON merge patch; a resourceVersion or uid in `patch` is a precondition (409)."""
        path = resource.path(namespace, name, subresource)
        return await self._request(
            "PATCH", path, resource, body=patch, headers={"Content-Type": "application/merge-patch+json"}
        )

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """In the background, and only if it is still the object with that uid; gone already is fine."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._request("DELETE", resource.path(namespace, name), resource, body=body)
        except NotFound:
            return

    async def log(
        self, namespace: str, pod: str, container: str, *, since: datetime | None, follow: bool, tick: float = 1.0
    ) -> AsyncGenerator[LineBatch, None]:
        """Lines of a container's log as they arrive, each with its time before it; an empty list after each `tick` seconds of
        silence, and for bytes that complete no line.

        The apiserver hands on `since` in whole seconds, so that earlier lines of its second come again. Ends with the log, or
        when the caller closes it. Nothing tells an end from a kubelet that broke off.
        """
        assert self._logs is not None
        path = PODS.path(namespace, pod, "log")
        query = {"container": container, "timestamps": "true", "follow": str(follow).lower()}
        if since is not None:
            query["sinceTime"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        connection = await self.connection()
        headers = {"Authorization": f"Bearer {connection.token}"} if connection.token else {}
        # The kubelet sends its headers with the first line: of a silent container even these may take hours.
        asked = self._logs.get(connection.server + path, params=query, headers=headers, proxy=connection.proxy)
        clock, lines = asyncio.get_running_loop().time, Lines()
        began, opening = clock(), asyncio.ensure_future(_opened(asked))
        heard, status = began, 0
        try:
            while not (await asyncio.wait({opening}, timeout=tick))[0]:
                _not_silent(follow, clock() - heard)
                yield []
            answer, heard = opening.result(), clock()
            status = answer.status
            if status >= 400:
                raise _error(status, await answer.content.read(_ERROR_BYTES))
            while True:
                try:
                    async with asyncio.timeout(tick):
                        data = await answer.content.readany()
                except TimeoutError:
                    _not_silent(follow, clock() - heard)
                    yield []
                    continue
                heard = clock()
                if not data:
                    break
                yield lines.feed(data)
            if rest := lines.end():
                yield rest
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"GET {path}: {type(error).__name__}: {error}") from error
        finally:
            self._observe("CONNECT", "pods/log", status, heard - began)
            opening.cancel()
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().close()

    async def _request(
        self,
        method: str,
        path: str,
        resource: Resource,
        *,
        body: Raw | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        verb: str = "",
    ) -> Raw:
        assert self._session is not None
        connection = await self.connection()
        sent = {"Accept": "application/json", "Content-Type": "application/json"} | dict(headers or {})
        if connection.token:
            sent["Authorization"] = f"Bearer {connection.token}"
        clock = asyncio.get_running_loop().time
        began, status = clock(), 0
        try:
            async with self._session.request(
                method,
                connection.server + path,
                data=orjson.dumps(body) if body is not None else None,
                params=query,
                headers=sent,
                proxy=connection.proxy,
            ) as answer:
                status, content = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{method} {path}: {type(error).__name__}: {error}") from error
        finally:
            self._observe(verb or method, resource.plural, status, clock() - began)
        if status >= 400:
            raise _error(status, content)
        parsed = orjson.loads(content)
        return parsed if isinstance(parsed, dict) else {}


async def _opened(asked: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
    return await asked


def _not_silent(follow: bool, seconds: float) -> None:
    """A log that is followed may be silent, one that is only read may not."""
    if not follow and seconds > _SILENT_SECONDS:
        raise TimeoutError(f"no answer for {seconds:.0f} s")


def _error(status: int, content: bytes) -> ClusterError:
    try:
        told = orjson.loads(content)
        message, reason = str(told.get("message", "")), str(told.get("reason", ""))
    except (orjson.JSONDecodeError, AttributeError):
        message, reason = content[:500].decode("utf-8", "replace"), ""
    return from_answer(status, reason, message or f"HTTP {status}")
