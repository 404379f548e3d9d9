"""A job comes back as it was: request -> manifest -> request, and ACK -> manifest -> ACK, through the text of each."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings

from tests.support import contract
from trainyard.api import casing
from trainyard.cli.core import convert, documents
from trainyard.cli.core.convert import NOT_DESCRIBED, NOT_IN_ACK
from trainyard.cli.core.recognise import RESULTS
from trainyard.cli.core.translate import Target, Translated, translate

generated = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def to(target: Target, document: Any) -> Translated:
    return translate(json.dumps(document), "job", target)


def there_and_back(text: str, home: Target) -> tuple[Any, list[str]]:
    """The document that comes back from a manifest, and all that was noted on the way."""
    manifest = translate(text, "job", Target.MANIFEST)
    back = translate(manifest.text, "job", home)
    (document,) = documents.read(back.text, "back")
    return document, manifest.notes + back.notes


@generated
@given(contract.requests())
@example(
    {"TrainingJobName": "A", "RoleArn": "r", "OutputDataConfig": {"S3OutputPath": ""}, "Environment": {"": "a\r\nb"}}
)
def test_a_request_comes_back_from_its_manifest(request_: dict[str, Any]) -> None:
    back, notes = there_and_back(json.dumps(request_), Target.REQUEST)
    assert back == request_
    assert [note for note in notes if "SageMaker needs a role" not in note] == []


def ack_of(request: dict[str, Any]) -> dict[str, Any]:
    """A manifest of the AWS controller, with what its CRD has and requires."""
    spec = casing.to_manifest(
        {"StoppingCondition": {}, "AlgorithmSpecification": {"TrainingInputMode": "File"}} | request
    )
    job = convert.Job({}, spec)
    made: dict[str, Any] = convert.to_ack(job)
    made["metadata"] = {"name": request["TrainingJobName"].lower(), "labels": {"yes": "1e3"}, "namespace": "default"}
    return made


@generated
@given(contract.requests())
def test_a_manifest_of_ack_comes_back_from_ours(request_: dict[str, Any]) -> None:
    ack = ack_of(request_)
    back, notes = there_and_back(documents.to_yaml([ack]), Target.ACK)
    assert back == ack
    assert [note for note in notes if "SageMaker needs a role" not in note] == []


@generated
@given(contract.requests())
def test_what_is_written_as_yaml_is_read_the_same_by_another_reader(request_: dict[str, Any]) -> None:
    text = to(Target.MANIFEST, request_).text
    spec = casing.to_manifest({name: value for name, value in request_.items() if name != "TrainingJobName"})
    read = yaml.safe_load(text)["spec"]
    read.pop("trainingJobName", None)
    assert read == spec


def test_what_ack_has_no_field_for_is_named_by_its_path() -> None:
    """NOT_IN_ACK against a request that says everything: each of its fields is named and gone, all others stay."""
    everything = full(contract.REQUEST)
    done = to(Target.ACK, everything)
    (ack,) = documents.read(done.text, "ack")
    assert [note.partition(": ")[2].partition(":")[0].replace("[0]", "") for note in done.notes] == [
        f"spec.{path}" for path in NOT_IN_ACK
    ]
    left = {".".join(path) for path in paths(ack["spec"])}
    whole = {".".join(map(casing.to_manifest_name, path)) for path in contract.fields(contract.REQUEST)}
    assert whole - left == {path for path in whole if any(f"{path}.".startswith(f"{gone}.") for gone in NOT_IN_ACK)}


def test_everything_that_describe_adds_is_known_to_be_a_result() -> None:
    added = set(contract.DESCRIBED.members) - set(contract.REQUEST.members)
    assert added == set(RESULTS) - {"ResponseMetadata"}
    assert set(contract.REQUEST.members) - set(contract.DESCRIBED.members) == set(NOT_DESCRIBED)


def full(shape: Any) -> Any:
    """A value with every member, lists of one."""
    match shape.type_name:
        case "structure":
            return {name: full(member) for name, member in shape.members.items()}
        case "list":
            return [full(shape.member)]
        case "map":
            return {"key": "value"}
        case "string":
            return shape.enum[0] if shape.enum else "text"
        case "boolean":
            return True
        case _:
            return 1


def paths(value: Any, path: tuple[str, ...] = ()) -> Any:
    if isinstance(value, list):
        for item in value:
            yield from paths(item, path)
    elif isinstance(value, dict) and not (path and casing.to_aws_name(path[-1]) in casing.USER_KEYED):
        for name, inner in value.items():
            yield (*path, name)
            yield from paths(inner, (*path, name))
