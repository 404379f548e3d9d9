"""Careful reading of what the apiserver sends: a value of the wrong type reads as absent, nothing raises."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# What kubelets write where they have no time, e.g. startedAt of a container that could not be started; and what no clock says.
_EPOCH_YEAR, _LAST_YEAR = 1970, 3000

Raw = Mapping[str, Any]


def mapping(raw: Any, *path: str) -> Raw:
    """The mapping at `path`, or an empty one."""
    for part in path:
        raw = raw.get(part) if isinstance(raw, Mapping) else None
    return raw if isinstance(raw, Mapping) else {}


def items(raw: Any, *path: str) -> list[Raw]:
    """The mappings in the list at `path`."""
    found = mapping(raw, *path[:-1]).get(path[-1])
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def text(raw: Raw, key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def number(raw: Raw, key: str) -> int | None:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def time(raw: Raw, key: str) -> datetime | None:
    """An RFC 3339 time in UTC, whole seconds; None for the kubelet's 1970."""
    value = text(raw, key)
    if not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        parsed = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):  # a zone may move the first and the last day out of what a time can be
        return None
    return parsed.replace(microsecond=0) if _EPOCH_YEAR < parsed.year < _LAST_YEAR else None


def texts(raw: Any, *path: str) -> dict[str, str]:
    """The string values of the mapping at `path`."""
    return {key: value for key, value in mapping(raw, *path).items() if isinstance(value, str)}
