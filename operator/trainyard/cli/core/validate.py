"""A manifest against the models, strictly: what the apiserver would refuse, and what it would only warn of.

The models ignore fields that they do not know, so that an older program survives a newer resource. Here an unknown field is an
error: it is most often a typo.
"""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from trainyard.api.crd import KINDS
from trainyard.api.names import API_VERSION, GROUP
from trainyard.cli.core.documents import Document
from trainyard.cli.core.naming import LONGEST, is_legal
from trainyard.cli.core.recognise import Form, recognise, title
from trainyard.cli.errors import Failed

_TOP: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_METADATA: Final = (
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
)
_COMPLAINT: Final = re.compile(r"(?:^|; )([a-z]\w*(?:\[\d+\])*(?:\.\w+(?:\[\d+\])*)*): ")
_SPECS: Final = {kind.kind: kind.spec for kind in KINDS}


@dataclass(frozen=True)
class Finding:
    """Something wrong; `path` is empty if it is the document as a whole."""

    path: str
    message: str


def is_ours(document: Document) -> bool:
    """Whether `findings` has something to say: a document that is no Kubernetes object, or one of this API group's."""
    if not isinstance(document, dict) or not isinstance(document.get("apiVersion"), str):
        return True
    return document.get("kind") == "TrainingJob" or document["apiVersion"].partition("/")[0] == GROUP


def findings(document: Document) -> list[Finding]:
    """All that is wrong with one document: names that nobody knows, then values that no field takes."""
    try:
        form = recognise(document)
    except Failed as failed:
        return [Finding("", str(failed))]
    if form in (Form.REQUEST, Form.DESCRIBED, Form.ACK):
        return [Finding("", f"is a job of {form.value}; `trainyard convert` makes a manifest of it")]
    model = _SPECS.get(document["kind"])
    if model is None or document["apiVersion"] != API_VERSION:
        known = " or ".join(f"{kind} of {API_VERSION}" for kind in _SPECS)
        return [Finding("", f"expected a {known}; found {title(document)}")]
    spec = document.get("spec")
    found = [*_unknown_names(document, _TOP, ""), *_metadata(document.get("metadata"))]
    if not isinstance(spec, dict):
        return [*found, Finding("spec", "required" if spec is None else "expected fields")]
    return [*found, *_unknown(spec, model, "spec"), *_wrong(spec, model)]


def _metadata(metadata: Any) -> Iterator[Finding]:
    if not isinstance(metadata, dict):
        yield Finding("metadata", "required" if metadata is None else "expected fields")
        return
    yield from _unknown_names(metadata, _METADATA, "metadata")
    name = metadata.get("name")
    if name is None and "generateName" not in metadata:
        yield Finding("metadata.name", "required")
    elif name is not None and not (isinstance(name, str) and is_legal(name)):
        limits = f"lower case letters, digits, '-' and '.', at most {LONGEST}, a letter or digit first and last"
        yield Finding("metadata.name", f"{name!r} cannot be a name: {limits}")
    for field in ("labels", "annotations"):
        values = metadata.get(field)
        if values is None:
            continue
        if not isinstance(values, dict):
            yield Finding(f"metadata.{field}", "expected a map of text to text")
            continue
        for key, value in values.items():
            if not isinstance(value, str):
                yield Finding(f"metadata.{field}{_step(key)}", _text_wanted(value))


# -- fields that nobody knows


def _unknown(value: Any, annotation: Any, path: str) -> Iterator[Finding]:
    """Names in `value` that the type has no field for, at any depth."""
    for kind in _alternatives(annotation):
        inner = get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, dict):
            fields = {field.alias or name: field for name, field in kind.model_fields.items()}
            yield from _unknown_names(value, tuple(fields), path)
            for name in [name for name in value if name in fields]:
                yield from _unknown(value[name], fields[name].annotation, f"{path}.{name}")
        elif get_origin(kind) is list and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _unknown(item, inner[0], f"{path}[{index}]")
        elif get_origin(kind) is dict and isinstance(value, dict):
            for name, item in value.items():
                yield from _unknown(item, inner[1], f"{path}{_step(name)}")


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return tuple(kind for member in get_args(annotation) for kind in _alternatives(member))
    return (annotation,)


def _unknown_names(value: dict[str, Any], known: tuple[str, ...], path: str) -> Iterator[Finding]:
    for name in value:
        if name not in known:
            yield Finding(f"{path}{_step(name)}" if path else name, f"unknown field{_nearest(name, known)}")


def _nearest(name: str, known: tuple[str, ...]) -> str:
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; the nearest known is {by_lower[close[0]]}" if close else ""


# -- values that no field takes


def _wrong(spec: dict[str, Any], model: type[BaseModel]) -> Iterator[Finding]:
    try:
        # As JSON, where a strict reader takes a text for an enumeration's value; as objects it would not.
        model.model_validate_json(json.dumps(spec), strict=True)
    except ValidationError as error:
        for entry in error.errors(include_url=False):
            path, key = "spec", entry["loc"][-1:] == ("[key]",)
            for step in entry["loc"][: -1 if key else None]:
                path += _step(step)
            if entry["type"] == "value_error":
                yield from broken_rules(path, str(entry["msg"]).removeprefix("Value error, "))
            else:
                yield Finding(path, _message(entry, key))


def broken_rules(path: str, said: str) -> Iterator[Finding]:
    """What a model's own rules say, `FIELD: TEXT; FIELD: TEXT`, as a finding for each field."""
    starts = [found.start() for found in _COMPLAINT.finditer(said)] or [0]
    if starts[0]:
        starts = [0, *starts]
    for start, end in zip(starts, [*starts[1:], len(said)], strict=True):
        field, text = _COMPLAINT.match(said, start), said[start:end].removeprefix("; ")
        yield Finding(f"{path}.{field[1]}", text.partition(": ")[2]) if field else Finding(path, text)


def _message(entry: Any, key: bool) -> str:
    if entry["type"] == "missing":
        return "required"
    if entry["type"] == "string_type" and not key:
        return _text_wanted(entry["input"])
    said = str(entry["msg"])
    said = said.removeprefix("Input ") if said.startswith("Input should") else said
    return f"its name {said}" if key else said


def _text_wanted(value: Any) -> str:
    found = json.dumps(value)
    if isinstance(value, int | float):
        return f'expected text, found {found}; write "{found}"'
    return f"expected text, found {found[:60]}"


def _step(name: Any) -> str:
    """A step of a path: `.name`, `[0]`, or `["a name with.dots"]`."""
    if isinstance(name, int):
        return f"[{name}]"
    return f".{name}" if str(name).replace("_", "").replace("-", "").isalnum() else f"[{json.dumps(str(name))}]"
