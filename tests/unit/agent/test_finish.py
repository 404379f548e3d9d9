"""Who uploads, commits and releases when, on one host and on several."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

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
        ("... is waited for: its own hold goes", View(0, Over.CERTAIN, Work.PREPARED, {"algo-2": HINTED}), Step.WAIT),
        ("... also when preparing failed", View(0, Over.CERTAIN, Work.UNPREPARED, {"algo-2": HINTED}), Step.WAIT),
        ("all ended", View(0, Over.CERTAIN, Work.IDLE, {"algo-2": ENDED, "algo-3": ENDED}), Step.COMMIT),
        ("another host waits for algo-1", View(1, Over.CERTAIN, Work.IDLE, {"algo-1": RUNS}), Step.WAIT),
        ("its files are there", View(1, Over.HINT, Work.IDLE, {"algo-1": Peer(Over.HINT, prepared=True)}), Step.RELEASE),
        ("its own end is sure: algo-1's hold goes first",
         View(1, Over.CERTAIN, Work.IDLE, {"algo-1": Peer(Over.HINT, prepared=True)}), Step.WAIT),
        ("algo-1 is done", View(1, Over.CERTAIN, Work.IDLE, {"algo-1": Peer(Over.CERTAIN, done=True)}), Step.FINISH),
        ("algo-1 is done without it",
         View(1, Over.CERTAIN, Work.IDLE, {"algo-1": Peer(Over.CERTAIN, done=True, without_me=True)}), Step.SHARE),
        ("... while it trains", View(1, Over.NO, Work.IDLE, {"algo-1": Peer(Over.CERTAIN, done=True, without_me=True)}), Step.WAIT),
        ("... and its end is a guess", View(1, Over.HINT, Work.IDLE, {"algo-1": Peer(Over.CERTAIN, done=True, without_me=True)}), Step.RELEASE),
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


@dataclass(frozen=True)
class Model:
    """One host of two as the world has it, and what its sidecar knows. Nobody deletes pods here."""

    runs: bool = True
    held: bool = True
    over: Over = Over.NO
    long_silent: bool = False
    work: Work = Work.IDLE
    done: bool = False

    @property
    def seen(self) -> Peer:
        prepared = not self.held or self.work in {Work.PREPARED, Work.UNPREPARED}
        return Peer(self.over, prepared=prepared, done=self.done)

    def may_become(self) -> Iterator[Model]:
        """What the world can do to it: training ends, the kubelet goes and comes back, the operator speaks or does not."""
        if self.runs:
            yield replace(self, runs=False)
        if self.over is Over.NO:
            yield replace(self, over=Over.HINT)
        if self.over is Over.HINT:
            yield replace(self, long_silent=True)
            if self.runs:
                yield replace(self, over=Over.NO, long_silent=False, work=Work.IDLE)
        if not self.runs and not self.over.final:
            yield replace(self, over=Over.CERTAIN)

    def settles(self) -> Model:
        """What happens to it in the end without any operator: the kubelet, and silence, tell the end."""
        if not self.over.final:
            certain = not self.held
            return replace(self, runs=False, over=Over.CERTAIN if certain else Over.HINT, long_silent=not certain)
        return replace(self, runs=False)

    def steps(self, rank: int, other: Peer) -> Iterator[tuple[Step, Model]]:
        peers = {"algo-2" if rank == 0 else "algo-1": other}
        step = next_step(View(rank, self.over, self.work, peers, may_release=self.over.final or self.long_silent))
        match step:
            case Step.PREPARE:
                yield from ((step, replace(self, work=work)) for work in (Work.PREPARED, Work.UNPREPARED))
            case Step.COMMIT | Step.SHARE:
                yield step, replace(self, work=Work.COMMITTED)
            case Step.RELEASE:
                yield step, replace(self, held=False)
            case Step.FINISH:
                yield step, replace(self, held=False, done=True)
            case Step.WAIT:
                yield step, self


Both = tuple[Model, Model]


def stepped(both: Both) -> Iterator[tuple[int, Step, Both]]:
    first, second = both
    for step, after in first.steps(0, second.seen):
        yield 0, step, (after, second)
    for step, after in second.steps(1, first.seen):
        yield 1, step, (first, after)


def reachable() -> set[Both]:
    todo: list[Both] = [(Model(), Model())]
    found = set(todo)
    while todo:
        first, second = todo.pop()
        following = [after for _, _, after in stepped((first, second))]
        following += [(after, second) for after in first.may_become()]
        following += [(first, after) for after in second.may_become()]
        for each in following:
            if each not in found:
                found.add(each)
                todo.append(each)
    return found


def test_a_host_whose_end_is_sure_keeps_its_hold_until_algo_1_is_done() -> None:
    for both in reachable():
        for rank, step, (first, _) in stepped(both):
            if step is Step.RELEASE:
                assert not both[rank].over.final or first.done, both


def test_from_wherever_two_hosts_are_they_commit_in_the_end_without_an_operator() -> None:
    states = reachable()
    assert len(states) > 100
    for both in states:
        now = both
        for _ in range(12):
            now = (now[0].settles(), now[1].settles())
            for rank in (0, 1):
                now = [after for at, _, after in stepped(now) if at == rank][-1]  # preparing fails where it can
        assert now[0].done, both
        assert now[1].done, both
        assert now[0].work is Work.COMMITTED, both
