"""Channels that are served by a volume: which claim each needs, and whether what the namespace has will do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainyard.api import names
from trainyard.api.channels import Channel, FileSystemDataSource, S3DataSource
from trainyard.api.platform import ExecutionRoleSpec
from trainyard.api.reasons import Reason
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.api.uris import split_s3_uri
from trainyard.controller.core import read

_LISTED = 8
WAIT_FOR_CONSUMER = "WaitForFirstConsumer"
SHARED = frozenset({"ReadWriteMany"})
SHARED_TO_READ = SHARED | {"ReadOnlyMany"}
WRITABLE = SHARED | {"ReadWriteOnce", "ReadWriteOncePod"}


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim as far as it decides. `binds_late`: it is bound only when a pod asks for it."""

    name: str
    phase: str
    modes: frozenset[str]
    block: bool = False
    deleting: bool = False
    storage_class: str = ""
    binds_late: bool = False

    @property
    def usable(self) -> bool:
        return self.phase == "Bound" or (self.phase == "Pending" and self.binds_late)


@dataclass(frozen=True)
class Claims:
    """What was found in the job's namespace: by name, None where there is none, and by the label of file systems. `problem`: why
    nothing could be looked at."""

    named: Mapping[str, Claim | None] = field(default_factory=dict)
    labelled: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Wanted:
    """What one channel needs: the claim of that name, or the one labelled with `file_system`. `path` is below the claim's root."""

    channel: str
    what: str
    path: str
    writable: bool
    source: str
    claim: str = ""
    file_system: str = ""


@dataclass(frozen=True)
class Volume:
    """A claim for one channel."""

    claim: str
    path: str
    writable: bool
    source: str


@dataclass(frozen=True)
class Unfit:
    """No claim will do: why, and what to do."""

    reason: Reason
    message: str


def wanted(spec: TrainingJobSpec, role: ExecutionRoleSpec) -> tuple[Wanted, ...]:
    """Of the channels that a volume is to serve, in the order of the spec."""
    found = (_wanted(spec, role, channel) for channel in spec.input_data_config)
    return tuple(each for each in found if each is not None)


def _wanted(spec: TrainingJobSpec, role: ExecutionRoleSpec, channel: Channel) -> Wanted | None:
    files, s3 = channel.data_source.file_system_data_source, channel.data_source.s3_data_source
    if files is not None:
        claims = {each.file_system_id: each.claim_name for each in role.file_systems}
        return Wanted(
            channel.channel_name,
            f"file system {files.file_system_id}",
            directory(files),
            files.file_system_access_mode == "rw",
            f"{files.file_system_id}:{files.directory_path}",
            claims.get(files.file_system_id, ""),
            files.file_system_id,
        )
    if s3 is None or spec.mode_of(channel) != "FastFile" or s3.s3_data_distribution_type != "FullyReplicated":
        return None
    return _fast_file(role, channel.channel_name, s3)


def directory(files: FileSystemDataSource) -> str:
    """Relative to the file system's root: of FSxLustre without the mount name, which is what its volume shows."""
    parts = [part for part in files.directory_path.split("/") if part not in ("", ".")]
    return "/".join(parts[1:] if files.file_system_type == "FSxLustre" else parts)


def _fast_file(role: ExecutionRoleSpec, channel: str, source: S3DataSource) -> Wanted | None:
    """By the longest of the role's URIs that the channel lies below. What need not be a folder, or cannot be a path, is left to
    staging: only S3 knows whether `s3://b/a` is one object, and nobody asks it here."""
    folder = source.s3_uri.endswith("/") or not split_s3_uri(source.s3_uri)[1]
    below = ((each, path_below(each.s3_uri, source.s3_uri)) for each in role.fast_file)
    fits = [(each, path) for each, path in below if path is not None]
    if not fits or not folder or source.instance_group_names:
        return None
    entry, path = max(fits, key=lambda fit: len(fit[0].s3_uri.rstrip("/")))
    return Wanted(channel, f"FastFile data {entry.s3_uri}", path, False, source.s3_uri, entry.claim_name)


def path_below(folder: str, uri: str) -> str | None:
    """The path of `uri` relative to `folder`, empty for the folder itself; None if it lies elsewhere or is no path."""
    bucket, prefix = split_s3_uri(folder)
    its_bucket, key = split_s3_uri(uri)
    if key.startswith("/") or "//" in key:
        return None
    prefix, key = prefix.rstrip("/"), key.removesuffix("/")
    if its_bucket != bucket or (prefix and key != prefix and not key.startswith(f"{prefix}/")):
        return None
    path = key[len(prefix) :].removeprefix("/") if prefix else key
    parts = path.split("/")
    return None if {".", ".."} & {*parts} or "\0" in path else path


