"""How a run of requests ends, where every one of them has to be mended: there is no s3fetch here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from trainyard.agent.adapters.fetcher import BY_CRC32
from trainyard.agent.app.coming import MENDERS, UNDER_WAY, Coming, Item, Request, Run
from trainyard.agent.app.hot import Hot
from trainyard.agent.core import layout
from trainyard.agent.ports import StoredObject

WITHIN = 20.0


class Owner:
    """Brings what is asked for by `work`, and keeps what it was told."""

    def __init__(self, work: Callable[[Request], object] = lambda _request: None) -> None:
        self._work = work
        self._lock = threading.Lock()
        self.files: list[str] = []
        self.objects = self.bytes = self.fallbacks = 0

    def progress(self, objects: int, size: int) -> None:
        with self._lock:
            self.objects += objects
            self.bytes += size

    def placed(self, items: Sequence[Item]) -> None:
        self.files += [item.file for item in items]

    def proven(self, bucket: str) -> None:
        raise AssertionError(bucket)

    def fell_back(self, item: Item, why: str, *, damaged: bool) -> None:
        assert item.bucket
        assert why
        assert not damaged
        self.fallbacks += 1

    def bring(self, request: Request) -> None:
        self._work(request)

    def finish(self, coming: Coming) -> None:
        assert not coming.left


def small(count: int) -> Iterator[Request]:
    for number in range(count):
        item = Item("b", StoredObject(str(number), 10, ""), f"f{number}")
        yield Request(Coming(item, "part", 1), 0, 10, "")


def large(count: int) -> Iterator[Request]:
    """One object of `count` ranges of ten bytes."""
    source = StoredObject("k", 10 * count, "", "CRC32")
    coming = Coming(Item("b", source, "large"), "part", count, Hot(source, 10))
    return (Request(coming, 10 * number, 10, BY_CRC32) for number in range(count))


def work_off(owner: Owner, requests: Iterator[Request]) -> None:
    run = Run(owner, None)
    try:
        run.work_off(requests)
    finally:
        run.end()


def test_each_object_becomes_a_file_once() -> None:
    owner = Owner()
    work_off(owner, small(3 * UNDER_WAY))
    assert sorted(owner.files) == sorted(f"f{number}" for number in range(3 * UNDER_WAY))
    assert (owner.objects, owner.bytes, owner.fallbacks) == (3 * UNDER_WAY, 30 * UNDER_WAY, 3 * UNDER_WAY)


def test_an_object_of_many_ranges_is_finished_once_when_all_are_there() -> None:
    owner = Owner()
    work_off(owner, large(2 * UNDER_WAY))
    assert owner.files == ["large"]
    assert (owner.objects, owner.bytes) == (1, 20 * UNDER_WAY)


def test_nothing_at_all_is_done_at_once() -> None:
    work_off(Owner(), small(0))


def test_ranges_of_one_object_are_brought_together_and_by_no_more_than_are_meant_to() -> None:
    together = threading.Barrier(MENDERS, timeout=WITHIN)
    work_off(Owner(lambda _: together.wait()), large(4 * MENDERS))


def test_no_more_is_given_out_than_may_be_under_way() -> None:
    given, go = [0], threading.Event()

    def requests() -> Iterator[Request]:
        for request in small(2 * UNDER_WAY):
            given[0] += 1
            yield request

    run = threading.Thread(target=work_off, args=(Owner(lambda _: go.wait(WITHIN)), requests()), daemon=True)
    run.start()
    until = time.monotonic() + WITHIN
    while given[0] <= UNDER_WAY and time.monotonic() < until:
        time.sleep(0.01)
    run.join(0.1)
    assert given[0] == UNDER_WAY + 1
    go.set()
    run.join(WITHIN)
    assert given[0] == 2 * UNDER_WAY


def fails(error: BaseException) -> Callable[[Request], object]:
    def work(_request: Request) -> object:
        raise error

    return work


def test_the_first_failure_is_that_of_the_run_though_more_would_be_given_out_later() -> None:
    later = threading.Event()

    def requests() -> Iterator[Request]:
        yield from small(1)
        assert later.wait(WITHIN)
        raise ValueError("too late")

    began = time.monotonic()
    with pytest.raises(OSError, match="first"):
        work_off(Owner(fails(OSError("first"))), requests())
    assert time.monotonic() - began < WITHIN
    later.set()


def test_a_failure_of_what_is_given_out_is_one() -> None:
    def requests() -> Iterator[Request]:
        yield from small(1)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        work_off(Owner(), requests())


def test_when_it_turns_out_that_the_order_is_wrong_nothing_is_on_its_way() -> None:
    def requests() -> Iterator[Request]:
        yield from small(50)
        raise layout.Unordered

    owner = Owner(lambda _: time.sleep(0.01))
    with pytest.raises(layout.Unordered):
        work_off(owner, requests())
    assert owner.objects == 50
