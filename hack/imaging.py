"""What an image is made of, and the tag that says so: equal inputs have equal tags, so nothing is built twice."""

import hashlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack import tools
from hack.builder import Builder
from hack.console import step
from hack.paths import REPO

TABLE = REPO / "hack" / "images.toml"
TOOLS = {tool.name: tool for tool in (tools.PAUSE, tools.VERSITYGW)}
IGNORED = {"__pycache__"}


@dataclass(frozen=True)
class Image:
    name: str
    dockerfile: str
    target: str = ""
    context: str = "."
    inputs: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    root: Path = REPO

    def files(self) -> dict[str, Path]:
        """Everything that may reach the build: path in the context -> path on this machine."""
        start, found = self.root / self.context, {name: TOOLS[name].binary for name in self.tools}
        for entry in self.inputs:
            found |= _files(start, entry)
        return found

    def ref(self, builder: Builder) -> str:
        return self._ref(builder, self.root / self.dockerfile, self.files())

    def ensure(self, builder: Builder) -> str:
        """Build it unless an image of this very content is there."""
        ref = self.ref(builder)
        if not builder.has(ref):
            with step(f"building image {self.name}"), self._staged() as (dockerfile, context):
                # Files may change while they are copied: the tag is of what the build sees.
                ref = self._ref(builder, dockerfile, _files(context, "."))
                builder.build(ref, dockerfile, context, self.target)
        return ref

    def _ref(self, builder: Builder, dockerfile: Path, files: Mapping[str, Path]) -> str:
        content, text = hashlib.sha256(), dockerfile.read_text()
        base = builder.base if "BASE" in text else ""
        for part in (base, self.target, text):
            content.update(part.encode() + b"\0")
        for name, path in sorted(files.items()):
            executable = os.access(path, os.X_OK)
            content.update(f"{name}\0{executable}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
        return f"localhost/trainyard/{self.name}:{content.hexdigest()[:12]}"

    @contextmanager
    def _staged(self) -> Iterator[tuple[Path, Path]]:
        """The Dockerfile, and a context of the inputs and nothing else: what the tag does not cover cannot be used."""
        with tempfile.TemporaryDirectory() as directory:
            dockerfile, context = Path(directory) / "Dockerfile", Path(directory) / "context"
            context.mkdir()
            shutil.copy(self.root / self.dockerfile, dockerfile)
            for name, path in self.files().items():
                target = context / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
            yield dockerfile, context


def table(root: Path = REPO) -> list[Image]:
    """The images of the table whose Dockerfile is there, and those of the tests."""
    rows = tomllib.loads(TABLE.read_text())
    named = [
        Image(
            name,
            row["dockerfile"],
            row.get("target", ""),
            row.get("context", "."),
            tuple(row.get("inputs", ())),
            tuple(row.get("tools", ())),
            root,
        )
        for name, row in rows.items()
    ]
    directories = sorted(path.parent.relative_to(root) for path in root.glob("tests/images/*/Dockerfile"))
    tests = [
        Image(f"test-{directory.name}", f"{directory}/Dockerfile", context=str(directory), inputs=(".",), root=root)
        for directory in directories
    ]
    return [image for image in (*named, *tests) if (root / image.dockerfile).exists()]


def _files(start: Path, entry: str) -> dict[str, Path]:
    """The files below an entry of a directory, by their path from that directory."""
    root = start / entry
    found = [root] if root.is_file() else root.rglob("*")
    relative = {str(path.relative_to(start)): path for path in found if path.is_file()}
    return {name: path for name, path in relative.items() if not IGNORED.intersection(Path(name).parts)}
