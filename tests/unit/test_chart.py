"""What the Helm chart renders, and what it refuses. Helm runs as a program; no cluster is asked."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack import tools
from trainyard.agent.core.addresses import admission
from trainyard.api.platform import InstanceTypeSpec

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/trainyard"

Manifest = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(tools.HELM.binary), *arguments], capture_output=True, text=True, check=False)


@functools.cache
def rendered(*settings: str) -> tuple[Manifest, ...]:
    """All manifests, hooks included, with these `--set-json` settings or flags."""
    flags = [
        part for setting in settings for part in ((setting,) if setting.startswith("--") else ("--set-json", setting))
    ]
    done = helm("template", "trainyard", str(CHART), "--namespace", "trainyard-system", *flags)
    assert done.returncode == 0, done.stderr
    return tuple(manifest for manifest in yaml.safe_load_all(done.stdout) if manifest)


def of_kind(kind: str, *settings: str) -> list[Manifest]:
    return [manifest for manifest in rendered(*settings) if manifest["kind"] == kind]


def refusal(*settings: str) -> str:
    flags = [part for setting in settings for part in ("--set-json", setting)]
    done = helm("template", "trainyard", str(CHART), *flags)
    assert done.returncode != 0, f"{settings} are accepted"
    return done.stderr


def operator_environment(*settings: str) -> dict[str, str]:
    container = of_kind("Deployment", *settings)[0]["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value", "from the pod") for entry in container["env"]}


def all_rules(*settings: str) -> list[tuple[str, Manifest]]:
    roles = [*of_kind("ClusterRole", *settings), *of_kind("Role", *settings)]
    return [(role["metadata"]["name"], rule) for role in roles for rule in role["rules"]]


def operator_rules(*settings: str) -> list[Manifest]:
    """Those of the roles that are bound to the operator's service account."""
    bindings = [*of_kind("ClusterRoleBinding", *settings), *of_kind("RoleBinding", *settings)]
    bound = {
        (binding["roleRef"]["kind"], binding["roleRef"]["name"])
        for binding in bindings
        for subject in binding["subjects"]
        if subject["kind"] == "ServiceAccount"
    }
    roles = [role for role in rendered(*settings) if (role["kind"], role["metadata"]["name"]) in bound]
    return [rule for role in roles for rule in role["rules"]]


def test_helm_finds_nothing_to_complain_about() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


# -- rights


@pytest.mark.parametrize("settings", [(), ('watchNamespaces=["a","b"]',)], ids=["everywhere", "named namespaces"])
def test_no_role_has_a_wildcard_or_touches_a_secret(settings: tuple[str, ...]) -> None:
    for name, rule in all_rules(*settings):
        named = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "*" not in named, name
        assert not {"secrets", "pods/exec", "serviceaccounts/token"} & set(rule["resources"]), name
        assert "nodes" not in rule["resources"] or rule["verbs"] == ["get"], name
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), name


def test_the_operator_changes_nothing_of_a_job_but_its_status() -> None:
    writing = {"create", "update", "patch"}
    ours = [rule for rule in operator_rules() if rule["apiGroups"] == ["trainyard.dev"]]
    assert {resource for rule in ours for resource in rule["resources"] if writing & set(rule["verbs"])} == {
        "trainingjobs/status"
    }


def test_with_named_namespaces_the_operator_has_no_right_to_pods_elsewhere() -> None:
    settings = 'watchNamespaces=["a","b"]'
    cluster_wide = [rule for role in of_kind("ClusterRole", settings) for rule in role["rules"]]
    assert not [rule for rule in cluster_wide if "pods" in rule["resources"]]
    roles = [role for role in of_kind("Role", settings) if any("pods" in rule["resources"] for rule in role["rules"])]
    assert sorted(role["metadata"]["namespace"] for role in roles) == ["a", "b"]
    assert operator_environment(settings)["TRAINYARD_WATCH_NAMESPACES"] == "a,b"


@pytest.mark.parametrize("where", ["watchNamespaces=[]", 'watchNamespaces=["a","b"]'])
def test_logs_may_be_read_only_where_metrics_from_logs_are_on(where: str) -> None:
    def rules(switch: str) -> list[Manifest]:
        return [rule for rule in operator_rules(where, switch) if "pods/log" in rule["resources"]]

    found = rules("metricsFromLogs.enabled=true")
    assert found
    assert all((rule["resources"], rule["verbs"]) == (["pods/log"], ["get"]) for rule in found)
    assert rules("metricsFromLogs.enabled=false") == []
    assert operator_environment(where)["TRAINYARD_METRICS_FROM_LOGS"] == "true"
    assert operator_environment(where, "metricsFromLogs.enabled=false")["TRAINYARD_METRICS_FROM_LOGS"] == "false"


