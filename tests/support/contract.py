"""SageMaker's own model of its API, as botocore has it: its names, and requests made from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.model import Shape
from hypothesis import strategies as st

_SERVICE = botocore.session.get_session().get_service_model("sagemaker")
REQUEST: Shape = _SERVICE.operation_model("CreateTrainingJob").input_shape
DESCRIBED: Shape = _SERVICE.operation_model("DescribeTrainingJob").output_shape


def fields(shape: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each field, lists not counted as a step."""
    if shape.type_name == "list":
        yield from fields(shape.member, path)
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield (*path, name)
            yield from fields(member, (*path, name))


def maps(shape: Shape, name: str = "") -> Iterator[str]:
    """The names of fields that are maps: their keys are the user's."""
    if shape.type_name == "list":
        yield from maps(shape.member, name)
    elif shape.type_name == "map":
        yield name
    elif shape.type_name == "structure":
        for member, inner in shape.members.items():
            yield from maps(inner, member)


# Longer than YAML would put on a line, and all that it might take for something else than text.
TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["", " ", "~", "null", "yes", "No", "y", "1e3", "0x1F", "012", "1_000", "1:30", "2026-11-23", ".5", "=", "<<", "- a",
     "a: b", "#c", "'", '"', "\\", "\t", "a\n", "\na\n\n", "x " * 90, "\x85", "\N{LINE SEPARATOR}", "\0", "😀", "{}", "*a", "&a",
     "!b", "%", "@", "`", "---", "...", "S3Uri", "s3URI", "RoleArn"]
)  # fmt: skip


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Any value of the shape: required members always, the others now and then; limits of text are not kept."""
    simple = {
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "boolean": st.booleans(),
        "string": TEXT,
        "map": st.dictionaries(TEXT, TEXT, max_size=3),
    }
    if shape.type_name == "structure":
        members = {name: values(member) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in shape.required_members}
        return st.fixed_dictionaries(required, optional=members)
    if shape.type_name == "list":
        return st.lists(values(shape.member), max_size=3)
    enum = getattr(shape, "enum", None)
    return st.sampled_from(enum) if enum else simple[shape.type_name]


NAMES = st.from_regex(r"[a-zA-Z0-9](-{0,2}[a-zA-Z0-9]){0,20}", fullmatch=True)


def requests() -> st.SearchStrategy[dict[str, Any]]:
    """CreateTrainingJob requests, with names that SageMaker would take."""
    return st.builds(lambda request, name: request | {"TrainingJobName": name}, values(REQUEST), NAMES)
