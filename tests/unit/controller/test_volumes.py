"""Channels that a volume serves: which claim they need, what is said while it will not do, and what the pods and the status have."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support import objects as o
from tests.support.specs import FILES, VPC
from trainyard.api import names
from trainyard.api.channels import FileSystemDataSource
from trainyard.api.plan import Plan
from trainyard.api.reasons import Reason
from trainyard.controller.core import volumes
from trainyard.controller.core.actions import actions
from trainyard.controller.core.decision import Act
from trainyard.controller.core.observed import parse_pod
from trainyard.controller.core.policies import decide
from trainyard.controller.core.references import needs
from trainyard.controller.core.snapshot import Snapshot
from trainyard.controller.core.status import reduce
from trainyard.controller.core.volumes import Claim, Claims, path_below

FS = FILES["fileSystemID"]


def files(name: str = "train", **source: Any) -> dict[str, Any]:
    return {"channelName": name, "dataSource": {"fileSystemDataSource": FILES | source}}


def fast(uri: str, name: str = "train", **source: Any) -> dict[str, Any]:
    return {
        "channelName": name,
        "inputMode": "FastFile",
        "dataSource": {"s3DataSource": {"s3URI": uri} | source},
    }


def claim(
    name: str = "shared", *, phase: str = "Bound", modes: tuple[str, ...] = ("ReadWriteMany",), **more: Any
) -> Claim:
    return Claim(name, phase, frozenset(modes), **more)


def snapshot(
    *channels: dict[str, Any],
    hosts: int = 1,
    labelled: tuple[Claim, ...] = (),
    named: dict[str, Claim | None] | None = None,
    **role: Any,
) -> Snapshot:
    job = o.job(hosts=hosts, inputDataConfig=list(channels), vpcConfig=VPC)
    found = Claims(named or {}, {FS: labelled})
    return o.snapshot(job, roles=(o.role(**role),), claims=found)


def said(of: Snapshot) -> tuple[Reason | None, str]:
    """Why the job waits; that it is not refused for good, is looked at again, and says of which field that is."""
    decision = decide(of)
    assert decision.act is Act.WAIT
    assert decision.requeue_after is not None
    later = replace(of, now=o.at(1_000_000))
    assert decide(later).act is not Act.FINISH
    assert "spec.inputDataConfig[train]" in decision.message
    return decision.reason, decision.message


def made(of: Snapshot) -> dict[str, Any]:
    decision = decide(of)
    assert decision.act is Act.MAKE
    return actions(of, decision).pods[0]["spec"]


def mounts(spec: dict[str, Any], container: str) -> list[dict[str, Any]]:
    (found,) = [each for each in spec["initContainers"] + spec["containers"] if each["name"] == container]
    return [mount for mount in found["volumeMounts"] if mount["name"].startswith("claim-")]


# -- which claim


def test_a_claim_is_found_by_the_roles_list_before_any_label() -> None:
    mapped = [{"fileSystemID": FS, "claimName": "by-role"}]
    both = snapshot(files(), fileSystems=mapped, named={"by-role": claim("by-role")}, labelled=(claim("by-label"),))
    (volume,) = made(both)["volumes"][-1:]
    assert volume == {"name": "claim-0", "persistentVolumeClaim": {"claimName": "by-role", "readOnly": True}}
    (need,) = needs(both)
    assert (need.claim, need.file_system) == ("by-role", FS)


@pytest.mark.parametrize(
    ("labelled", "reason", "words"),
    [
        ((), Reason.CLAIM_NOT_FOUND, f"label the one that holds it with {names.LABEL_FILE_SYSTEM}={FS}"),
        ((claim("a"), claim("b")), Reason.CLAIM_AMBIGUOUS, "a, b; keep it on one"),
        ((claim(phase="Pending"),), Reason.CLAIM_NOT_READY, "shared, of file system"),
        ((claim(phase="Lost"),), Reason.CLAIM_NOT_READY, "is Lost, not Bound"),
        ((claim(deleting=True),), Reason.CLAIM_NOT_READY, "is being deleted"),
        ((claim(block=True),), Reason.CLAIM_UNFIT, "volumeMode Block"),
    ],
)
def test_a_job_waits_for_its_claim_and_says_what_to_do(labelled: tuple[Claim, ...], reason: Reason, words: str) -> None:
    of = snapshot(files(), labelled=labelled)
    found, message = said(of)
    assert found is reason
    assert words in message
    status = reduce(of, decide(of))
    accepted = next(each for each in status.conditions if each.type == "Accepted")
    assert (accepted.status, accepted.reason) == ("False", reason)
    assert status.channels == []


def test_a_claim_that_the_role_names_and_that_is_not_there_is_waited_for_by_name() -> None:
    reason, message = said(snapshot(files(), fileSystems=[{"fileSystemID": FS, "claimName": "gone"}]))
    assert reason is Reason.CLAIM_NOT_FOUND
    assert "no PersistentVolumeClaim 'gone', which the ExecutionRole names" in message


def test_an_operator_that_may_not_read_claims_says_so() -> None:
    of = replace(snapshot(files()), claims=Claims(problem="persistentvolumeclaims is forbidden"))
    reason, message = said(of)
    assert reason is Reason.CLAIM_NOT_FOUND
    assert "persistentvolumeclaims is forbidden" in message


def test_a_claim_that_waits_for_its_pod_gets_one() -> None:
    made(snapshot(files(), labelled=(claim(phase="Pending", binds_late=True),)))


@pytest.mark.parametrize(
    ("mode", "hosts", "modes", "fits"),
    [
        ("ro", 1, ("ReadWriteOnce",), True),
        ("ro", 2, ("ReadWriteOnce",), False),
        ("ro", 2, ("ReadOnlyMany",), True),
        ("ro", 2, ("ReadWriteOncePod", "ReadWriteOnce"), False),
        ("rw", 1, ("ReadOnlyMany",), False),
        ("rw", 1, ("ReadWriteOncePod",), True),
        ("rw", 2, ("ReadWriteOnce", "ReadOnlyMany"), False),
        ("rw", 2, ("ReadWriteMany",), True),
        ("ro", 1, (), False),
    ],
)
def test_access_modes_must_allow_what_the_hosts_do(mode: str, hosts: int, modes: tuple[str, ...], fits: bool) -> None:
    of = snapshot(files(fileSystemAccessMode=mode), hosts=hosts, labelled=(claim(modes=modes),))
    if fits:
        made(of)
    else:
        reason, message = said(of)
        assert reason is Reason.CLAIM_UNFIT
        assert "ReadWriteMany" in message


# -- which directory


@pytest.mark.parametrize(
    ("kind", "path", "inside"),
    [
        ("EFS", "/", ""),
        ("EFS", "/data//diamonds/./1/", "data/diamonds/1"),
        ("FSxLustre", "/fsx", ""),
        ("FSxLustre", "/fsx/data/a", "data/a"),
    ],
)
def test_a_directory_is_relative_to_what_the_volume_shows(kind: str, path: str, inside: str) -> None:
    source = FileSystemDataSource.model_validate(FILES | {"fileSystemType": kind, "directoryPath": path})
    assert volumes.directory(source) == inside


def test_two_channels_of_one_file_system_share_its_volume_and_only_one_may_write() -> None:
    of = snapshot(
        files(directoryPath="/in"),
        files("out", directoryPath="/out/$(HOME)", fileSystemAccessMode="rw"),
        labelled=(claim(),),
    )
    spec = made(of)
    assert [volume for volume in spec["volumes"] if "persistentVolumeClaim" in volume] == [
        {"name": "claim-0", "persistentVolumeClaim": {"claimName": "shared"}}
    ]
    assert mounts(spec, "training") == [
        {"name": "claim-0", "mountPath": "/opt/ml/input/data/train", "readOnly": True, "subPath": "in"},
        {"name": "claim-0", "mountPath": "/opt/ml/input/data/out", "subPath": "out/$(HOME)"},
    ]
    assert mounts(spec, "stage") == [{"name": "claim-0", "mountPath": f"{names.VOLUMES_DIR}/claim-0", "readOnly": True}]
    for container in ("sidecar", "prefetch", "hold"):
        assert mounts(spec, container) == []


def test_the_plan_has_a_mounted_channel_apart_from_those_that_are_brought() -> None:
    both = [
        files() | {"contentType": "text/csv"},
        {"channelName": "s3", "dataSource": {"s3DataSource": {"s3URI": "s3://b/p"}}},
    ]
    of = snapshot(*both, labelled=(claim(),))
    document = actions(of, decide(of)).plan
    assert document is not None
    plan = Plan.from_json(document["data"]["plan.json"])
    assert [channel.name for channel in plan.channels] == ["s3"]
    (mounted,) = plan.mounted
    assert (mounted.name, mounted.volume, mounted.path, mounted.content_type) == (
        "train",
        "claim-0",
        "data",
        "text/csv",
    )


# -- FastFile


@pytest.mark.parametrize(
    ("folder", "uri", "path"),
    [
        ("s3://b", "s3://b/a/c/", "a/c"),
        ("s3://b/", "s3://b", ""),
        ("s3://b/a", "s3://b/a", ""),
        ("s3://b/a/", "s3://b/a/c", "c"),
        ("s3://b/a", "s3://b/ab", None),
        ("s3://b/a", "s3://c/a", None),
        ("s3://b", "s3://b/a//c", None),
        ("s3://b", "s3://b/a/../c", None),
        ("s3://b", "s3://b//", None),
        ("s3://b/a/c", "s3://b/a", None),
    ],
)
def test_a_uri_is_below_a_folder_or_not(folder: str, uri: str, path: str | None) -> None:
    assert path_below(folder, uri) == path


SEEN = [
    {"s3URI": "s3://datasets", "claimName": "all"},
    {"s3URI": "s3://datasets/big/", "claimName": "big"},
]


def test_a_fastfile_channel_is_mounted_by_the_closest_of_the_roles_claims() -> None:
    there = {name: claim(name, modes=("ReadOnlyMany",)) for name in ("all", "big")}
    of = snapshot(
        fast("s3://datasets/big/images/", "images"),
        fast("s3://datasets/small/", "small"),
        fast("s3://datasets/one.csv", "one"),
        fast("s3://other/small", "other"),
        fast("s3://datasets/big/", "shards", s3DataDistributionType="ShardedByS3Key"),
        hosts=2,
        fastFile=SEEN,
        named=dict(there),
    )
    spec = made(of)
    assert mounts(spec, "training") == [
        {"name": "claim-0", "mountPath": "/opt/ml/input/data/images", "readOnly": True, "subPath": "images"},
        {"name": "claim-1", "mountPath": "/opt/ml/input/data/small", "readOnly": True, "subPath": "small"},
    ]
    assert [volume["persistentVolumeClaim"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume] == [
        {"claimName": "big", "readOnly": True},
        {"claimName": "all", "readOnly": True},
    ]
    served = {
        channel.channel_name: (channel.served_by, channel.claim_name) for channel in reduce(of, decide(of)).channels
    }
    assert served == {
        "images": ("Volume", "big"),
        "small": ("Volume", "all"),
        "one": ("Staging", None),  # it may be an object, and a volume has folders alone
        "other": ("Staging", None),
        "shards": ("Staging", None),
    }


def test_a_channel_in_file_mode_is_copied_whatever_the_role_has_for_fastfile() -> None:
    channel = fast("s3://datasets/small/") | {"inputMode": "File"}
    assert mounts(made(snapshot(channel, fastFile=SEEN)), "training") == []


@pytest.mark.parametrize("uri", ["s3://datasets/a", "s3://datasets/a/x.csv"])
def test_a_fastfile_channel_that_may_be_one_object_is_copied_also_where_the_role_names_just_that(uri: str) -> None:
    spec = made(snapshot(fast(uri), fastFile=[{"s3URI": uri, "claimName": "a"}]))
    assert mounts(spec, "training") == []


def test_hosts_of_one_gang_are_not_served_by_different_claims() -> None:
    first = snapshot(files(), hosts=2, labelled=(claim("old"),))
    raw = o.raw_pod()
    raw["spec"] = copy.deepcopy(made(first)) | {"nodeName": "node-1"}
    mended = snapshot(files(), hosts=2, labelled=(claim("new"),))
    pods = (parse_pod(raw), *mended.pods[1:])
    reason, message = said(replace(mended, pods=pods))
    assert reason is Reason.CLAIM_UNFIT
    assert "PersistentVolumeClaim old for spec.inputDataConfig[train]" in message
    assert "PersistentVolumeClaim new for spec.inputDataConfig[train]" in message
    assert decide(replace(first, pods=pods)).act is Act.MAKE


def test_a_job_that_waited_for_its_claim_until_its_limit_says_so_and_nothing_of_capacity() -> None:
    limit = {"maxRuntimeInSeconds": 100, "maxPendingTimeInSeconds": 7200}
    job = o.job(inputDataConfig=[files()], vpcConfig=VPC, stoppingCondition=limit)
    ended = reduce(late := o.snapshot(job, roles=(o.role(),), claims=Claims({}, {FS: ()}), now=7300), decide(late))
    told = ended.to_json()
    assert ended.training_job_status == "Stopped"
    assert "Waited 7200 s (stoppingCondition.maxPendingTimeInSeconds): no PersistentVolumeClaim for file system" in told
    assert "CapacityError" not in told


# -- the status


def test_the_status_says_of_a_channel_what_its_pod_has_whatever_the_role_says_by_now() -> None:
    of = snapshot(files(), labelled=(claim(),))
    raw = o.raw_pod()
    raw["spec"] = copy.deepcopy(made(of)) | {"nodeName": "node-1"}
    later = replace(of, pods=(parse_pod(raw),), claims=Claims())
    assert needs(later) == ()
    (channel,) = reduce(later, decide(later)).channels
    assert (channel.served_by, channel.claim_name) == ("Volume", "shared")
    # Once the pod has gone, what was known stays.
    known = o.job(inputDataConfig=[files()], vpcConfig=VPC, status=json.loads(reduce(later, decide(later)).to_json()))
    assert [each.claim_name for each in reduce(o.snapshot(known), decide(o.snapshot(known))).channels] == ["shared"]


def test_claims_are_read_with_care() -> None:
    odd: dict[str, Any] = {"metadata": [], "spec": {"accessModes": [1, "ReadWriteOnce"]}, "status": {"accessModes": {}}}
    assert volumes.parse_claim(odd) == Claim("", "Pending", frozenset({"ReadWriteOnce"}))
    assert volumes.parse_claim(None) == Claim("", "Pending", frozenset())
