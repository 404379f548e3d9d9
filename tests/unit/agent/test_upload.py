"""What the upload process answers when its work fails."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from typing import Any

import pytest

from trainyard.agent.app.upload import do
from trainyard.agent.errors import ClientFailure
from trainyard.api.reasons import Reason

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/state/manifest.json")


class Rig:
    """A publisher that fails with these errors, one after the other, and the channel."""

    def __init__(self, *errors: Exception, enough_after: int = 99) -> None:
        self.errors = list(errors)
        self.enough = threading.Event()
        self.enough_after = enough_after
        self.told: list[tuple[str, str]] = []
        self.abandoned = 0

    def commit(self, _job: object) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def abandon(self) -> None:
        self.abandoned += 1

    def tell(self, event: str, **fields: str) -> None:
        self.told.append((event, fields["message"]))
        if len(self.told) == self.enough_after:
            self.enough.set()


def run(rig: Any) -> list[str]:
    do({"do": "commit", "outcome": "Completed"}, rig, rig, 0.01)
    return [event for event, _ in rig.told]


@pytest.mark.parametrize("error", [FULL, sqlite3.OperationalError("database or disk is full")], ids=["file", "sqlite"])
def test_a_full_disk_is_waited_for_with_the_reason_in_sight(error: Exception) -> None:
    rig = Rig(error, error)
    assert run(rig) == ["refused", "refused"]
    assert "is the node's disk full?" in rig.told[0][1]
    assert rig.abandoned == 2


def test_a_disk_that_stays_full_is_a_failure_once_it_has_been_enough() -> None:
    rig = Rig(*[FULL] * 9, enough_after=2)
    assert run(rig) == ["refused", "refused", "failed"]
    assert rig.told[-1][1].startswith("InternalServerError: Artifact upload failed:the agent cannot read or write")
    assert "/state/manifest.json" in rig.told[-1][1]


@pytest.mark.parametrize(
    "error", [ClientFailure(Reason.ACCESS_DENIED, "no"), KeyError("x")], ids=["ours", "unforeseen"]
)
def test_any_other_failure_is_the_last(error: Exception) -> None:
    rig = Rig(error)
    assert run(rig) == ["failed"]
    assert rig.abandoned == 1


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")], ids=["heap", "thread"])
def test_a_process_whose_memory_runs_out_ends_so_that_another_one_begins_afresh(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", end)
    rig = Rig(error)
    with pytest.raises(SystemExit, match="3"):
        run(rig)
    assert rig.told == []
