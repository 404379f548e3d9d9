"""Pure: models -> CustomResourceDefinitions, within what the apiserver calls a structural schema.

pydantic's JSON schema is not one: references are inlined, nullable unions become optional fields, constants become enums,
titles go. Whatever else the apiserver would not take is an error here, not there. Defaults go into the description, where
`kubectl explain` shows them: the apiserver must not write into a spec what its author left out. A status has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainyard.api.base import Model
from trainyard.api.names import GROUP, VERSION
from trainyard.api.platform import ExecutionRoleSpec, InstanceTypeSpec
from trainyard.api.rules import VALIDATIONS
from trainyard.api.status import JobStatus
from trainyard.api.trainingjob import TrainingJobSpec

Schema = dict[str, Any]

_KEPT = {
    "type",
    "format",
    "description",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
}
_INT64 = 2**63 - 1
# The status until the operator has written one. Without it, tools that know Kubernetes' conventions and nothing of the
# kind (kstatus: Flux, Helm) would call a job that nobody has seen yet as it should be.
UNSEEN: Schema = {"observedGeneration": -1}
_CARRIED = "x-kubernetes-"


@dataclass(frozen=True)
class Kind:
    """One resource kind and how kubectl shows it. `columns` are (name, type, JSON path, priority)."""

    kind: str
    plural: str
    short: tuple[str, ...]
    scope: str
    spec: type[Model]
    status: type[Model] | None
    columns: tuple[tuple[str, str, str, int], ...]
    description: str

    @property
    def crd_name(self) -> str:
        return f"{self.plural}.{GROUP}"


_AGE = ("Age", "date", ".metadata.creationTimestamp", 0)

KINDS: tuple[Kind, ...] = (
    Kind(
        "TrainingJob",
        "trainingjobs",
        ("tj",),
        "Namespaced",
        TrainingJobSpec,
        JobStatus,
        (
            ("Status", "string", ".status.trainingJobStatus", 0),
            ("Secondary-Status", "string", ".status.secondaryStatus", 0),
            ("Instance-Type", "string", ".spec.resourceConfig.instanceType", 0),
            ("Attempt", "integer", ".status.attempt", 0),
            ("Duration", "integer", ".status.trainingTimeInSeconds", 0),
            _AGE,
            ("Failure-Reason", "string", ".status.failureReason", 1),
            ("Model", "string", ".status.modelArtifacts.s3ModelArtifacts", 1),
        ),
        "A SageMaker training job, run on this cluster.",
    ),
    Kind(
        "InstanceType",
        "instancetypes",
        (),
        "Cluster",
        InstanceTypeSpec,
        None,
        (("CPU", "string", ".spec.capacity.cpu", 0), ("Memory", "string", ".spec.capacity.memory", 0), _AGE),
        "One ML compute instance type that TrainingJobs may ask for.",
    ),
    Kind(
        "ExecutionRole",
        "executionroles",
        (),
        "Namespaced",
        ExecutionRoleSpec,
        None,
        (("Role-ARN", "string", ".spec.roleARN", 0), ("Endpoint", "string", ".spec.s3.endpointURL", 0), _AGE),
        "What a TrainingJob's roleARN names: the identity and the S3 server with which its data is moved.",
    ),
)


def structural(schema: Schema, definitions: Schema) -> Schema:
    """One node of pydantic's schema, rewritten; raises ValueError for what has no structural form."""
    schema = _resolved(schema, definitions)
    if unknown := {"oneOf", "allOf", "exclusiveMinimum", "exclusiveMaximum", "uniqueItems"} & schema.keys():
        raise ValueError(f"{', '.join(sorted(unknown))} has no structural form: {schema}")
    node = {key: value for key, value in schema.items() if key in _KEPT or key.startswith(_CARRIED)}
    for limit in ("minimum", "maximum"):
        # The apiserver holds limits as floats: those of 64 bits would come out one too far. The format says the same.
        if abs(node.get(limit, 0)) >= _INT64 and node.get("format") == "int64":
            del node[limit]
    for word, values in (("Default", [schema.get("default")]), ("Example", schema.get("examples", []))):
        if values and values[0] not in (None, "", [], {}):
            node["description"] = f"{node.get('description', '')} {word}: {_plain(values[0])}."
    if "items" in schema:
        node["items"] = structural(schema["items"], definitions)
    if "properties" in schema:
        required = schema.get("required", [])
        node["properties"] = {name: structural(value, definitions) for name, value in schema["properties"].items()}
        if required:
            node["required"] = required
    elif schema.get("type") == "object":
        _map_values(schema, node, definitions)
    return node


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """Without references, nullable unions and constants; what stands beside them wins."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _resolved(_overlaid(target, schema, "$ref"), definitions)
    if "anyOf" in schema:
        members = [member for member in schema["anyOf"] if member.get("type") != "null"]
        if len(members) != 1:
            raise ValueError(f"a union of {len(members)} types has no structural form: {schema}")
        return _resolved(_overlaid(members[0], schema, "anyOf"), definitions)
    if "const" in schema:
        return schema | {"enum": [schema["const"]], "type": "string"}
    return schema


def _overlaid(under: Schema, over: Schema, without: str) -> Schema:
    """What stands beside a reference or a union wins, but for rules: those of both hold."""
    both = under | {key: value for key, value in over.items() if key != without}
    if rules := [*under.get(VALIDATIONS, []), *over.get(VALIDATIONS, [])]:
        both[VALIDATIONS] = rules
    return both


def _map_values(schema: Schema, node: Schema, definitions: Schema) -> None:
    # pydantic puts the pattern of a map's keys where the values are; the keys' own rule is CEL, beside the field.
    (values,) = schema.get("patternProperties", {"": schema.get("additionalProperties")}).values()
    if isinstance(values, dict):
        node["additionalProperties"] = structural(values, definitions)
    else:
        node["x-kubernetes-preserve-unknown-fields"] = True
    if "maxProperties" in schema:
        node["maxProperties"] = schema["maxProperties"]
    names = schema.get("propertyNames", {})
    # A schema cannot bound a map's keys; CEL can, and says which limit was passed.
    for limit, sign, words in (("minLength", ">=", "must have at least"), ("maxLength", "<=", "may have at most")):
        if number := names.get(limit):
            rule = {
                "rule": f"self.all(name, name.size() {sign} {number})",
                "message": f"a name {words} {number} character{'s'[: number != 1]}",
            }
            node[VALIDATIONS] = [*node.get(VALIDATIONS, []), rule]


def _plain(example: Any) -> str:
    if isinstance(example, dict):
        return ", ".join(f"{key}: {_plain(value)}" for key, value in example.items())
    if isinstance(example, bool):
        return str(example).lower()
    if isinstance(example, list):
        return "[" + ", ".join(_plain(item) for item in example) + "]"
    return f"{example}"


def model_schema(model: type[Model]) -> Schema:
    """The structural schema of one model."""
    raw = model.model_json_schema(by_alias=True)
    return structural(raw, raw.get("$defs", {}))


def crd(kind: Kind) -> Schema:
    """The CustomResourceDefinition of one kind, as a manifest."""
    properties: Schema = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": model_schema(kind.spec),
    }
    version: Schema = {"name": VERSION, "served": True, "storage": True}
    if kind.status is not None:
        properties["status"] = model_schema(kind.status) | {
            "description": "What the operator observed.",
            "default": UNSEEN,
        }
        version["subresources"] = {"status": {}}
    root = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": properties,
        "x-kubernetes-validations": [
            {"rule": "self.metadata.name.size() <= 63", "message": "metadata.name may have at most 63 characters"}
        ],
    }
    version["schema"] = {"openAPIV3Schema": root}
    version["additionalPrinterColumns"] = [
        {"name": name, "type": type_, "jsonPath": path, **({"priority": priority} if priority else {})}
        for name, type_, path, priority in kind.columns
    ]
    names: Schema = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.kind.lower(),
        "categories": ["training"],
    }
    if kind.short:
        names["shortNames"] = list(kind.short)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {"group": GROUP, "scope": kind.scope, "names": names, "versions": [version]},
    }
