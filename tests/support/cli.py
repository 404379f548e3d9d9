"""The command line client, run in this process: exit code, standard output, standard error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from trainyard.cli.app.main import run


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Cli = Callable[..., Done]


def runner(capsys: pytest.CaptureFixture[str]) -> Cli:
    def cli(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return cli
