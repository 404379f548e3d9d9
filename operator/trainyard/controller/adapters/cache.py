"""What was last seen of each object, parsed. Knows no kinds and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")
Key = tuple[str, str]  # namespace (empty for cluster-wide kinds) and name


@dataclass(frozen=True, slots=True)
class Entry(Generic[Value]):
    """An object at one resourceVersion."""

    uid: str
    version: str
    value: Value


def newer(version: str, than: str) -> bool:
    """Resource versions of one kind are numbers that grow; where they are not, the later one to arrive counts."""
    return int(version) > int(than) if version.isdigit() and than.isdigit() else version != than


class Store(Generic[Value]):
    """Objects of one kind. Each of `groups` names a group that an object is in. `suspects` are those that a list knew better
    than the watch."""

    def __init__(self, *groups: Callable[[Value], Hashable]) -> None:
        self._entries: dict[Key, Entry[Value]] = {}
        self._groups_of = groups
        self._groups: dict[Hashable, dict[Key, Entry[Value]]] = {}
        self.suspects: dict[Key, str] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[Key, Entry[Value]]]:
        return iter(list(self._entries.items()))

    def get(self, key: Key) -> Value | None:
        entry = self._entries.get(key)
        return entry.value if entry is not None else None

    def entry(self, key: Key) -> Entry[Value] | None:
        return self._entries.get(key)

    def group(self, name: Hashable) -> list[Value]:
        return [entry.value for entry in self._groups.get(name, {}).values()]

    def put(self, key: Key, uid: str, version: str, value: Value) -> bool:
        """False if it is not newer than what is known."""
        if not self.is_news(key, version):
            return False
        self.drop(key)
        self._keep(key, Entry(uid, version, value))
        return True

    def is_news(self, key: Key, version: str) -> bool:
        known = self._entries.get(key)
        return known is None or newer(version, known.version)

    def _keep(self, key: Key, entry: Entry[Value]) -> None:
        self._entries[key] = entry
        for group in self._groups_of:
            self._groups.setdefault(group(entry.value), {})[key] = entry

    def amend(self, key: Key, value: Value) -> None:
        """Another reading of the object that is known under this key."""
        entry = self._entries[key]
        self.drop(key)
        self._keep(key, Entry(entry.uid, entry.version, value))

    def drop(self, key: Key) -> bool:
        """False if there was none."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        for group in self._groups_of:
            name = group(entry.value)
            members = self._groups.get(name, {})
            members.pop(key, None)
            if not members:
                self._groups.pop(name, None)
        return True

    def heard(self, key: Key) -> None:
        """The watch spoke of this object: it is not blind to it."""
        self.suspects.pop(key, None)
