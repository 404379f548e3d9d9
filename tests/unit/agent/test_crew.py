"""Threads that work one iterable off together."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from trainyard.agent.app.crew import Crew

WITHIN = 20.0


def test_each_piece_is_worked_on_once() -> None:
    done: list[int] = []
    Crew(done.append, 8).run(range(1000))
    assert sorted(done) == list(range(1000))


def test_nothing_at_all_is_done_at_once() -> None:
    Crew(print, 8).run([])


def test_pieces_that_wait_are_worked_on_together() -> None:
    together = threading.Barrier(16, timeout=WITHIN)
    Crew(lambda _: together.wait(), 16).run(range(32))


def test_there_are_never_more_threads_than_were_asked_for() -> None:
    lock, there, most = threading.Lock(), [0], [0]
    pause = threading.Event()

    def work(_: int) -> None:
        with lock:
            there[0] += 1
            most[0] = max(most[0], there[0])
        pause.wait(0.01)
        with lock:
            there[0] -= 1

    Crew(work, 3).run(range(60))
    assert most[0] <= 3


def test_the_first_failure_ends_it_and_waits_for_nobody() -> None:
    stuck = threading.Event()

    def work(piece: int) -> None:
        if piece == 5:
            raise ValueError("five")
        if piece == 3:
            stuck.wait(WITHIN)

    with pytest.raises(ValueError, match="five"):
        Crew(work, 4).run(range(1_000_000))
    stuck.set()


def test_a_failure_of_the_iterable_is_one_and_what_was_begun_can_be_waited_for() -> None:
    done: list[int] = []
    go = threading.Event()

    def pieces() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    def work(piece: int) -> None:
        go.wait(WITHIN)
        done.append(piece)

    crew = Crew(work, 4)
    with pytest.raises(ValueError, match="no more"):
        crew.run(pieces())
    assert not done
    go.set()
    crew.settle()
    assert done == [1]
