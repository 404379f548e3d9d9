"""The generated CRDs: structural, complete, and in step with the models."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.api import crd as crds
from trainyard.api.base import Model, field_name

STRUCTURAL = {
    "type", "format", "description", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems",
    "maxItems", "default", "items", "properties", "required", "additionalProperties", "maxProperties",
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
    assert node.keys() <= STRUCTURAL
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