def parse_claim(raw: Any, late_classes: frozenset[str] = frozenset()) -> Claim:
    """Total. `late_classes`: the storage classes that bind a claim only when a pod asks for it."""
    spec, status = read.mapping(raw, "spec"), read.mapping(raw, "status")
    bound = status.get("accessModes") or spec.get("accessModes") or []
    storage_class = read.text(spec, "storageClassName")
    return Claim(
        name=read.text(read.mapping(raw, "metadata"), "name"),
        phase=read.text(status, "phase") or "Pending",
        modes=frozenset(mode for mode in bound if isinstance(mode, str)) if isinstance(bound, list) else frozenset(),
        block=read.text(spec, "volumeMode") == "Block",
        deleting="deletionTimestamp" in read.mapping(raw, "metadata"),
        storage_class=storage_class,
        binds_late=storage_class in late_classes,
    )


def choose(needs: tuple[Wanted, ...], claims: Claims, hosts: int) -> dict[str, Volume] | Unfit:
    """Channel -> its volume, or the first thing that is wrong."""
    if needs and claims.problem:
        return Unfit(
            Reason.CLAIM_NOT_FOUND,
            f"PersistentVolumeClaims cannot be looked at, of which spec.inputDataConfig[{needs[0].channel}] needs one: {claims.problem}."
            " Let the operator get and list them, as its chart does",
        )
    chosen: dict[str, Volume] = {}
    for need in needs:
        claim = _claim(need, claims)
        unfit = claim if isinstance(claim, Unfit) else _unfit(need, claim, hosts)
        if unfit is not None:
            return unfit
        assert isinstance(claim, Claim)
        chosen[need.channel] = Volume(claim.name, need.path, need.writable, need.source)
    return chosen


def _claim(need: Wanted, claims: Claims) -> Claim | Unfit:
    whose = f"{need.what} (spec.inputDataConfig[{need.channel}])"
    if need.claim:
        named = claims.named.get(need.claim)
        if named is not None:
            return named
        return Unfit(
            Reason.CLAIM_NOT_FOUND,
            f"no PersistentVolumeClaim {need.claim!r}, which the ExecutionRole names for {whose}; create it, or correct the"
            " ExecutionRole. The job starts when it is there",
        )
    found = claims.labelled.get(need.file_system, ())
    if len(found) == 1:
        return found[0]
    label = f"{names.LABEL_FILE_SYSTEM}={need.file_system}"
    if found:
        shown = ", ".join(sorted(claim.name for claim in found)[:_LISTED])
        return Unfit(
            Reason.CLAIM_AMBIGUOUS,
            f"{len(found)} PersistentVolumeClaims have the label {label}: {shown}; keep it on one of them, or name one in the"
            f" ExecutionRole's fileSystems for {whose}",
        )
    return Unfit(
        Reason.CLAIM_NOT_FOUND,
        f"no PersistentVolumeClaim for {whose}: label the one that holds it with {label}, or name it in the ExecutionRole's"
        " fileSystems. The job starts when it is there",
    )


def _unfit(need: Wanted, claim: Claim, hosts: int) -> Unfit | None:
    what = f"PersistentVolumeClaim {claim.name}, of {need.what} (spec.inputDataConfig[{need.channel}]),"
    if claim.deleting:
        return Unfit(
            Reason.CLAIM_NOT_READY, f"{what} is being deleted; create it again. The job starts when it is there"
        )
    if claim.block:
        return Unfit(Reason.CLAIM_UNFIT, f"{what} has volumeMode Block; give one with volumeMode Filesystem")
    if not claim.usable:
        return Unfit(
            Reason.CLAIM_NOT_READY,
            f"{what} is {claim.phase}, not Bound; `kubectl describe pvc {claim.name}` says why. The job starts when it is bound",
        )
    if need.writable:
        allowed, does = SHARED if hosts > 1 else WRITABLE, "to be written to"
    else:
        allowed, does = SHARED_TO_READ if hosts > 1 else WRITABLE | SHARED_TO_READ, "to be read"
    if claim.modes & allowed:
        return None
    has = ", ".join(sorted(claim.modes)) or "no access mode"
    return Unfit(
        Reason.CLAIM_UNFIT,
        f"{what} has {has}, and is {does} by {hosts} host{'s'[: hosts != 1]}, which takes {' or '.join(sorted(allowed))};"
        " give a claim with that, or ask for less",
    )
