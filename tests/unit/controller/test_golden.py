"""Every child of a job, as it is sent: diffed against tests/golden/children. TRAINYARD_UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import objects as o
from tests.support.specs import FILES, VPC
from trainyard.api import names
from trainyard.api.plan import Plan, model_uri
from trainyard.controller.core.actions import Actions, actions
from trainyard.controller.core.children import owned
from trainyard.controller.core.decision import Act
from trainyard.controller.core.job import parse_job
from trainyard.controller.core.policies import decide
from trainyard.controller.core.snapshot import Options, Snapshot
from trainyard.controller.core.volumes import Claim, Claims

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "children"
CHANNEL = {
    "channelName": "train",
    "contentType": "text/csv",
    "dataSource": {"s3DataSource": {"s3URI": "s3://data/train", "s3DataDistributionType": "ShardedByS3Key"}},
}
CASES: dict[str, Snapshot] = {
    "one-host": o.snapshot(
        o.job(hyperParameters={"eta": "0.30"}, inputDataConfig=[CHANNEL], environment={"PRICE": "$(cost) $5"})
    ),
    "checkpoints": o.snapshot(
        o.job(checkpointConfig={"s3URI": "s3://models/ck/", "localPath": "/work/ck/"}),
        roles=(o.role(checkpointIntervalSeconds=20),),
    ),
    "pipe-and-fastfile": o.snapshot(
        o.job(
            inputDataConfig=[
                CHANNEL | {"inputMode": "Pipe", "recordWrapperType": "RecordIO", "shuffleConfig": {"seed": 7}},
                CHANNEL | {"channelName": "validation", "inputMode": "FastFile"},
            ]
        )
    ),
    "volumes": o.snapshot(
        o.job(
            hosts=2,
            vpcConfig=VPC,
            inputDataConfig=[
                {"channelName": "train", "dataSource": {"fileSystemDataSource": FILES}},
                CHANNEL
                | {
                    "channelName": "images",
                    "inputMode": "FastFile",
                    "dataSource": {"s3DataSource": {"s3URI": "s3://data/i/"}},
                },
            ],
        ),
        roles=(
            o.role(
                fileSystems=[{"fileSystemID": FILES["fileSystemID"], "claimName": "shared"}],
                fastFile=[{"s3URI": "s3://data", "claimName": "objects"}],
            ),
        ),
        claims=Claims({name: Claim(name, "Bound", frozenset({"ReadOnlyMany"})) for name in ("shared", "objects")}),
    ),
    "two-hosts-gpu-restricted": o.snapshot(
        o.job(
            hosts=2,
            trainingJobName="Diamonds-2026",
            algorithmSpecification={
                "trainingImage": o.IMAGE,
                "containerEntrypoint": ["python3", "-c"],
                "containerArguments": ["print('$HOME')"],
            },
        ),
        instance_type=o.instance_type(
            capacity={"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "1"},
            nodeSelector={"pool": "gpu"},
            tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        ),
        roles=(
            o.role(
                securityMode="restricted", serviceAccountName="trainer", credentialsSecretRef=None, uploadHoldSeconds=60
            ),
        ),
        options=Options(agent_image="agent:1", training_image_pull_policy="Always", cluster_domain="example.org"),
    ),
    "stage-is-started-again": o.snapshot(o.job(), options=replace(o.OPTIONS, restarts_stage=True)),
}


def made(snapshot: Snapshot) -> Actions:
    decision = decide(snapshot)
    assert decision.act is Act.MAKE
    return actions(snapshot, decision)


def children(found: Actions) -> list[dict[str, Any]]:
    """All that is sent, as it is sent: the plan owns the rest."""
    plan = found.plan
    assert plan is not None
    made_plan = plan | {"metadata": plan["metadata"] | {"uid": "plan-uid"}}
    service = [found.service] if found.service is not None else []
    return [plan, *(owned(manifest, made_plan) for manifest in [*service, *found.pods])]


def containers(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in pod["spec"]["initContainers"] + pod["spec"]["containers"]}


@pytest.mark.parametrize("case", CASES)
def test_the_children_are_as_they_were_reviewed(case: str) -> None:
    found = made(CASES[case])
    manifests = json.loads(json.dumps(children(found)))
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            manifest["data"]["plan.json"] = json.loads(manifest["data"]["plan.json"])
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("TRAINYARD_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump_all(manifests, sort_keys=False, width=120))
    assert list(yaml.safe_load_all(path.read_text())) == manifests


@pytest.mark.parametrize("case", CASES)
def test_the_same_job_gives_the_same_bytes(case: str) -> None:
    assert json.dumps(made(CASES[case]).pods) == json.dumps(made(CASES[case]).pods)


@pytest.mark.parametrize("case", CASES)
def test_only_the_agent_sees_credentials_plan_and_orders(case: str) -> None:
    for pod in made(CASES[case]).pods:
        for name in (names.CONTAINER_TRAINING, names.CONTAINER_PREFETCH, names.CONTAINER_HOLD):
            mounted = {mount["name"] for mount in containers(pod)[name]["volumeMounts"]}
            assert not mounted & {"credentials", "plan", "podinfo"}
        assert pod["spec"]["automountServiceAccountToken"] is False


def lent(**role: Any) -> dict[str, str]:
    """What of training's environment speaks of AWS, its region apart."""
    found = made(o.snapshot(o.job(), roles=(o.role(**role),))).pods[0]
    entries = {entry["name"]: entry["value"] for entry in containers(found)["training"]["env"]}
    return {name: value for name, value in entries.items() if name.startswith(("AWS_", "S3_")) and name != "AWS_REGION"}


