"""Several hosts' files into one archive: who is waited for, who is given up, how large the parts are."""

from __future__ import annotations

import http.client
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.agent.builders import plan
from trainyard.agent.adapters.frames import Framed
from trainyard.agent.app import archives
from trainyard.agent.app.archives import Archives, Pulse
from trainyard.agent.app.begun import Begun
from trainyard.agent.app.fence import Guard
from trainyard.agent.app.multipart import ObjectWriter
from trainyard.agent.app.pack import TRAILER
from trainyard.agent.app.patience import Patience
from trainyard.agent.app.peers import Peers
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.store import Store
from trainyard.agent.core.archive import END_OF_ARCHIVE, MIB, PartPlan, header, padding
from trainyard.agent.errors import PeerFault
from trainyard.agent.timing import Timing
from trainyard.api.plan import Host

TIMING = Timing(peer_lost=0.3, peer_poll=0.01)
LONGER = 0.4


def stream(name: str) -> bytes:
    """What a host with one file of that name sends."""
    trailer = json.dumps({"fingerprint": f"print of {name}", "skipped": [], "unreadable": []}).encode()
    members = [(name, name.encode()), (TRAILER, trailer)]
    made = io.BytesIO()
    frames = Framed(made.write)
    for path, content in members:
        frames.write(header(path, size=len(content), mode=0o600, mtime=0) + content + padding(len(content)))
    frames.write(END_OF_ARCHIVE)
    frames.end()
    return made.getvalue()


class Slow(io.BytesIO):
    """Half of the stream, and a pause before it breaks off."""

    def __init__(self, data: bytes, pause: float) -> None:
        super().__init__(data[: len(data) // 2])
        self._pause = pause

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            time.sleep(self._pause)
            raise http.client.IncompleteRead(b"")
        return data


class Hosts:
    """Each host's behaviours, in their order; then it sends its file. `sizes`: what it says of its tree."""

    def __init__(self, **behaviours: list[Callable[[str], io.BytesIO]]) -> None:
        self._behaviours = {name.replace("_", "-"): iter(those) for name, those in behaviours.items()}
        self.sizes: dict[str, int] = {}

    def open(self, host: Host, _method: str, _target: str, **_: Any) -> io.BytesIO:
        following: Iterator[Callable[[str], io.BytesIO]] = self._behaviours.get(host.name, iter(()))
        return next(following, lambda name: io.BytesIO(stream(name)))(host.name)

    def ask(self, host: Host, _method: str, _target: str, **_: Any) -> dict[str, Any]:
        return {"fingerprint": f"print of {host.name}", "size": self.sizes.get(host.name, 10)}


def refuses(name: str) -> io.BytesIO:
    raise PeerFault(name, "ConnectionRefusedError")


def breaks_late(name: str) -> io.BytesIO:
    return Slow(stream(name), LONGER)


def breaks_soon(name: str) -> io.BytesIO:
    return Slow(stream(name), 0)


def collect(tmp_path: Path, hosts: Hosts, count: int) -> Archives:
    """The model of `count` hosts, built on algo-1. Nothing is large enough to be sent before the commit."""
    settings = Settings("algo-1", ml=tmp_path / "ml", state=tmp_path, timing=TIMING)
    settings.tree("model").mkdir(parents=True)
    settings.scratch.mkdir()
    job = plan(hosts=count)
    store = Store(job.store, tmp_path, TIMING)
    begun = Begun(store, settings.uploads)
    patience = Patience(math.inf)
    built = Archives(
        settings,
        store,
        begun,
        patience=patience,
        hosts=cast("Peers", hosts),
        tell=lambda *_, **__: None,
        pulse=Pulse(lambda *_, **__: None),
        guard=Guard(store, job, TIMING.fence_age, ""),
    )
    built.fill({"model": job.model_uri}, job.hosts)
    return built


def test_each_host_has_a_clock_of_its_own(tmp_path: Path) -> None:
    made = collect(tmp_path, Hosts(algo_2=[refuses], algo_3=[breaks_late]), 3)
    assert made.lost == set()
    assert made.built["model"].packer.files == 2


def test_a_host_that_delivers_is_not_lost_however_often_its_connection_breaks_after_a_while(tmp_path: Path) -> None:
    assert collect(tmp_path, Hosts(algo_2=[breaks_late, breaks_late, breaks_soon]), 2).lost == set()


def test_a_host_that_does_not_answer_is_given_up_and_the_others_are_kept(tmp_path: Path) -> None:
    made = collect(tmp_path, Hosts(algo_2=[refuses] * 1000), 3)
    assert made.lost == {"algo-2"}
    assert made.built["model"].packer.files == 1


def test_a_host_whose_stream_never_ends_well_is_given_up_too(tmp_path: Path) -> None:
    assert collect(tmp_path, Hosts(algo_2=[breaks_soon] * 1000), 2).lost == {"algo-2"}


def test_parts_are_planned_for_what_all_hosts_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[PartPlan] = []

    class Watched(ObjectWriter):
        def __init__(self, *arguments: Any, plan: PartPlan, **named: Any) -> None:
            plans.append(plan)
            super().__init__(*arguments, plan=plan, **named)

    monkeypatch.setattr(archives, "ObjectWriter", Watched)
    hosts = Hosts()
    hosts.sizes["algo-3"] = 300 * 1024 * MIB
    collect(tmp_path, hosts, 3)
    assert plans[0].size * 10_000 > hosts.sizes["algo-3"]