@pytest.mark.parametrize("where", ["watchNamespaces=[]", 'watchNamespaces=["a","b"]'])
def test_of_claims_and_their_classes_the_operator_reads_and_no_more(where: str) -> None:
    rights = {
        resource: set(rule["verbs"])
        for rule in operator_rules(where)
        for resource in rule["resources"]
        if resource in ("persistentvolumeclaims", "persistentvolumes", "storageclasses")
    }
    assert rights == {"persistentvolumeclaims": {"get", "list"}, "storageclasses": {"get"}}


def test_the_lease_may_be_written_by_name_only() -> None:
    rules = [rule for rule in operator_rules() if rule["resources"] == ["leases"]]
    name = operator_environment()["TRAINYARD_LEASE_NAME"]
    assert [rule.get("resourceNames") for rule in rules if set(rule["verbs"]) - {"create"}] == [[name]]


def test_editors_submit_jobs_and_only_admins_decide_on_identities() -> None:
    roles = {role["metadata"]["name"].rpartition(":")[2]: role for role in of_kind("ClusterRole")}
    assert [rule["resources"] for rule in roles["edit"]["rules"]] == [["trainingjobs"]]
    assert [rule["resources"] for rule in roles["admin"]["rules"]] == [["executionroles"]]
    assert "rbac.authorization.k8s.io/aggregate-to-edit" not in roles["admin"]["metadata"]["labels"]


# -- the operator's pod


def test_the_operators_pod_meets_the_restricted_standard() -> None:
    pod = of_kind("Deployment")[0]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"hostNetwork", "hostPID", "hostIPC", "volumes"}.isdisjoint(pod)
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


def test_there_is_never_a_second_operator() -> None:
    spec = of_kind("Deployment")[0]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize(
    ("value", "variable", "text"),
    [
        ("imagePullTimeoutSeconds=1200000", "TRAINYARD_IMAGE_PULL_TIMEOUT_SECONDS", "1200000"),
        ("referenceTimeoutSeconds=8", "TRAINYARD_REFERENCE_TIMEOUT_SECONDS", "8"),
        ("deletionBudgetSeconds=600", "TRAINYARD_DELETION_BUDGET_SECONDS", "600"),
        ('trainingImagePullPolicy="Always"', "TRAINYARD_TRAINING_IMAGE_PULL_POLICY", "Always"),
        ('defaultSecurityMode="restricted"', "TRAINYARD_DEFAULT_SECURITY_MODE", "restricted"),
        ("restrictedUID=5000000", "TRAINYARD_RESTRICTED_UID", "5000000"),
        ("metricsFromLogs.maxStreams=7", "TRAINYARD_METRICS_FROM_LOGS_STREAMS", "7"),
        ("metricsFromLogs.maxSeries=100000", "TRAINYARD_METRICS_FROM_LOGS_SERIES", "100000"),
        ('s3.deniedAddresses=["10.0.0.0/8","fd00::/8"]', "TRAINYARD_S3_DENIED_ADDRESSES", "10.0.0.0/8,fd00::/8"),
        ('s3.allowedAddresses=["10.1.0.0/16"]', "TRAINYARD_S3_ALLOWED_ADDRESSES", "10.1.0.0/16"),
        ("allowInstanceMetadataCredentials=true", "TRAINYARD_ALLOW_INSTANCE_METADATA_CREDENTIALS", "true"),
        ('logLevel="INFO"', "TRAINYARD_ALLOW_INSTANCE_METADATA_CREDENTIALS", "false"),
        ('clusterDomain="k8s.example"', "TRAINYARD_CLUSTER_DOMAIN", "k8s.example"),
        ('logLevel="DEBUG"', "TRAINYARD_LOG_LEVEL", "DEBUG"),
        ('agentImage={"repository":"r.example/agent","tag":"2"}', "TRAINYARD_AGENT_IMAGE", "r.example/agent:2"),
    ],
)
def test_every_setting_reaches_the_operator(value: str, variable: str, text: str) -> None:
    assert operator_environment(value)[variable] == text


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "169.254.169.254", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23"]
)
def test_no_endpoint_may_be_where_nodes_and_clouds_give_out_credentials(address: str) -> None:
    assert not admission(operator_environment()["TRAINYARD_S3_DENIED_ADDRESSES"].split(","), [])(address)


