"""The generated CRDs: structural, complete, and in step with the models."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import Field

from trainyard.api import crd as crds
from trainyard.api.base import Model
from trainyard.api.casing import field_name
from trainyard.api.rules import Rule, SpecModel
from trainyard.api.trainingjob import TrainingJobSpec

STRUCTURAL = {
    "type", "format", "description", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems",
    "maxItems", "items", "properties", "required", "additionalProperties", "maxProperties",
    "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip


def nodes(schema: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every node below and with `schema`, with its path."""
    found = [(path, schema)]
    for name, child in schema.get("properties", {}).items():
        found += nodes(child, f"{path}.{name}")
    if "items" in schema:
        found += nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        found += nodes(schema["additionalProperties"], f"{path}{{}}")
    return found


def root(kind: crds.Kind) -> dict[str, Any]:
    schema: dict[str, Any] = crds.crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


ALL_NODES = [pytest.param(node, id=f"{kind.kind}{path}") for kind in crds.KINDS for path, node in nodes(root(kind))]


@pytest.mark.parametrize("node", ALL_NODES)
def test_every_node_uses_only_what_a_structural_schema_has(node: dict[str, Any]) -> None:
    assert node.keys() - ({"default"} if node.get("default") == crds.UNSEEN else set()) <= STRUCTURAL
    assert "type" in node


def test_every_field_of_spec_and_status_says_what_it_is() -> None:
    silent = [
        f"{kind.kind}{path}"
        for kind in crds.KINDS
        for part in ("spec", "status")
        for path, node in nodes(root(kind)["properties"].get(part, {"description": "none"}))
        if not path.endswith(("[]", "{}")) and not node.get("description")
    ]
    assert silent == []


def test_every_string_list_and_map_of_a_spec_is_bounded_as_rules_need_it() -> None:
    unbounded = []
    for kind in crds.KINDS:
        for path, node in nodes(root(kind)["properties"]["spec"]):
            bounded = {
                "string": "maxLength" in node or "enum" in node,
                "array": "maxItems" in node,
                "object": "properties" in node
                or "maxProperties" in node
                or "x-kubernetes-preserve-unknown-fields" in node,
            }
            if not bounded.get(node["type"], True):
                unbounded.append(f"{kind.kind}{path}")
    assert unbounded == []


FIELDS = [
    pytest.param(node, id=f"{kind.kind}.{part}{path}")
    for kind in crds.KINDS
    for part in ("spec", "status")
    if part in root(kind)["properties"]
    for path, node in nodes(root(kind)["properties"][part])
    if path and not path.endswith(("[]", "{}"))
]
UNITS = ("seconds", "milliseconds", "GiB", "bytes", "instances", "times", "objects", "without unit")


@pytest.mark.parametrize("node", FIELDS)
def test_kubectl_explain_has_a_sentence_for_every_field(node: dict[str, Any]) -> None:
    first = node["description"].split(" Default: ")[0].split(" Example: ")[0]
    assert first[0].isupper() or first.startswith(("true", "baseline", "path", "algo", "rw")), first
    assert first.endswith("."), first


@pytest.mark.parametrize("node", FIELDS)
def test_kubectl_explain_has_an_example_or_names_the_values(node: dict[str, Any]) -> None:
    said = node["description"]
    if values := node.get("enum"):
        assert [value for value in values if value not in said] == []
    elif node["type"] == "boolean":
        assert "true" in said
    elif "properties" not in node and "properties" not in node.get("items", {}):
        assert " Example: " in said


@pytest.mark.parametrize("node", [field for field in FIELDS if field.values[0]["type"] == "integer"])
def test_kubectl_explain_has_the_unit_of_every_number(node: dict[str, Any]) -> None:
    assert any(unit.lower() in node["description"].lower() for unit in UNITS)


def test_kubectl_explain_has_the_defaults_and_the_schema_none() -> None:
    found = {
        path: node["description"].partition(" Default: ")[2].partition(" Example: ")[0]
        for path, node in nodes(crds.model_schema(TrainingJobSpec))
        if " Default: " in node.get("description", "")
    }
    assert found[".resourceConfig.volumeSizeInGB"] == "30."
    assert found[".stoppingCondition.maxRuntimeInSeconds"] == "86400."
    assert found[".enableManagedSpotTraining"] == "false."
    assert found[".inputDataConfig[].compressionType"] == "None."
    assert len(found) >= 14


def test_rules_of_a_part_and_of_its_field_are_both_kept() -> None:
    class Part(SpecModel):
        RULES: ClassVar[tuple[Rule, ...]] = (Rule("self.size > 0", lambda part: part.size > 0, "too small"),)
        size: int

    class Whole(SpecModel):
        part: Part = Field(json_schema_extra={"x-kubernetes-validations": [{"rule": "true", "message": "fine"}]})

    part = crds.model_schema(Whole)["properties"]["part"]
    assert "too small" in part["x-kubernetes-validations"][0]["messageExpression"]
    assert part["x-kubernetes-validations"][1]["message"] == "fine"


@pytest.mark.parametrize(
    ("python", "manifest"),
    [
        ("s3_uri", "s3URI"),
        ("role_arn", "roleARN"),
        ("volume_size_in_gb", "volumeSizeInGB"),
        ("s3_output_path", "s3OutputPath"),
        ("endpoint_url", "endpointURL"),
        ("training_job_name", "trainingJobName"),
        ("max_runtime_in_seconds", "maxRuntimeInSeconds"),
    ],
)
def test_field_names_are_those_of_the_aws_controllers(python: str, manifest: str) -> None:
    assert field_name(python) == manifest


def test_a_union_of_two_types_is_refused_here_and_not_by_the_apiserver() -> None:
    class Odd(Model):
        either: int | str

    with pytest.raises(ValueError, match="no structural form"):
        crds.model_schema(Odd)


def test_the_rules_of_a_spec_that_cannot_change_are_asked_at_creation_alone() -> None:
    across, unchanged = sorted(
        crds.model_schema(TrainingJobSpec)["x-kubernetes-validations"], key=lambda rule: "optionalOldSelf" not in rule
    )
    assert across["rule"].startswith("oldSelf.hasValue() || (")
    assert unchanged["rule"].startswith("self == oldSelf || (")
