"""The engines for one endpoint, each in both styles of address, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from trainyard.agent.adapters.connections import Endpoint, Moved
from trainyard.agent.adapters.fetcher import Fetcher
from trainyard.agent.adapters.s3http import S3Http
from trainyard.agent.app.identity import Source
from trainyard.agent.ports import ObjectStore
from trainyard.agent.timing import Timing
from trainyard.api.plan import StorePlan


class Engines:
    """Safe for threads."""

    def __init__(
        self,
        plan: StorePlan,
        source: Source,
        timing: Timing,
        *,
        moved: Moved,
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
