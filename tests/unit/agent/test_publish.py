"""The last write of a job, and who may still make it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.builders import job, plan
from trainyard.agent.app.publish import Job, Publisher
from trainyard.agent.app.settings import Settings
from trainyard.agent.core import manifest
from trainyard.agent.errors import PlatformFailure, StoreFault
from trainyard.agent.ports import Small
from trainyard.agent.timing import Timing
from trainyard.api.uris import split_s3_uri

PLAN = plan(job=job(attempt=1))
MARKER, MANIFEST = (split_s3_uri(uri)[1] for uri in (PLAN.marker_uri, PLAN.manifest_uri))


class Partition:
    """S3 as an attempt sees it that is cut off at its first write, while its successor marks the place and commits."""

    def __init__(self) -> None:
        self.objects = {MARKER: manifest.marker(PLAN.job)}
        self.cut = True

    def put(self, _bucket: str, key: str, body: Any, **_: Any) -> None:
        if self.cut:
            self.cut = False
            self.objects |= {MARKER: manifest.marker(job(attempt=2)), MANIFEST: b"the successor's"}
            raise StoreFault("connection", "reset")
        self.objects[key] = body.path.read_bytes()

    def get(self, _bucket: str, key: str, *, first: int = 0, length: int | None = None, **_: Any) -> bytes:
        return self.objects[key][first:][:length]

    def get_small(self, _bucket: str, key: str) -> Small:
        return Small(self.objects[key], "", opaque=False)


def test_an_attempt_that_was_cut_off_does_not_write_its_manifest_over_its_successor_s(tmp_path: Path) -> None:
    timing = Timing(backoff_first=0.01, backoff_most=0.02, fence_age=0)
    settings = Settings("algo-1", ml=tmp_path / "ml", state=tmp_path / "state", credentials=tmp_path, timing=timing)
    settings.state.mkdir()
    made, there = Publisher(settings, PLAN, lambda *_, **__: None), Partition()
    made._store._engines.__dict__["_own"] = {False: there, True: there}
    with pytest.raises(PlatformFailure, match="superseded"):
        made._write_manifest(Job("Completed"))
    assert there.objects[MANIFEST] == b"the successor's"