def test_the_metrics_service_leads_to_the_operators_port() -> None:
    (service,) = of_kind("Service")
    pod = of_kind("Deployment")[0]["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] in [port["name"] for port in pod["spec"]["containers"][0]["ports"]]


# -- CRDs and InstanceTypes


def test_the_crds_are_those_of_the_repository() -> None:
    expected = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")}
    found = {crd["metadata"]["name"]: crd for crd in of_kind("CustomResourceDefinition")}
    assert {name: crd["spec"] for name, crd in found.items()} == {name: crd["spec"] for name, crd in expected.items()}


def test_crds_outlive_the_release_unless_told_otherwise() -> None:
    for crd in of_kind("CustomResourceDefinition"):
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for crd in of_kind("CustomResourceDefinition", "crds.keep=false"):
        assert "helm.sh/resource-policy" not in crd["metadata"].get("annotations", {})
    assert of_kind("CustomResourceDefinition", "crds.enabled=false") == []


def test_instance_types_are_valid_and_among_them_one_for_a_small_machine() -> None:
    types = {
        item["metadata"]["name"]: InstanceTypeSpec.model_validate(item["spec"]) for item in of_kind("InstanceType")
    }
    assert {"ml.local.small", "ml.m5.large", "ml.m5.xlarge", "ml.g4dn.xlarge", "ml.p4d.24xlarge"} <= types.keys()
    assert types["ml.local.small"].to_dict() == {
        "capacity": {"cpu": "500m", "memory": "2Gi"},
        "systemReserve": {"cpu": "200m", "memory": "512Mi"},
        "nodeSelector": {},
        "tolerations": [],
    }
    assert types["ml.p4d.24xlarge"].capacity["nvidia.com/gpu"] == "8"


def test_an_instance_type_of_the_values_may_name_a_storage_class() -> None:
    added = 'instanceTypes={"my.box":{"capacity":{"cpu":2,"memory":"4Gi"},"storageClassName":"gp3"}}'
    specs = {item["metadata"]["name"]: item["spec"] for item in of_kind("InstanceType", added)}
    assert (specs["my.box"]["storageClassName"], specs["ml.m5.large"].get("storageClassName")) == ("gp3", None)


def test_an_instance_type_can_be_added_and_one_left_out() -> None:
    names = [
        item["metadata"]["name"]
        for item in of_kind(
            "InstanceType", 'instanceTypes={"my.box":{"capacity":{"cpu":2,"memory":"4Gi"}},"ml.m5.large":null}'
        )
    ]
    assert "my.box" in names
    assert "ml.m5.large" not in names


def test_instance_types_follow_the_crds_at_first_and_are_ordinary_objects_later() -> None:
    first, later, apart = of_kind("InstanceType")[0], of_kind("InstanceType", "--is-upgrade")[0], "crds.enabled=false"
    assert first["metadata"]["annotations"]["helm.sh/hook"] == "post-install"
    # With these Helm takes over what the hook made.
    assert first["metadata"]["annotations"]["meta.helm.sh/release-name"] == "trainyard"
    assert first["metadata"]["annotations"]["meta.helm.sh/release-namespace"] == "trainyard-system"
    assert first["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert "helm.sh/hook" not in later["metadata"]["annotations"]
    assert "helm.sh/hook" not in of_kind("InstanceType", apart)[0]["metadata"]["annotations"]


# -- values


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("imagePullTimeout=5", "imagePullTimeout"),
        ("image.repo=1", "repo"),
        ('imagePullTimeoutSeconds="soon"', "imagePullTimeoutSeconds"),
        ("referenceTimeoutSeconds=-1", "referenceTimeoutSeconds"),
        ("resyncSeconds=1", "resyncSeconds"),
        ("restrictedUID=0", "restrictedUID"),
        ('s3.deniedAddresses=["s3.example.com"]', "deniedAddresses"),
        ('allowInstanceMetadataCredentials="yes"', "allowInstanceMetadataCredentials"),
        ('defaultSecurityMode="privileged"', "defaultSecurityMode"),
        ('trainingImagePullPolicy="Sometimes"', "trainingImagePullPolicy"),
        ('logLevel="info"', "logLevel"),
        ('metricsFromLogs.enabled="yes"', "enabled"),
        ("metricsFromLogs.maxStreams=0", "maxStreams"),
        ("metricsFromLogs.streams=5", "streams"),
        ('watchNamespaces="a"', "watchNamespaces"),
        ('watchNamespaces=["A"]', "watchNamespaces"),
        ('instanceTypes={"ml.x":{"capacity":{"cpu":"1"}}}', "memory"),
        ('instanceTypes={"ml.x":{"capacity":{"cpu":"1","memory":"lots"}}}', "memory"),
        ('instanceTypes={"ml.x":{"capacity":{"cpu":"1","memory":"1Gi"},"gpus":1}}', "gpus"),
        ('instanceTypes={"ML.X":{"capacity":{"cpu":"1","memory":"1Gi"}}}', "ML.X"),
        ("crds.install=true", "install"),
        ("rbac.create=1", "create"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(value: str, word: str) -> None:
    assert word in refusal(value)


def test_the_schema_leaves_no_object_open() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values.keys() == schema["properties"].keys() - {"global"}
    free = {"affinity", "global"}  # a pod's own fields, and Helm's

    def walk(path: str, node: Manifest) -> None:
        if "properties" in node:
            assert node.get("additionalProperties") is False, path
        for name, child in node.get("properties", {}).items():
            is_open = (
                child.get("type") == "object" and "properties" not in child and "additionalProperties" not in child
            )
            assert not is_open or name in free, f"{path}.{name}"
            walk(f"{path}.{name}", child)

    walk("values", schema)
