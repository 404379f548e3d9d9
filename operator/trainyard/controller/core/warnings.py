"""Which fields of a job's spec have no effect on a cluster, and what that means: those the contract calls so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trainyard.api.contract import REQUEST, Entry, Treatment, manifest_path
from trainyard.api.trainingjob import TrainingJobSpec

# By the manifest's path. Fields that are only recorded ask for nothing, also below one that has no effect.
_NO_EFFECT: Final[Mapping[str, Entry]] = {
    manifest_path(path): entry for path, entry in REQUEST.items() if entry.treatment is Treatment.NO_EFFECT
}
_RECORDED: Final = frozenset(
    manifest_path(path) for path, entry in REQUEST.items() if entry.treatment is Treatment.RECORDED
)


def warnings(spec: TrainingJobSpec) -> list[tuple[str, str]]:
    """(field, what it means here), in the order of the spec; a field in a list is named once."""
    found = dict(_below(spec.to_dict(), ""))
    return list(found.items())


def _below(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _below(item, f"{path}[]")
    elif isinstance(node, Mapping):
        for name, value in node.items():
            where = f"{path}.{name}" if path else name
            entry = _NO_EFFECT.get(where)
            if entry is None:
                yield from _below(value, where)
            elif _asks(value, where):
                yield where, entry.note


def _asks(value: Any, path: str) -> bool:
    """Whether the field is there to ask for something: `enableRemoteDebug: false` is not."""
    if isinstance(value, Mapping):
        members = ((f"{path}.{name}", member) for name, member in value.items())
        return any(_asks(member, where) or type(member) is int for where, member in members if where not in _RECORDED)
    return bool(value)
