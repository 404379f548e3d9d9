"""What a schema cannot say, once in each of the two languages that must agree: CEL for the apiserver, Python for the models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, GetJsonSchemaHandler, model_validator
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

    def complaint(self) -> str:
        return f"{field_name(self.field)}: {self.message}" if self.field else self.message


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
    """A part of what users write. Takes what the apiserver takes and nothing else: types as they are, no null, `RULES` kept."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True)
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for field in cls.model_fields.values():
                if field.alias in data and data[field.alias] is None:
                    raise ValueError(f"{field.alias}: null is no value; leave the field out")
        return data

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        broken = [rule.complaint() for rule in self.RULES if not rule.holds(self)] + list(self._repeated())
        if broken:
            raise ValueError("; ".join(broken))
        return self

    def _repeated(self) -> Iterator[str]:
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if not isinstance(extra, dict) or "x-kubernetes-list-map-keys" not in extra:
                continue
            items = [item.to_dict() for item in getattr(self, name)]
            for key in extra["x-kubernetes-list-map-keys"]:  # type: ignore[union-attr]
                seen = [item[key] for item in items]
                if len(set(seen)) < len(seen):
                    yield f"{field.alias}: {key} must not repeat"

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        if cls.RULES:
            node = handler.resolve_ref_schema(schema)
            said = [rule.to_schema() for rule in cls.RULES]
            node["x-kubernetes-validations"] = [*node.get("x-kubernetes-validations", []), *said]
        return schema
