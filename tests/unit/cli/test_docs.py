"""The pages on the client say what it does: the how-to's sessions are run, the reference has every command and option."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.support.cli import Cli
from trainyard.cli.app.main import app

DOCS = Path(__file__).resolve().parents[3] / "docs"
FENCE = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GROUP = typer.main.get_command(app)


def commands(group: Any) -> dict[str, Any]:
    """By what is typed, those of sub-groups included."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        below = commands(command) if hasattr(command, "commands") else None
        found |= {name: command} if below is None else {f"{name} {each}": below[each] for each in below}
    return found


COMMANDS = commands(GROUP)


def test_the_how_to_shows_what_the_client_says(tmp_path: Path) -> None:
    """Blocks that name a file are written, blocks of kind console are run in one directory, in the order of the page."""
    program = tmp_path / "bin" / "trainyard"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m trainyard.cli "$@"\n')
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    run = 0
    for kind, file, content in FENCE.findall((DOCS / "how-to/bring-your-sagemaker-jobs.md").read_text()):
        if file:
            (work / file).write_text(content)
        if kind != "console":
            continue
        for session in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
            command, _, shown = session.partition("\n")
            said = subprocess.run(
                command,
                shell=True,
                cwd=work,
                env=os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert said.stdout == shown, command
            run += 1
    assert run >= 7


def sections() -> dict[str, str]:
    page = (DOCS / "reference/cli.md").read_text()
    return dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))


def rows(command: Any) -> set[str]:
    made = set()
    for parameter in command.params:
        if isinstance(parameter, typer.core.TyperArgument):
            named = f"`{parameter.metavar}`".replace("|", "\\|")
        else:
            named = ", ".join(f"`{option}`" for option in parameter.opts)
        made.add(f"| {named} | {parameter.help} |")
    return made


def test_the_reference_has_every_command_and_no_other() -> None:
    assert set(sections()) == {"trainyard", *(f"trainyard {name}" for name in COMMANDS)}


@pytest.mark.parametrize(
    ("title", "command"), [("trainyard", GROUP), *((f"trainyard {n}", c) for n, c in COMMANDS.items())]
)
def test_the_reference_has_every_option_and_no_other(title: str, command: Any) -> None:
    section = sections()[title]
    assert section.lstrip().startswith(command.help.partition("\n")[0])
    first_table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert first_table is not None
    assert set(first_table[0].splitlines()[2:]) == {row for row in rows(command) if "--help" not in row}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_with_its_options(cli: Cli, name: str) -> None:
    done = cli(*name.split(), "--help")
    assert (done.code, done.err) == (0, "")
    options = [option for parameter in COMMANDS[name].params for option in parameter.opts if option.startswith("--")]
    assert [option for option in options if option not in done.out] == []


def test_kubectl_finds_the_client_under_the_name_of_a_plugin() -> None:
    scripts = {script.name: script.value for script in entry_points(group="console_scripts")}
    assert scripts["trainyard"] == scripts["kubectl-trainyard"] == "trainyard.cli.__main__:main"


def test_without_its_libraries_the_client_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(name='typer')")
    done = subprocess.run(
        [sys.executable, "-m", "trainyard.cli", "--help"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        done.stderr == "error: trainyard needs typer, which is not installed; install trainyard with its extra `cli`\n"
    )
