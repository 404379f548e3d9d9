"""Writes what is generated from the models: CRDs (crds/ and the chart's copy) and two reference pages; `--check` only compares."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from hack import contract_page
from trainyard.api.crd import KINDS, Schema, crd

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Generated from operator/trainyard/api by `make generate`; do not edit.\n"


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = [path for path, text in outputs().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is not what the models say: run `make generate`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(outputs()[path])
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


def outputs() -> dict[Path, str]:
    """Every generated file and what it must hold."""
    files: dict[Path, str] = {}
    for kind in KINDS:
        text = HEADER + yaml.safe_dump(crd(kind), sort_keys=False, width=120)
        files[ROOT / "crds" / f"{kind.crd_name}.yaml"] = text
        files[ROOT / "charts/trainyard/files/crds" / f"{kind.crd_name}.yaml"] = text
    files[ROOT / "docs/reference/resources.md"] = reference()
    files[ROOT / "docs/reference/contract.md"] = contract_page.page()
    return files


def reference() -> str:
    """Every field of every resource: name, type, limits and default, meaning."""
    lines = ["<!-- Generated from operator/trainyard/api by `make generate`; do not edit. -->", "# Resources", ""]
    for kind in KINDS:
        schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        lines += [f"## {kind.kind}", "", kind.description, "", "| Field | Type | Meaning |", "|---|---|---|"]
        for part in ("spec", "status"):
            if part in schema["properties"]:
                lines += rows(part, schema["properties"][part], required=part == "spec")
        lines.append("")
    return "\n".join(lines)


def rows(path: str, node: Schema, *, required: bool) -> list[str]:
    """The table rows of one field and of all below it."""
    lines = [
        f"| `{path}` | {kind_of(node)}{', required' if required else ''} | {cell(node.get('description', ''))}{limits(node)} |"
    ]
    inner, suffix = (node["items"], "[]") if "items" in node else (node, "")
    for name, child in inner.get("properties", {}).items():
        lines += rows(f"{path}{suffix}.{name}", child, required=name in inner.get("required", []))
    return lines


def kind_of(node: Schema) -> str:
    if "items" in node:
        return f"list of {kind_of(node['items'])}"
    if "additionalProperties" in node:
        return f"map to {kind_of(node['additionalProperties'])}"
    return str(node.get("type", "object"))


def limits(node: Schema) -> str:
    """Bounds in words; defaults are part of the description."""
    words: list[str] = []
    if "enum" in node:
        words.append("One of " + ", ".join(f"`{value}`" for value in node["enum"]) + ".")
    for low, high, what in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        if low in node or high in node:
            words.append(f"{node.get(low, 0)} to {node.get(high, 'any number of')}{what}.")
    if "pattern" in node:
        words.append(f"Matches `{cell(node['pattern'])}`.")
    return "".join(f" {word}" for word in words)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
