"""What a job names: its InstanceType and its ExecutionRole, found or explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trainyard.api.platform import ExecutionRoleSpec, InstanceTypeSpec
from trainyard.api.reasons import Reason
from trainyard.controller.core import volumes
from trainyard.controller.core.compute import Compute, compute
from trainyard.controller.core.job import DEFAULT_REGION
from trainyard.controller.core.volumes import Unfit, Volume

if TYPE_CHECKING:
    from trainyard.controller.core.snapshot import ExecutionRole, Snapshot

DEFAULT_ROLE = "default"
_LISTED = 8
CLAIM_SECONDS = 15.0
"""How often claims are looked at again, which nothing tells of."""


@dataclass(frozen=True)
class Resolved:
    """All that a pod is made from besides the job itself. `volumes`: of the channels that a volume serves."""

    instance: InstanceTypeSpec
    compute: Compute
    role_name: str
    role: ExecutionRoleSpec
    volumes: Mapping[str, Volume] = field(default_factory=dict)


@dataclass(frozen=True)
class Unresolved:
    """What is not there, what is, and what to do. `lasting`: it is waited for without end; `again`: looked at after so many seconds."""

    reason: Reason
    message: str
    lasting: bool = False
    again: float | None = None


def resolve(snapshot: Snapshot) -> Resolved | Unresolved:
    """Read as `Snapshot.resolution`, which remembers it."""
    if snapshot.job.spec is None:
        return Unresolved(Reason.INVALID_SPEC, snapshot.job.problem)
    if (holder := snapshot.name_holder) is not None:
        return Unresolved(
            Reason.NAME_IN_USE,
            "ResourceInUse: Training job names must be unique within an AWS account and region, and a training job with this"
            f" name already exists ({holder.status.training_job_arn or holder.arn(DEFAULT_REGION)}). Here they are unique within"
            f" a namespace, and TrainingJob {holder.name} has it: this one starts when that is deleted, or choose another"
            " trainingJobName.",
            lasting=True,
        )
    try:
        snapshot.job.choices()
    except ValueError as error:
        return Unresolved(Reason.INVALID_SPEC, str(error))
    instance = _instance_type(snapshot)
    if isinstance(instance, Unresolved):
        return instance
    role = _role(snapshot)
    if isinstance(role, Unresolved):
        return role
    return _with_volumes(snapshot, *instance, role)


def needs(snapshot: Snapshot) -> tuple[volumes.Wanted, ...]:
    """The claims that must be looked at before pods can be made: none where all pods are there, or something else is missing."""
    if snapshot.job.spec is None or not snapshot.missing:
        return ()
    role = _role(snapshot)
    return volumes.wanted(snapshot.job.spec, role.spec) if not isinstance(role, Unresolved) and role.spec else ()


def _with_volumes(
    snapshot: Snapshot, instance: InstanceTypeSpec, share: Compute, role: ExecutionRole
) -> Resolved | Unresolved:
    assert snapshot.job.spec is not None
    assert role.spec is not None
    wanted = volumes.wanted(snapshot.job.spec, role.spec) if snapshot.missing else ()
    found = volumes.choose(wanted, snapshot.claims, snapshot.instance_count)
    if isinstance(found, Unfit):
        return Unresolved(found.reason, found.message, lasting=True, again=CLAIM_SECONDS)
    first = next((pod for pod in snapshot.pods if pod.uid), None)
    served = {channel: volume.claim for channel, volume in found.items()}
    if snapshot.missing and first is not None and dict(first.claims) != served:
        text = (
            f"the pod of {first.host} was made with {_claims(dict(first.claims))}, and the other hosts would get {_claims(served)}: name the"
            " same as before, or stop the job and create it again"
        )
        return Unresolved(Reason.CLAIM_UNFIT, text, lasting=True, again=CLAIM_SECONDS)
    return Resolved(instance, share, role.name, role.spec, found)


def _claims(of: dict[str, str]) -> str:
    said = ", ".join(
        f"PersistentVolumeClaim {claim} for spec.inputDataConfig[{channel}]" for channel, claim in sorted(of.items())
    )
    return said or "no PersistentVolumeClaim"


def _listed(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:_LISTED])
    return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown


def _instance_type(snapshot: Snapshot) -> tuple[InstanceTypeSpec, Compute] | Unresolved:
    wanted = snapshot.job.spec.resource_config.instance_type if snapshot.job.spec else ""
    found = snapshot.instance_type
    if found is None:
        others = list(snapshot.instance_types)
        there = f"there are: {_listed(others)}" if others else "the cluster has none: install the chart's or create one"
        return Unresolved(
            Reason.INSTANCE_TYPE_NOT_FOUND,
            f"no InstanceType {wanted!r} (resourceConfig.instanceType); {there}",
        )
    if found.spec is None:
        return Unresolved(
            Reason.INSTANCE_TYPE_INVALID, f"InstanceType {found.name} cannot be read: {found.problem}; correct it"
        )
    try:
        return found.spec, compute(found.name, found.spec)
    except (ValueError, KeyError) as error:
        return Unresolved(Reason.INSTANCE_TYPE_INVALID, str(error))


def _role(snapshot: Snapshot) -> ExecutionRole | Unresolved:
    arn = snapshot.job.spec.role_arn if snapshot.job.spec else None
    namespace = snapshot.job.namespace
    if arn is None:
        found = [role for role in snapshot.roles if role.name == DEFAULT_ROLE]
        wanted = f"ExecutionRole named {DEFAULT_ROLE!r} in namespace {namespace}, which a job without roleARN uses"
    else:
        found = [role for role in snapshot.roles if role.spec is not None and role.spec.role_arn == arn]
        wanted = f"ExecutionRole in namespace {namespace} with spec.roleARN {arn!r}"
    if len(found) > 1:
        return Unresolved(
            Reason.EXECUTION_ROLE_AMBIGUOUS,
            f"{len(found)} ExecutionRoles of namespace {namespace} carry spec.roleARN {arn!r}:"
            f" {_listed([role.name for role in found])}; keep it on one of them",
        )
    if not found:
        others = [
            f"{role.name} ({role.spec.role_arn or 'without roleARN'})" if role.spec else f"{role.name} (unreadable)"
            for role in snapshot.roles
        ]
        there = f"there are: {_listed(others)}" if others else "the namespace has none: create one"
        return Unresolved(Reason.EXECUTION_ROLE_NOT_FOUND, f"no {wanted}; {there}")
    if found[0].spec is None:
        return Unresolved(
            Reason.EXECUTION_ROLE_NOT_FOUND,
            f"ExecutionRole {found[0].name} cannot be read: {found[0].problem}; correct it",
        )
    if found[0].spec.instance_metadata_credentials and not snapshot.options.instance_metadata:
        return Unresolved(
            Reason.INSTANCE_METADATA_FORBIDDEN,
            f"ExecutionRole {found[0].name} has instanceMetadataCredentials, and the operator does not allow it: set the chart's"
            " allowInstanceMetadataCredentials to true if jobs may have the nodes' own credentials, or give the role"
            " credentialsSecretRef or webIdentity",
        )
    return found[0]