SERVER = {"endpointURL": "http://s3.storage.svc:9000", "region": "eu-central-1"}


def test_training_is_told_where_its_roles_credentials_and_its_server_are() -> None:
    found = lent(s3=SERVER)
    assert found.pop("AWS_CONTAINER_AUTHORIZATION_TOKEN") == names.credentials_token(o.job().uid, o.job().attempt)
    assert found == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{names.AGENT_PORT}/credentials",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_S3": SERVER["endpointURL"],
        "S3_ENDPOINT_URL": SERVER["endpointURL"],
    }


def test_training_finds_no_key_token_or_endpoint_where_none_is_lent() -> None:
    assert lent(s3=SERVER, trainingCredentials="none") == {}
    pod = made(o.snapshot(o.job(), roles=(o.role(trainingCredentials="none"),))).pods[0]
    assert "secret" not in json.dumps(containers(pod)["training"]).lower()
    plan = made(o.snapshot(o.job(), roles=(o.role(trainingCredentials="none"),))).plan
    assert plan is not None
    assert Plan.from_json(plan["data"]["plan.json"]).training_credentials is False


def test_the_authorities_of_a_role_are_trusted_by_the_agent_and_named_to_training() -> None:
    server = SERVER | {"caBundleConfigMapRef": {"name": "company", "key": "root.pem"}}
    for lends, trusting in (("role", True), ("none", False)):
        pod = made(o.snapshot(o.job(), roles=(o.role(s3=server, trainingCredentials=lends),))).pods[0]
        found = containers(pod)
        for name in (names.CONTAINER_SIDECAR, names.CONTAINER_STAGE):
            assert {"name": "SSL_CERT_FILE", "value": names.CA_FILE} in found[name]["env"]
            assert names.CA_DIR in [mount["mountPath"] for mount in found[name]["volumeMounts"]]
        training = found[names.CONTAINER_TRAINING]
        assert ({"name": "AWS_CA_BUNDLE", "value": names.CA_FILE} in training["env"]) is trusting
        assert (names.CA_DIR in [mount["mountPath"] for mount in training["volumeMounts"]]) is trusting
        (volume,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "ca"]
        assert volume["configMap"] == {
            "name": "company",
            "items": [{"key": "root.pem", "path": "ca.crt"}],
            "optional": True,
        }


