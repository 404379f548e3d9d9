"""The PersistentVolumeClaims that a job's channels need, asked for only before its pods are made: nobody watches them."""

from __future__ import annotations

from typing import Any, Final

from trainyard.api import names
from trainyard.controller.adapters.cluster import CLAIMS, STORAGE_CLASSES, Cluster
from trainyard.controller.adapters.errors import ClusterError, Refused
from trainyard.controller.core import read
from trainyard.controller.core.volumes import WAIT_FOR_CONSUMER, Claim, Claims, Wanted, parse_claim

NOTHING: Final = Claims()


async def look(cluster: Cluster, namespace: str, needs: tuple[Wanted, ...]) -> Claims:
    """One request for each claim or file system. Raises ClusterError for what may go better later."""
    if not needs:
        return NOTHING
    by_name = dict.fromkeys(need.claim for need in needs if need.claim)
    by_label = dict.fromkeys(need.file_system for need in needs if not need.claim)
    try:
        named = {name: await _parsed(cluster, await cluster.find(CLAIMS, namespace, name)) for name in by_name}
        labelled = {label: await _labelled(cluster, namespace, label) for label in by_label}
    except Refused as refused:
        return Claims(problem=refused.message)
    return Claims(named, labelled)


async def _labelled(cluster: Cluster, namespace: str, file_system: str) -> tuple[Claim, ...]:
    selector = f"{names.LABEL_FILE_SYSTEM}={file_system}"
    found = [raw async for raw in cluster.list(CLAIMS, namespace, selector)]
    parsed = [await _parsed(cluster, raw) for raw in found]
    return tuple(claim for claim in parsed if claim is not None)


async def _parsed(cluster: Cluster, raw: Any) -> Claim | None:
    if raw is None:
        return None
    claim = parse_claim(raw)
    if claim.phase != "Pending" or not claim.storage_class or not await _binds_late(cluster, claim.storage_class):
        return claim
    return parse_claim(raw, frozenset({claim.storage_class}))


async def _binds_late(cluster: Cluster, storage_class: str) -> bool:
    """Such a claim waits for the pod as the pod waits for it. Without the right to ask, it is waited for."""
    try:
        raw = await cluster.find(STORAGE_CLASSES, "", storage_class)
    except ClusterError:
        return False
    return read.text(read.mapping(raw), "volumeBindingMode") == WAIT_FOR_CONSUMER
