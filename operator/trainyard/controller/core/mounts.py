"""A pod's claims: its volumes, where training sees a directory of each, and where `stage` looks whether the directory is there.

The kubelet would make a directory that is missing, and training would begin on nothing.
"""

from __future__ import annotations

from typing import Any

from trainyard.api import names
from trainyard.api.plan import MountedChannel
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.controller.core import read
from trainyard.controller.core.references import Resolved

Manifest = dict[str, Any]
_PREFIX = "claim-"
_PLACE = f"{names.ML_SUBPATHS['input']}/data/"


def _volume_names(resolved: Resolved) -> dict[str, str]:
    """Claim -> its volume in the pod, in the order in which channels name them. Claims' names may be too long for one."""
    claims = dict.fromkeys(volume.claim for volume in resolved.volumes.values())
    return {claim: f"{_PREFIX}{number}" for number, claim in enumerate(claims)}


def volumes(resolved: Resolved) -> list[Manifest]:
    """Read-only as a whole where no channel may write to it."""
    written = {volume.claim for volume in resolved.volumes.values() if volume.writable}
    return [
        {"name": name, "persistentVolumeClaim": {"claimName": claim} | ({} if claim in written else {"readOnly": True})}
        for claim, name in _volume_names(resolved).items()
    ]


def of_stage(resolved: Resolved) -> list[Manifest]:
    return [
        {"name": name, "mountPath": f"{names.VOLUMES_DIR}/{name}", "readOnly": True}
        for name in _volume_names(resolved).values()
    ]


def of_training(resolved: Resolved) -> list[Manifest]:
    of_claim = _volume_names(resolved)
    return [
        {"name": of_claim[volume.claim], "mountPath": f"{_PLACE}{channel}"}
        | ({} if volume.writable else {"readOnly": True})
        | ({"subPath": volume.path} if volume.path else {})
        for channel, volume in resolved.volumes.items()
    ]


def planned(spec: TrainingJobSpec, resolved: Resolved) -> list[MountedChannel]:
    of_claim = _volume_names(resolved)
    return [
        MountedChannel(
            name=channel.channel_name,
            volume=of_claim[volume.claim],
            path=volume.path,
            source=volume.source,
            claim=volume.claim,
            input_mode="FastFile" if spec.mode_of(channel) == "FastFile" else "File",
            content_type=channel.content_type,
        )
        for channel in spec.input_data_config
        if (volume := resolved.volumes.get(channel.channel_name)) is not None
    ]


def seen(pod_spec: read.Raw, training: read.Raw) -> tuple[tuple[str, str], ...]:
    """(channel, claim) of a pod that is there."""
    claims = {
        read.text(volume, "name"): read.text(read.mapping(volume, "persistentVolumeClaim"), "claimName")
        for volume in read.items(pod_spec, "volumes")
        if read.text(volume, "name").startswith(_PREFIX)
    }
    return tuple(
        (read.text(mount, "mountPath").removeprefix(_PLACE), claims[read.text(mount, "name")])
        for mount in (read.items(training, "volumeMounts") if claims else [])
        if read.text(mount, "name") in claims
    )