def test_the_token_for_an_sts_is_the_agents_alone() -> None:
    identity = {"roleARN": "arn:aws:iam::123456789012:role/data", "audience": "storage", "durationSeconds": 900}
    found = made(o.snapshot(o.job(), roles=(o.role(credentialsSecretRef=None, webIdentity=identity),)))
    pod = found.pods[0]
    holders = {
        name
        for name, container in containers(pod).items()
        if names.IDENTITY_DIR in [mount["mountPath"] for mount in container["volumeMounts"]]
    }
    assert holders == {names.CONTAINER_SIDECAR, names.CONTAINER_STAGE}
    (volume,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "identity"]
    (source,) = volume["projected"]["sources"]
    assert source["serviceAccountToken"] == {"audience": "storage", "expirationSeconds": 3600, "path": "token"}
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert found.plan is not None
    plan = Plan.from_json(found.plan["data"]["plan.json"]).store.web_identity
    assert plan is not None
    assert (plan.role_arn, plan.duration_seconds) == ("arn:aws:iam::123456789012:role/data", 900)
    assert plan.sts_endpoint_url == "https://sts.eu-central-1.amazonaws.com"
    assert plan.session_name == f"trainyard-{o.job().namespace}-{o.job().name}"[:64]


def test_the_storage_volume_does_not_hide_the_image_s_own_code() -> None:
    training = containers(made(CASES["one-host"]).pods[0])["training"]
    assert "/opt/ml" not in [mount["mountPath"] for mount in training["volumeMounts"]]


def test_a_host_whose_instance_type_names_a_class_has_a_volume_of_its_own() -> None:
    own = o.instance_type(storageClassName="gp3")
    pod = made(o.snapshot(o.job(), instance_type=own, roles=(o.role(securityMode="restricted"),))).pods[0]
    (volume,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "ml"]
    claim = volume["ephemeral"]["volumeClaimTemplate"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "gp3",
        "resources": {"requests": {"storage": "30Gi"}},
    }
    assert claim["metadata"]["labels"][names.LABEL_JOB_NAME] == o.NAME
    security = pod["spec"]["securityContext"]
    assert (security["fsGroup"], security["fsGroupChangePolicy"]) == (security["runAsUser"], "OnRootMismatch")
    on_the_node = made(o.snapshot(o.job(), roles=(o.role(securityMode="restricted"),))).pods[0]
    assert "fsGroup" not in on_the_node["spec"]["securityContext"]


def test_a_dollar_reaches_the_program_as_it_was_written() -> None:
    environment = containers(made(CASES["one-host"]).pods[0])["training"]["env"]
    assert {"name": "PRICE", "value": "$$(cost) $$5"} in environment


def test_the_whole_pod_asks_for_no_more_than_the_instance_holds() -> None:
    pod = made(CASES["one-host"]).pods[0]
    agent = sum(
        int(containers(pod)[name]["resources"]["requests"]["memory"].removesuffix("Mi")) for name in ("sidecar", "hold")
    )
    training = int(containers(pod)["training"]["resources"]["requests"]["memory"].removesuffix("Mi"))
    assert training + agent <= 16 * 1024


def test_the_status_and_the_plan_name_the_same_model() -> None:
    found = made(CASES["two-hosts-gpu-restricted"])
    assert found.plan is not None
    plan = Plan.from_json(found.plan["data"]["plan.json"])
    assert model_uri("s3://models/out", "Diamonds-2026") == plan.model_uri
    assert model_uri("s3://models/out/", "Diamonds-2026") == plan.model_uri


def test_names_stay_within_their_limits() -> None:
    long = o.raw_job(hosts=2)
    long["metadata"]["name"] = "j" + "x" * 62
    snapshot = o.snapshot(parse_job(long))
    found = made(snapshot)
    assert all(len(manifest["metadata"]["name"]) <= 253 for manifest in children(found))
    assert found.service is not None
    service = found.service["metadata"]["name"]
    assert len(service) <= 63
    assert found.pods[0]["spec"]["subdomain"] == service
    assert all(len(value) <= 63 for manifest in found.pods for value in manifest["metadata"]["labels"].values())
