"""Text <-> documents: JSON (several values in a row too) and YAML (several documents), without losing or reading in anything.

YAML is read as kubectl reads it: a date is text, not a date. It is written so that any reader of YAML, 1.1 or 1.2, finds the same
strings: one that could be taken for a number, a date or a boolean is quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

import yaml

from trainyard.cli.errors import Failed

Document = Any

# Read as themselves by every reader of YAML; all other strings are quoted.
_PLAIN: Final = re.compile(r"[A-Za-z/]([A-Za-z0-9_./@=+:-]*[A-Za-z0-9_./@=+-])?")
_MOST_VALUES: Final = 1_000_000
_NOT_PLAIN: Final = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"])


class _Loader(yaml.SafeLoader):
    """What plain text means is what kubectl's reader takes it for; a key that comes twice is an error."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {  # noqa: RUF012 - the library's interface
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "bool", "merge")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} comes twice", key.start_mark)
                seen.add(key.value)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        made: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, int):  # a boolean too
                key = str(key).lower()
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
            made[key] = self.construct_object(value_node, deep=deep)
        return made


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)\Z"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"),
    list("-+0123456789."),
)


class _Dumper(yaml.SafeDumper):
    """Without aliases; lists indented as kubectl writes them."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_PLAIN
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _quoted)


def read(text: str, source: str) -> list[Document]:
    """The documents in `text`, empty ones left out. Raises Failed, with `source` and where in it."""
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    try:
        found = _json(text) if text.lstrip()[:1] in ("{", "[") else None
        documents = found if found is not None else [item for item in yaml.load_all(text, _Loader) if item is not None]
        _finite(documents)
        return documents
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise Failed(f"{source}: {where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise Failed(f"{source}: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise Failed(f"{source}: nested too deeply") from None
    except ValueError as error:
        raise Failed(f"{source}: {error}") from None


def _json(text: str) -> list[Document] | None:
    """JSON values in a row, the items of a list at the top as if they were; None if it is no JSON (YAML has braces too)."""
    decoder = json.JSONDecoder(object_pairs_hook=_pairs)
    found: list[Document] = []
    position = _after_blanks(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError:
            return None
        found += value if isinstance(value, list) else [value]
        position = _after_blanks(text, position)
    return found


def _after_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _finite(documents: list[Document]) -> None:
    """YAML's references can make a short text endless, and its tags make what JSON does not know."""
    waiting, seen = list(documents), 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES:
            raise ValueError(f"holds more than {_MOST_VALUES} values")
        if not isinstance(value, dict | list | str | int | float | None):
            raise ValueError(f"{value!r} has no form in JSON")
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} comes twice in one object")
    return made


def to_yaml(documents: Iterable[Document]) -> str:
    """YAML, documents separated by `---`."""
    return "---\n".join(
        yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30)
        for document in documents
    )


def to_json(documents: Iterable[Document]) -> str:
    """JSON values in a row, each indented and ending with a line break."""
    return "".join(_readable(document) + "\n" for document in documents)


def _readable(document: Document) -> str:
    text = json.dumps(document, indent=2, ensure_ascii=False)
    # Half a surrogate pair, which JSON's escapes can write and UTF-8 cannot, stays an escape.
    return text if text.encode("utf-8", "replace").decode() == text else json.dumps(document, indent=2)
