"""Copies and fingerprints of whatever the operator keeps in memory, without knowing what that is."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

from trainyard.controller.adapters.cache import Key, Store

# What of the operator is state: the rest of it (entries, parsed objects, reports) never changes once made.
_STATE = "trainyard.controller.app."
_PLAIN, _MAPPING, _SEQUENCE, _SET, _TUPLE, _OBJECT = range(6)
_KINDS: dict[type, int] = {
    dict: _MAPPING,
    OrderedDict: _MAPPING,
    list: _SEQUENCE,
    deque: _SEQUENCE,
    set: _SET,
    tuple: _TUPLE,
    Store: _OBJECT,
}


def _kind(of: type) -> int:
    known = _KINDS.get(of)
    if known is None:
        stateful = of.__module__.startswith(_STATE) and hasattr(of, "__dict__") and not issubclass(of, BaseException)
        known = _KINDS[of] = _OBJECT if stateful else _PLAIN
    return known


def clone(value: Any, made: dict[int, Any] | None = None) -> Any:
    """A copy that shares only what cannot change. What is reachable twice stays one object."""
    of = type(value)
    kind = _kind(of)
    if kind == _PLAIN:
        return value
    made = {} if made is None else made
    known = made.get(id(value))
    if known is not None:
        return known
    if kind == _MAPPING:
        result: Any = of()
        made[id(value)] = result
        for key, item in value.items():
            result[key] = clone(item, made)
    elif kind == _SEQUENCE:
        result = made[id(value)] = of()
        result.extend(clone(item, made) for item in value)
    elif kind == _SET:
        result = made[id(value)] = set(value)
    elif kind == _TUPLE:
        result = made[id(value)] = tuple(clone(item, made) for item in value)
    else:
        result = made[id(value)] = of.__new__(of)
        content = result.__dict__
        for name, item in vars(value).items():
            content[name] = clone(item, made)
    return result


def renumber(store: Store[Any], versions: Mapping[Key, Mapping[str, str]]) -> None:
    """Give the entries of a store other versions."""
    for key, entry in store:
        version = versions.get(key, {}).get(entry.version, entry.version)
        if version != entry.version:
            value = replace(entry.value, resource_version=version)
            store.drop(key)
            assert store.put(key, entry.uid, version, value)


class Fingerprints:
    """Equal values get equal fingerprints, whatever order their mappings were filled in."""

    def __init__(self) -> None:
        self._atoms: dict[int, tuple[Any, int]] = {}
        self._texts: dict[str, int] = {}
        self._firsts: dict[int, Any] = {}

    def of(self, value: Any) -> Hashable:
        return self._of(value, {})

    def _of(self, value: Any, made: dict[int, Hashable]) -> Hashable:
        of = type(value)
        if of in (str, int, float, bool, type(None)):
            return value
        kind = _kind(of)
        if kind == _PLAIN:
            return self._atom(value)
        known = made.get(id(value))
        if known is not None:
            return known
        made[id(value)] = "again"
        if kind == _MAPPING:
            result: Hashable = frozenset((self._of(key, made), self._of(item, made)) for key, item in value.items())
        elif kind == _SET:
            result = frozenset(self._of(item, made) for item in value)
        elif kind == _OBJECT:
            result = (of.__name__, *(self._of(item, made) for _, item in sorted(vars(value).items())))
        else:
            result = tuple(self._of(item, made) for item in value)
        made[id(value)] = result
        return result

    def _atom(self, value: Any) -> int:
        """Of a thing that does not change: its text is built once, if it is the first of its kind."""
        known = self._atoms.get(id(value))
        if known is not None:
            return known[1]
        if callable(value):
            return 0
        text = repr(value)
        token = self._texts.get(text)
        if token is None:
            token = self._texts[text] = len(self._texts) + 1
            self._atoms[id(value)] = (value, token)
            self._firsts[token] = value
        return token

    def share(self, store: Store[Any]) -> None:
        """Replace each entry by the first one that was like it, so that memories share what they hold."""
        for key, entry in store:
            first = self._firsts.get(self._atom(entry), entry)
            if first is not entry:
                store._entries[key] = first
                for group in store._groups_of:
                    store._groups[group(entry.value)][key] = first
