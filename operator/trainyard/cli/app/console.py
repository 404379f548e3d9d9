"""Where words go: data to standard output, talk to standard error. Colour only where somebody looks."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text


def say(text: str, style: str = "") -> None:
    """A line of talk."""
    _print(Console(stderr=True), Text(_safe(text), style))


def error(text: str) -> None:
    """The line that tells why it failed."""
    _print(Console(stderr=True), Text.assemble(("error: ", "bold red"), _safe(text)))


def line(*parts: tuple[str, str]) -> None:
    """A line of data, as (text, style)."""
    _print(Console(), Text.assemble(*[(_safe(text), style) for text, style in parts]))


def text(words: str, style: str = "") -> Text:
    """For a table's cell."""
    return Text(_safe(words), style)


def table(content: Table) -> None:
    """A table of data: as wide as the terminal, or as its longest line where nobody looks."""
    out = Console()
    if out.is_terminal:
        out.print(content)
        return
    out = Console(width=10_000)
    with out.capture() as made:
        out.print(content)
    write("".join(f"{row.rstrip()}\n" for row in made.get().splitlines()))


def write(text: str) -> None:
    """Data as it is, in UTF-8 whatever the locale."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)


def _safe(text: str) -> str:
    """On one line, and without what a terminal would obey: names in a manifest are anybody's."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
