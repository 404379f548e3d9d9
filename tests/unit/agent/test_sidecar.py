"""What the sidecar's first process does although something about it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.agent.builders import plan
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.sidecar import Sidecar


def test_a_release_that_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    settings = Settings("algo-1", ml=tmp_path / "ml", state=tmp_path / "state", credentials=tmp_path)
    sidecar = Sidecar(settings, plan())
    with pytest.raises(OSError, match="No such file"):
        sidecar._release()
    settings.state.mkdir()
    sidecar._release()
    assert settings.release.exists()
