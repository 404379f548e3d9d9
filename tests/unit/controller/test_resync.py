"""The full compare: heals what a watch has missed, and finds the watch blind only if it stays silent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tests.support import objects as o
from trainyard.controller.adapters.cluster import Resource
from trainyard.controller.app.metrics import Metrics
from trainyard.controller.app.resync import Resync
from trainyard.controller.app.state import State

KEY = (o.NAMESPACE, o.NAME)


class Apiserver:
    """What it holds, by plural; no watch."""

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.objects = objects

    async def list(self, resource: Resource, namespace: str = "", *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        for raw in self.objects.get(resource.plural, []):
            yield raw

    async def find(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        found = (raw for raw in self.objects.get(resource.plural, []) if raw["metadata"]["name"] == name)
        return next(found, None)


def version(raw: dict[str, Any], number: int) -> dict[str, Any]:
    return raw | {"metadata": raw["metadata"] | {"resourceVersion": str(number)}}


def rig(**objects: list[dict[str, Any]]) -> tuple[Resync, State, Apiserver, list[Any]]:
    state, server, woken = State(), Apiserver(**objects), list[Any]()
    return Resync(state, server, (), Metrics(), woken.append), state, server, woken


async def test_a_cache_in_step_is_left_alone() -> None:
    resync, state, _, woken = rig(trainingjobs=[o.raw_job()], pods=[o.raw_pod()])
    await resync.prime()
    assert (len(state.jobs), len(state.pods)) == (1, 1)
    assert not await resync.compare()
    assert not await resync.compare()
    assert woken == []


async def test_what_was_missed_is_healed_at_once_and_a_silent_watch_is_found_blind_at_the_next_compare() -> None:
    resync, state, server, woken = rig(trainingjobs=[o.raw_job()], pods=[])
    await resync.prime()
    server.objects["pods"] = [o.raw_pod()]
    assert not await resync.compare()
    assert woken == [KEY]
    assert len(state.pods) == 1
    assert await resync.compare()


async def test_a_watch_that_was_only_late_is_not_blind() -> None:
    resync, state, server, _ = rig(trainingjobs=[o.raw_job()], pods=[])
    await resync.prime()
    server.objects["pods"] = [o.raw_pod()]
    await resync.compare()
    state.pods.heard((o.NAMESPACE, o.raw_pod()["metadata"]["name"]))
    assert not await resync.compare()


async def test_a_deletion_that_was_missed_is_found() -> None:
    resync, state, server, woken = rig(trainingjobs=[o.raw_job()], pods=[o.raw_pod()])
    await resync.prime()
    server.objects["pods"] = []
    await resync.compare()
    assert [pod.gone for pod in state.pods.group((o.NAMESPACE, o.UID))] == [True]
    assert woken == [KEY]
    server.objects["trainingjobs"] = []
    await resync.compare()
    assert len(state.jobs) == 0


async def test_a_new_version_that_was_missed_is_found() -> None:
    resync, state, server, woken = rig(trainingjobs=[version(o.raw_job(), 5)], pods=[])
    await resync.prime()
    server.objects["trainingjobs"] = [version(o.raw_job(stop=True), 9)]
    await resync.compare()
    job = state.job(KEY)
    assert job is not None
    assert job.stop
    assert woken == [KEY]


async def test_missed_deletions_do_not_make_the_watch_blind() -> None:
    resync, _, server, _ = rig(trainingjobs=[o.raw_job()], pods=[o.raw_pod()])
    await resync.prime()
    server.objects = {"trainingjobs": [o.raw_job()], "pods": []}
    assert not await resync.compare()
    assert not await resync.compare()
    server.objects = {"trainingjobs": [], "pods": []}
    assert not await resync.compare()
    assert not await resync.compare()
    assert not resync.suspicious


async def test_what_was_missed_and_is_gone_again_does_not_make_the_watch_blind() -> None:
    resync, _, server, _ = rig(trainingjobs=[o.raw_job()], pods=[])
    await resync.prime()
    server.objects["pods"] = [o.raw_pod()]
    assert not await resync.compare()
    server.objects["pods"] = []
    assert not await resync.compare()


async def test_a_missed_deletion_of_a_job_and_its_pods_leaves_nothing_behind() -> None:
    resync, state, server, _ = rig(trainingjobs=[o.raw_job()], pods=[o.raw_pod()])
    await resync.prime()
    server.objects = {}
    await resync.compare()
    assert (len(state.jobs), len(state.pods), state.left_behind(KEY)) == (0, 0, [])


async def test_deleted_roles_and_instance_types_are_forgotten() -> None:
    role = {"metadata": {"name": "r", "namespace": o.NAMESPACE, "uid": "r", "resourceVersion": "3"}, "spec": {}}
    kind = {"metadata": {"name": o.INSTANCE, "uid": "t", "resourceVersion": "3"}, "spec": {}}
    resync, state, server, woken = rig(trainingjobs=[o.raw_job()], executionroles=[role], instancetypes=[kind])
    await resync.prime()
    assert (len(state.roles), len(state.types)) == (1, 1)
    server.objects = {"trainingjobs": [o.raw_job()]}
    assert not await resync.compare()
    assert (len(state.roles), len(state.types)) == (0, 0)
    assert woken == [KEY, KEY]
