"""The operator's annotations as the downward API shows them: files that appear, change and may be empty at any time."""

from __future__ import annotations

from pathlib import Path

from trainyard.api.names import PODINFO_STOP, PODINFO_TRAINING_ENDED
from trainyard.api.report import StopOrder, TrainingEnd


class PodInfo:
    """Reads the two annotations; anything that cannot be understood counts as not there yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def stop(self) -> StopOrder | None:
        text = self._read(PODINFO_STOP)
        try:
            return StopOrder.from_json(text) if text else None
        except ValueError:
            return None

    def training_end(self) -> TrainingEnd | None:
        text = self._read(PODINFO_TRAINING_ENDED)
        try:
            return TrainingEnd.from_json(text) if text else None
        except ValueError:
            return None

    def _read(self, name: str) -> bytes:
        try:
            return (self._directory / name).read_bytes().strip()
        except OSError:
            return b""
