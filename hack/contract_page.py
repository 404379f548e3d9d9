"""The page of the whole contract: botocore's service model, field by field, beside what the CRD makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import botocore.session

from trainyard.api import contract
from trainyard.api.contract import Entry, Treatment
from trainyard.api.crd import Schema, model_schema
from trainyard.api.rules import VALIDATIONS
from trainyard.api.status import JobStatus
from trainyard.api.trainingjob import TrainingJobSpec

LONG_ENUM = 20


@dataclass(frozen=True)
class AwsField:
    """One member of a structure, by its path; `shape` is botocore's."""

    path: str
    shape: Any
    required: bool


def fields(operation: str) -> list[AwsField]:
    """Every named field of CreateTrainingJob's request or DescribeTrainingJob's response, in the order of the model."""
    model = botocore.session.get_session().get_service_model("sagemaker").operation_model(operation)
    return list(_members(model.input_shape if operation.startswith("Create") else model.output_shape, ""))


def _members(shape: Any, path: str) -> Iterator[AwsField]:
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            where = f"{path}.{name}" if path else name
            yield AwsField(where, member, name in shape.required_members)
            yield from _members(member, where)
    elif shape.type_name == "list":
        yield from _members(shape.member, f"{path}[]")


def response_fields() -> list[AwsField]:
    """Those of DescribeTrainingJob that are no echo of the request."""
    asked = {field.path for field in fields("CreateTrainingJob")}
    return [field for field in fields("DescribeTrainingJob") if field.path not in asked]


def node_at(schema: Schema, manifest_path: str) -> Schema | None:
    """The CRD's node of a field, if it has one."""
    node = schema
    for part in manifest_path.split("."):
        name, brackets, _ = part.partition("[]")
        found = node.get("properties", {}).get(name)
        if found is None:
            return None
        node = found["items"] if brackets else found
    return node


def refusal(schema: Schema, manifest_path: str) -> str:
    """The message of the rule that forbids the field, or some of its values; empty: there is none."""
    node = node_at(schema, manifest_path) or {}
    forbidding = [rule for rule in node.get(VALIDATIONS, []) if rule.get("reason") == "FieldValueForbidden"]
    return str(forbidding[0]["message"]) if forbidding else ""


def refusal_above(schema: Schema, manifest_path: str) -> str:
    """The same of the field, or of the nearest one that holds it."""
    while manifest_path:
        if message := refusal(schema, manifest_path):
            return message
        manifest_path = manifest_path.rpartition(".")[0].removesuffix("[]")
    return ""


def page() -> str:
    request = fields("CreateTrainingJob")
    classes = Counter(entry.treatment for field in request if (entry := contract.find(field.path)))
    limits = (
        "Limits are those of SageMaker unless the last column says what differs and why. Fields that are text of any kind"
        " (`.*`, `.+`) may hold line breaks here."
    )
    defaults = (
        "Defaults are the operator's: they are in `status.defaults`, never in the spec. [Resources](resources.md) has the fields"
        " that only this resource has."
    )
    lines = [
        "<!-- Generated from operator/trainyard/api and botocore's service model by `make generate`; do not edit. -->",
        "# The contract, field by field",
        "",
        "Every field of SageMaker's CreateTrainingJob request and DescribeTrainingJob response, and what becomes of it here.",
        "",
        "| Class | Fields | Meaning |",
        "|---|---|---|",
        f"| {Treatment.ACTED_ON} | {classes[Treatment.ACTED_ON]} | changes what happens, as on SageMaker |",
        f"| {Treatment.RECORDED} | {classes[Treatment.RECORDED]} | kept with the job, changes nothing |",
        f"| {Treatment.REFUSED} | {classes[Treatment.REFUSED]} | `kubectl apply` refuses it by its path, with the reason in the last column |",
        f"| {Treatment.NO_EFFECT} | {classes[Treatment.NO_EFFECT]} | about AWS alone: accepted, and the condition `FieldsIgnored` says so |",
        "",
        limits,
        defaults,
        "",
        "## CreateTrainingJob",
        "",
        *_table(request, model_schema(TrainingJobSpec), "spec"),
        "",
        "## DescribeTrainingJob",
        "",
        "What is not an echo of the request. The operator alone writes it and keeps to SageMaker's limits; the CRD has only the types.",
        "",
        *_table(response_fields(), model_schema(JobStatus), "status"),
        "",
    ]
    return "\n".join(lines)


def _table(found: list[AwsField], schema: Schema, part: str) -> list[str]:
    rows = [f"| SageMaker | In `{part}` | Constraint | Class | Note |", "|---|---|---|---|---|"]
    for field in found:
        entry = contract.find(field.path)
        if entry is None:
            raise ValueError(f"{field.path} has no class: add it to operator/trainyard/api/contract.py")
        ours = contract.manifest_path(field.path)
        shown = f"`{ours}`" if node_at(schema, ours) is not None else ""
        cells = (f"`{field.path}`", shown, _constraint(field), entry.treatment, _note(entry, schema, ours))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _note(entry: Entry, schema: Schema, manifest_path: str) -> str:
    found = refusal_above if entry.treatment is Treatment.REFUSED else refusal
    said = [found(schema, manifest_path)]
    said += [entry.note, f"differs: {entry.differs.why}" if entry.differs else ""]
    return "; ".join(filter(None, said))


def _constraint(field: AwsField) -> str:
    """SageMaker's, in words."""
    limits, kind = dict(field.shape.metadata), field.shape.type_name
    words = [kind, *(["required"] if field.required else [])]
    if values := limits.get("enum"):
        words.append(
            f"one of {len(values)} names" if len(values) > LONG_ENUM else ", ".join(f"`{value}`" for value in values)
        )
    low, high = limits.get("min"), limits.get("max")
    if high is not None:
        words.append(f"{low or 0} to {high}")
    elif low:
        words.append(f"from {low}")
    if (pattern := limits.get("pattern")) and pattern not in contract.ANY_TEXT:
        words.append(f"`{pattern}`")
    return ", ".join(words)
