"""What the platform filled in: every field that the spec leaves unset and that has a default, as DescribeTrainingJob echoes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from trainyard.api.trainingjob import CONTROLS, TrainingJobSpec

Default = str | int | bool
# Not of the request: whether a job is to stop or to wait is asked later.
_NOT_ECHOED: Final = frozenset(CONTROLS)


def defaults(spec: TrainingJobSpec) -> dict[str, Default]:
    """Field path -> value, in the order of the spec: `stoppingCondition.maxRuntimeInSeconds`,
    `inputDataConfig[train].compressionType`. Only values: an object that is left out shows by its members."""
    return dict(_unset(spec, "", _NOT_ECHOED))


def _unset(model: BaseModel, path: str, skipped: frozenset[str] = frozenset()) -> Iterator[tuple[str, Default]]:
    for name, field in type(model).model_fields.items():
        value, where = getattr(model, name), f"{path}{field.alias}"
        if name in skipped:
            continue
        if isinstance(value, BaseModel):
            yield from _unset(value, f"{where}.")
        elif isinstance(value, list):
            keys = _keys(field.json_schema_extra)
            for number, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _unset(item, f"{where}[{_key(item, keys, number)}].")
        elif name not in model.model_fields_set and isinstance(value, str | int | bool):
            yield where, value


def _keys(extra: Any) -> list[str]:
    return extra.get("x-kubernetes-list-map-keys", []) if isinstance(extra, dict) else []


def _key(item: BaseModel, keys: list[str], number: int) -> str:
    """By what the list's items are told apart, else by their number."""
    named = [str(getattr(item, name)) for name, field in type(item).model_fields.items() if field.alias in keys]
    return ",".join(named) or str(number)
