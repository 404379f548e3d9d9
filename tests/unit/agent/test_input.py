"""Filling a host's channels from a store that lists in any order: one in memory, as no server at hand does that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.agent.builders import channel, job, plan
from trainyard.agent.adapters.fetcher import Fetcher
from trainyard.agent.adapters.ledger import Ledger
from trainyard.agent.app.input import Input
from trainyard.agent.app.patience import Patience, Refused
from trainyard.agent.app.progress import Progress
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.store import Store
from trainyard.agent.core import manifest
from trainyard.agent.core.verdict import Verdict
from trainyard.agent.errors import ClientFailure, StoreFault
from trainyard.agent.ports import StoredObject
from trainyard.agent.timing import Timing
from trainyard.api.plan import CheckpointPlan
from trainyard.api.reasons import Reason

CHECKPOINTS = CheckpointPlan(s3_uri="s3://b/ck", local_path="/opt/ml/checkpoints")


class Shelf:
    """Objects of one bucket, listed a page of two at a time in the order in which they were put there."""

    def __init__(self, *keys: str) -> None:
        self.bodies = {key: key.encode() for key in keys}
        self.asked = self.unmarked = 0
        """Looks at the attempt marker, and the first ones that find an earlier attempt's."""

    def pages(self, _bucket: str, prefix: str, _patience: Patience) -> Iterator[list[StoredObject]]:
        found = [StoredObject(key, len(body), '"e"') for key, body in self.bodies.items() if key.startswith(prefix)]
        return (found[first : first + 2] for first in range(0, len(found), 2))

    def read_small(self, _bucket: str, key: str, _patience: Patience) -> tuple[bytes, str]:
        assert key == "prefix/Job/trainyard-attempt.json"
        self.asked += 1
        return manifest.marker(job(attempt=2 if self.asked > self.unmarked else 1)), ""

    def fetcher(self, program: Path) -> Fetcher:
        raise FileNotFoundError(2, "there is none here", program)

    def fell_back(self, bucket: str, key: str, why: str) -> None:
        pass

    def read(self, _bucket: str, item: StoredObject, first: int, length: int, _patience: Patience) -> bytes:
        return self.bodies[item.key][first : first + length]


def filled(
    directory: Path, shelf: Shelf, *, host: str = "algo-1", **fields: object
) -> tuple[dict[str, bytes], Progress]:
    settings = Settings(
        host, ml=directory / host / "ml", state=directory / host / "state", timing=Timing(fence_age=0, peer_poll=0.01)
    )
    (settings.ml / "input/data").mkdir(parents=True)
    settings.scratch.mkdir(parents=True)
    progress = Progress(settings.stage_progress)
    made = plan(2, channels=[channel(**{"s3_uri": "s3://b/p/"} | fields)], checkpoints=CHECKPOINTS)
    Input(settings, made, cast("Store", shelf), Patience(1), progress).bring()
    return below(settings.ml / "input/data/train"), progress


def below(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


ORDERS = ["abcdef", "fedcba", "abfcde"]


@pytest.mark.parametrize("order", ORDERS)
def test_hosts_share_what_is_listed_in_any_order(order: str, tmp_path: Path) -> None:
    shelf = Shelf(*(f"p/{key}" for key in order))
    for host, mine in (("algo-1", "ace"), ("algo-2", "bdf")):
        found, progress = filled(tmp_path, shelf, host=host, distribution="ShardedByS3Key")
        assert found == {key: f"p/{key}".encode() for key in mine}
        assert (progress.objects, progress.bytes) == (3, 9)


@pytest.mark.parametrize("order", ORDERS)
def test_what_does_not_fit_is_refused_in_any_order(order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.agent.adapters.files.free_bytes", lambda _: 10)
    with pytest.raises(ClientFailure, match="needs at least 12 bytes and its storage volume has 10 free"):
        filled(tmp_path, Shelf(*(f"p/{key}" for key in order)))


def test_checkpoints_and_channels_together_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.agent.adapters.files.free_bytes", lambda _: 10)
    shelf = Shelf("p/a", "p/b", "p/c", "ck/x")
    together = "checkpoints included, needs at least 13 bytes and its storage volume has 10 free"
    with pytest.raises(ClientFailure, match=together):
        filled(tmp_path, shelf)
    assert below(tmp_path / "algo-1/ml/checkpoints") == {}


@pytest.mark.parametrize("order", ORDERS)
def test_checkpoints_are_restored_from_a_listing_in_any_order_and_known_as_stored(order: str, tmp_path: Path) -> None:
    found, progress = filled(
        tmp_path, Shelf("p/a", "ck-2/x", *(f"ck/{key}" for key in order), "ck/a.sagemaker-uploaded")
    )
    assert found == {"a": b"p/a"}
    assert below(tmp_path / "algo-1/ml/checkpoints") == {key: f"ck/{key}".encode() for key in order}
    assert (progress.objects, progress.bytes) == (7, 3 + 6 * 4)
    ledger = Ledger(Settings("algo-1", state=tmp_path / "algo-1/state").ledger)
    assert [key for key, stored, _ in ledger.rows() if stored] == [key.encode() for key in "abcdef"]
    ledger.close()


def test_the_wait_for_the_attempt_to_begin_is_told_as_long_as_it_lasts(tmp_path: Path) -> None:
    told: list[tuple[str, str | None]] = []

    class Watched(Shelf):
        def read_small(self, *asked: Any) -> tuple[bytes, str]:
            said = json.loads((tmp_path / "algo-2/state/stage.json").read_text())
            told.append((said["phase"], said["message"]))
            return super().read_small(*asked)

    shelf = Watched("p/a", "ck/x")
    shelf.unmarked = 2
    _, progress = filled(tmp_path, shelf, host="algo-2")
    waits = ("WaitingForHosts", "waiting for algo-1 to begin this attempt")
    assert told == [("Staging", None), waits, waits]
    said = json.loads((tmp_path / "algo-2/state/stage.json").read_text())
    assert (said["phase"], said["message"], progress.objects) == ("Staging", None, 2)


class Rotating(Shelf):
    """Whose checkpoint is replaced by another one as soon as it is asked for, so often."""

    def __init__(self, times: int) -> None:
        super().__init__("p/a", "ck/0")
        self.left = times

    def read(self, bucket: str, item: StoredObject, *rest: Any, **more: Any) -> bytes:
        if item.key.startswith("ck/") and self.left:
            self.left -= 1
            del self.bodies[item.key]
            self.bodies[f"ck/{int(item.key[3:]) + 1}"] = b"new"
            fault = StoreFault("answer", "gone", status=404, code="NoSuchKey")
            raise Refused(Verdict(True, Reason.DATA_DOWNLOAD_FAILED, f"{item.key} is gone"), fault)
        return super().read(bucket, item, *rest, **more)


def test_checkpoints_that_change_while_they_are_restored_are_listed_again(tmp_path: Path) -> None:
    _, progress = filled(tmp_path, Rotating(2))
    assert below(tmp_path / "algo-1/ml/checkpoints") == {"2": b"new"}
    assert (progress.objects, progress.bytes) == (2, 3 + 3)


def test_checkpoints_that_change_all_the_time_are_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ClientFailure, match="ck/2 is gone"):
        filled(tmp_path, Rotating(9))


def test_a_clash_that_shows_late_in_the_listing_is_refused(tmp_path: Path) -> None:
    shelf = Shelf(*(f"p/t/{number}" for number in range(9)), "p/t/tx", "p/tx")
    with pytest.raises(ClientFailure, match='both would be the file "tx"'):
        filled(tmp_path, shelf, s3_uri="s3://b/p/t")
