"""The engines for one endpoint, each in both styles of address, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from trainyard.agent.adapters.connections import Endpoint
from trainyard.agent.adapters.fetcher import Fetcher
from trainyard.agent.adapters.s3http import S3Http
from trainyard.agent.app.identity import Source
from trainyard.agent.ports import ByteReader, ObjectStore
from trainyard.agent.timing import Timing
from trainyard.api.plan import StorePlan

SMALL = 1024 * 1024
"""Up to here what obstore does for a request takes longer than its bytes."""


class Engines:
    """Safe for threads."""

    def __init__(
        self,
        plan: StorePlan,
        source: Source,
        timing: Timing,
        *,
        moved: Callable[[int], None],
        admits: Callable[[str], bool],
    ) -> None:
        self._plan = plan
        self._source = source
        self._timing = timing
        self._moved = moved
        self._admits = admits
        suffix = ".cn" if plan.region.startswith("cn-") else ""
        self.url = plan.endpoint_url or f"https://s3.{plan.region}.amazonaws.com{suffix}"

    def own(self, bucket: str) -> ObjectStore:
        """For everything; says exactly what failed."""
        return self._own[self._virtual(bucket)]

    def fetcher(self, program: Path) -> Fetcher:
        """For many objects that become files. Raises OSError."""
        endpoint = Endpoint.parse(self.url)
        plan = self._plan

        def address(bucket: str, key: str) -> tuple[str, str]:
            return endpoint.address(bucket, key, virtual=self._virtual(bucket))

        return Fetcher(
            program, address, self._source, secure=endpoint.secure, region=plan.region,
            connect_timeout=self._timing.connect, read_timeout=self._timing.read,
            denied=plan.denied_addresses, allowed=plan.allowed_addresses,
        )  # fmt: skip

    def fast(self, bucket: str, key: str, length: int) -> ByteReader | None:
        """For bytes of a stream that another one than our own brings sooner: many of them, through TLS, which obstore does beside
        Python. None where there is no such, and for keys that it cannot name."""
        if length <= SMALL or not self.url.startswith("https:"):
            return None
        from trainyard.agent.adapters.bulk import takes  # noqa: PLC0415 - loaded where it is needed

        return self._fast[self._virtual(bucket)] if takes(key) else None

    def _virtual(self, bucket: str) -> bool:
        if self._plan.addressing_style != "auto":
            return self._plan.addressing_style == "virtual"
        # A dot in the name breaks the certificate's wildcard; servers of one's own rarely have wildcard names.
        return self._plan.endpoint_url is None and "." not in bucket

    @cached_property
    def _own(self) -> dict[bool, ObjectStore]:
        return {
            virtual: S3Http(
                self.url, self._plan.region, virtual, self._source,
                connect_timeout=self._timing.connect, read_timeout=self._timing.read, moved=self._moved, admits=self._admits,
                kms_key=self._plan.kms_key,
            )
            for virtual in (False, True)
        }  # fmt: skip

    @cached_property
    def _fast(self) -> dict[bool, ByteReader]:
        from trainyard.agent.adapters.bulk import BulkReader  # noqa: PLC0415 - loaded where it is needed

        return {
            virtual: BulkReader(
                self.url, self._plan.region, virtual, self._source,
                connect_timeout=self._timing.connect, read_timeout=self._timing.read,
            )
            for virtual in (False, True)
        }  # fmt: skip
