from __future__ import annotations

import pytest

from tests.support.cli import Cli, runner


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return runner(capsys)
