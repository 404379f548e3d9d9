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

from trainyard.api.base import Model
from trainyard.api.casing import field_name

Validation = dict[str, Any]
VALIDATIONS = "x-kubernetes-validations"


@dataclass(frozen=True)
class Rule:
    """`cel` and `holds` say the same, of the model that has the rule; `message` names the fields by their paths and says what to do."""

    cel: str
    holds: Callable[[Any], bool]
    message: str


@dataclass(frozen=True)
class FieldRule(Rule):
    """A rule about the member `field` (its name in Python) alone: `cel` is over its value, and is not asked where there is none.

    The apiserver evaluates rules whenever a job or its status is written, some 0.1 ms each; these are free where the field is not."""

    field: str = ""
    refuses: bool = True


def absent(field: str, message: str) -> Rule:
    """An object that must not be there, not even empty."""
    return FieldRule("false", lambda model: getattr(model, field) is None, message, field)


def off(field: str, message: str, *, at: Literal["''", "false", "[]"]) -> Rule:
    """A member that may be there, but only to say that nothing is asked for: an empty string or list, false."""
    nothing = "size(self) == 0" if at == "[]" else f"self == {at}"
    return FieldRule(nothing, lambda model: not getattr(model, field), message, field)


def only(field: str, value: str, message: str) -> Rule:
    """Of an enumeration's values one, or none."""
    return FieldRule(f"self == '{value}'", lambda model: getattr(model, field) in (None, value), message, field)


def but(field: str, value: str, message: str) -> Rule:
    """Of an enumeration's values all but one."""
    return FieldRule(f"self != '{value}'", lambda model: getattr(model, field) != value, message, field)


def merged(rules: Mapping[str, str], otherwise: str) -> Validation:
    """One entry of `x-kubernetes-validations` for many rules, as message -> CEL: the answer has the messages of all that are broken."""
    words = (f"(({cel}) ? '' : {_quoted(f'{message}. ')})" for message, cel in rules.items())
    return {
        "rule": " && ".join(f"({cel})" for cel in rules.values()),
        "messageExpression": " + ".join(words),
        "message": otherwise,
    }


def on_create(said: Validation) -> Validation:
    """Asked when the object is made and not again when it, or its status, is written."""
    return said | {"rule": f"oldSelf.hasValue() || ({said['rule']})", "optionalOldSelf": True}


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


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
    IMMUTABLE: ClassVar[bool] = False  # another rule sees to it, so that these rules need not be asked for again

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        """The apiserver drops them before it looks at the rest: those of fields, and those in maps such as environment."""
        if not isinstance(data, Mapping):
            return data
        return {name: _without_nulls(value) for name, value in data.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """As it was written, under the manifest's names: defaults are not part of a spec."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)

    def broken(self, path: str = "") -> Iterator[str]:
        """What this part and all below it are to be refused for, each with its path. The root asks, so that nothing is hidden."""
        for rule in self.RULES:
            if not rule.holds(self):
                where = f"{path}.{field_name(rule.field)}" if isinstance(rule, FieldRule) else path
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
        node = handler.resolve_ref_schema(schema)
        across = {rule.message: rule.cel for rule in cls.RULES if not isinstance(rule, FieldRule)}
        if across:
            said = merged(across, "its members do not fit together")
            node[VALIDATIONS] = [*node.get(VALIDATIONS, []), on_create(said) if cls.IMMUTABLE else said]
        for rule in cls.RULES:
            if isinstance(rule, FieldRule):
                reason = "FieldValueForbidden" if rule.refuses else "FieldValueInvalid"
                said = {"rule": rule.cel, "message": rule.message, "reason": reason}
                node["properties"][field_name(rule.field)].setdefault(VALIDATIONS, []).append(said)
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
