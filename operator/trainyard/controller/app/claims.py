"""The PersistentVolumeClaims that a job's channels need, asked for only before its pods are made: nobody watches them."""

from __future__ import annotations

from typing import Any, Final

from trainyard.api import names
from trainyard.controller.adapters.cluster import CLAIMS, STORAGE_CLASSES, Cluster
from trainyard.controller.adapters.errors import ClusterError, Refused
from trainyard.controller.core import read
from trainyard.controller.core.volumes import WAIT_FOR_CONSUMER, Claims, Wanted, parse_claim

NOTHING: Final = Claims()


async def look(cluster: Cluster, namespace: str, needs: tuple[Wanted, ...]) -> Claims:
    """One request for each claim, file system and storage class of claims that wait. Raises ClusterError for what may go better later."""
    if not needs:
        return NOTHING
    by_name = dict.fromkeys(need.claim for need in needs if need.claim)
    by_label = dict.fromkeys(need.file_system for need in needs if not need.claim)
    try:
        named = {name: await cluster.find(CLAIMS, namespace, name) for name in by_name}
        labelled = {label: await _labelled(cluster, namespace, label) for label in by_label}
    except Refused as refused:
        return Claims(problem=refused.message)
    there = [
        raw for raw in (*named.values(), *(raw for found in labelled.values() for raw in found)) if raw is not None
    ]
    waiting = {
        claim.storage_class for raw in there if (claim := parse_claim(raw)).phase == "Pending" and claim.storage_class
    }
    late = frozenset({name for name in sorted(waiting) if await _binds_late(cluster, name)})
    return Claims(
        {name: parse_claim(raw, late) if raw is not None else None for name, raw in named.items()},
        {label: tuple(parse_claim(raw, late) for raw in found) for label, found in labelled.items()},
    )


async def _labelled(cluster: Cluster, namespace: str, file_system: str) -> list[Any]:
    selector = f"{names.LABEL_FILE_SYSTEM}={file_system}"
    return [raw async for raw in cluster.list(CLAIMS, namespace, selector)]


async def _binds_late(cluster: Cluster, storage_class: str) -> bool:
    """Such a claim waits for the pod as the pod waits for it. Without the right to ask, it is waited for."""
    try:
        raw = await cluster.find(STORAGE_CLASSES, "", storage_class)
    except ClusterError:
        return False
    return read.text(read.mapping(raw), "volumeBindingMode") == WAIT_FOR_CONSUMER
