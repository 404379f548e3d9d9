"""What a schema cannot say, once in each of the two languages that must agree: CEL for the apiserver, Python for the models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from trainyard.api.base import Model, field_name

Because = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"]


@dataclass(frozen=True)
class Rule:
    """`cel` over `self` and `holds` over the model say the same. `field`: the member (its name in Python) at fault, if it is one."""

    cel: str
    holds: Callable[[Any], bool]
    message: str
    field: str = ""
    because: Because = "FieldValueInvalid"

    def to_schema(self) -> dict[str, str]:
        """As an entry of `x-kubernetes-validations`."""
        where = {"fieldPath": f".{field_name(self.field)}", "reason": self.because} if self.field else {}
        return {"rule": self.cel, "message": self.message, **where}


def absent(field: str, message: str) -> Rule:
    """An object that must not be there, not even empty."""
    return Rule(
        f"!has(self.{field_name(field)})",
        lambda model: getattr(model, field) is None,
        message,
        field,
        "FieldValueForbidden",
    )


def off(field: str, message: str, *, at: Literal["''", "false", "[]"]) -> Rule:
    """A member that may be there, but only to say that nothing is asked for: an empty string or list, false."""
    name = field_name(field)
    nothing = f"size(self.{name}) == 0" if at == "[]" else f"self.{name} == {at}"
    return Rule(
        f"!has(self.{name}) || {nothing}",
        lambda model: not getattr(model, field),
        message,
        field,
        "FieldValueForbidden",
    )


def only(field: str, value: str, message: str) -> Rule:
    """Of an enumeration's values one, or none."""
    name = field_name(field)
    return Rule(
        f"!has(self.{name}) || self.{name} == '{value}'",
        lambda model: getattr(model, field) in (None, value),
        message,
        field,
        "FieldValueForbidden",
    )


def matches(pattern: str, text: str) -> bool:
    """As RE2 and CEL's `matches` do it: Python's `$` would also match before a final line break."""
    return re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None


def list_keys(field: str) -> dict[str, Any]:
    """For `json_schema_extra` of a list: its items are told apart by `field` (the manifest's name), which must not repeat."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field]}


class SpecModel(Model):
    """A part of what users write. Takes what the apiserver takes and nothing else: types as they are, null as nothing at all, and
    what keeps the `RULES`, which the root asks for."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True)
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        """The apiserver drops them before it looks at the rest: those of fields, and those in maps such as environment."""
        if not isinstance(data, Mapping):
            return data
        return {name: _without_nulls(value) for name, value in data.items() if value is not None}

    def broken(self, path: str = "") -> Iterator[str]:
        """What this part and all below it are to be refused for, each with its path. The root asks, so that nothing is hidden."""
        for rule in self.RULES:
            if not rule.holds(self):
                where = f"{path}.{field_name(rule.field)}" if rule.field else path
                yield f"{where.removeprefix('.') or 'spec'}: {rule.message}"
        for name, field in _parts(type(self)):
            value, where = getattr(self, name), f"{path}.{field.alias}"
            if isinstance(value, SpecModel):
                yield from value.broken(where)
            elif isinstance(value, list):
                for number, item in enumerate(value):
                    if isinstance(item, SpecModel):
                        yield from item.broken(f"{where}[{number}]")
                yield from _repeated(value, field.json_schema_extra, where.removeprefix("."))

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        if cls.RULES:
            node = handler.resolve_ref_schema(schema)
            said = [rule.to_schema() for rule in cls.RULES]
            node["x-kubernetes-validations"] = [*node.get("x-kubernetes-validations", []), *said]
        return schema


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping) and None in value.values():
        return {name: member for name, member in value.items() if member is not None}
    return value


@cache
def _parts(model: type[SpecModel]) -> tuple[tuple[str, FieldInfo], ...]:
    """The fields that have rules of their own below them: every watch event asks, so the others are not looked at."""
    return tuple((name, field) for name, field in model.model_fields.items() if _has_models(field.annotation))


def _has_models(annotation: Any) -> bool:
    if inner := get_args(annotation):
        return any(map(_has_models, inner))
    return isinstance(annotation, type) and issubclass(annotation, SpecModel)


def _repeated(items: list[Any], extra: Any, path: str) -> Iterator[str]:
    for key in extra.get("x-kubernetes-list-map-keys", []) if isinstance(extra, dict) else []:
        seen = [item.to_dict()[key] for item in items]
        if len(set(seen)) < len(seen):
            yield f"{path}: {key} must not repeat; give each item another"
