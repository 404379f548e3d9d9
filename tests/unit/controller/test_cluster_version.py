"""What version the cluster has, as far as it says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration

from trainyard.controller.adapters.cluster import Cluster
from trainyard.controller.adapters.errors import ClusterError, NotFound, Refused, Throttled


def version(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | ClusterError) -> tuple[int, int]:
    async def request(*_: Any) -> dict[str, Any]:
        if isinstance(answer, ClusterError):
            raise answer
        return answer

    cluster = Cluster(Configuration())
    monkeypatch.setattr(cluster, "_request", request)
    return asyncio.run(cluster.version())


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"gitVersion": "v1.35.1"}, (1, 35)),
        ({"gitVersion": "v1.35.1-eks-3025e55", "minor": "35+"}, (1, 35)),
        ({"gitVersion": "v1.9.0"}, (1, 9)),
        ({"gitVersion": "unknown"}, (0, 0)),
        ({}, (0, 0)),
        (Refused("not for you", 403), (0, 0)),
        (NotFound("no such place", 404), (0, 0)),
    ],
)
def test_a_version_is_two_numbers_or_none(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | ClusterError, found: tuple[int, int]
) -> None:
    assert version(monkeypatch, answer) == found


def test_an_apiserver_that_cannot_say_it_now_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Throttled):
        version(monkeypatch, Throttled("later", 503))
