"""Who uploads, commits and releases when, on one host and on several."""

from __future__ import annotations

import itertools

import pytest

from trainyard.agent.core.finish import Peer, Step, View, Work, missing, next_step
from trainyard.agent.core.lifecycle import Over

ENDED, HINTED, RUNS, LOST = Peer(Over.CERTAIN), Peer(Over.HINT), Peer(Over.NO), Peer(Over.NO, lost=True)


@pytest.mark.parametrize(
    ("name", "view", "step"),
    [
        ("training runs", View(0, Over.NO, Work.IDLE, {}), Step.WAIT),
        ("probably over: parts only", View(0, Over.HINT, Work.IDLE, {}), Step.PREPARE),
        ("parts are there: let hold go", View(0, Over.HINT, Work.PREPARED, {}), Step.RELEASE),
        ("then it is certain", View(0, Over.CERTAIN, Work.PREPARED, {}), Step.COMMIT),
        ("certain at once", View(0, Over.CERTAIN, Work.IDLE, {}), Step.COMMIT),
        ("a snapshot may be committed", View(0, Over.SNAPSHOT, Work.IDLE, {}), Step.COMMIT),
        ("done", View(0, Over.CERTAIN, Work.COMMITTED, {}), Step.FINISH),
        ("failed", View(0, Over.CERTAIN, Work.FAILED, {}), Step.FINISH),
        ("a failure ends nothing before the end is sure", View(0, Over.HINT, Work.FAILED, {}), Step.WAIT),
        ("not even prepared: hold goes, the commit tries again", View(0, Over.HINT, Work.UNPREPARED, {}), Step.RELEASE),
        ("it tries again", View(0, Over.CERTAIN, Work.UNPREPARED, {}), Step.COMMIT),
        ("a mere hint keeps hold", View(0, Over.HINT, Work.PREPARED, {}, may_release=False), Step.WAIT),
        ("on every host", View(1, Over.HINT, Work.IDLE, {"algo-1": Peer(Over.HINT, prepared=True)}, may_release=False), Step.WAIT),
        ("algo-1 is done, and this one perhaps not",
         View(1, Over.HINT, Work.IDLE, {"algo-1": Peer(Over.CERTAIN, done=True)}, may_release=False), Step.WAIT),
        ("algo-1 waits for a host", View(0, Over.CERTAIN, Work.IDLE, {"algo-2": RUNS}), Step.WAIT),
        ("not for a lost one", View(0, Over.CERTAIN, Work.IDLE, {"algo-2": LOST}), Step.COMMIT),
        ("not for ever while it is ended itself", View(0, Over.CERTAIN, Work.IDLE, {"algo-2": RUNS}, True), Step.COMMIT),
        ("a host that is only probably over", View(0, Over.CERTAIN, Work.IDLE, {"algo-2": HINTED}), Step.PREPARE),
        ("... lets it go to be sure", View(0, Over.CERTAIN, Work.PREPARED, {"algo-2": HINTED}), Step.RELEASE),
        ("all ended", View(0, Over.CERTAIN, Work.IDLE, {"algo-2": ENDED, "algo-3": ENDED}), Step.COMMIT),
        ("another host waits for algo-1", View(1, Over.CERTAIN, Work.IDLE, {"algo-1": RUNS}), Step.WAIT),
        ("its files are there", View(1, Over.HINT, Work.IDLE, {"algo-1": Peer(Over.HINT, prepared=True)}), Step.RELEASE),
        ("algo-1 is done", View(1, Over.CERTAIN, Work.IDLE, {"algo-1": Peer(Over.CERTAIN, done=True)}), Step.FINISH),
        ("algo-1 is lost", View(1, Over.CERTAIN, Work.IDLE, {"algo-1": LOST}), Step.SHARE),
        ("algo-1 is lost, the end a guess", View(1, Over.HINT, Work.IDLE, {"algo-1": LOST}), Step.RELEASE),
        ("it must leave itself", View(1, Over.SNAPSHOT, Work.IDLE, {"algo-1": RUNS}, True), Step.SHARE),
        ("its share is there", View(1, Over.CERTAIN, Work.COMMITTED, {"algo-1": LOST}), Step.FINISH),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_next_step(name: str, view: View, step: Step) -> None:
    assert next_step(view) is step


def test_nothing_is_ever_committed_before_the_end_is_certain() -> None:
    peers = [
        Peer(over, lost, prepared, done)
        for over in Over
        for lost in (False, True)
        for prepared in (False, True)
        for done in (False, True)
    ]
    for rank, over, work, peer, impatient in itertools.product((0, 1), Over, Work, peers, (False, True)):
        view = View(rank, over, work, {"algo-2" if rank == 0 else "algo-1": peer}, impatient)
        if next_step(view) in {Step.COMMIT, Step.SHARE}:
            assert over.final
            if next_step(view) is Step.COMMIT and not impatient:
                assert peer.over.final or "algo-2" in missing(view)
