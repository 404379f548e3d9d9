"""The work queue: duplicates merge, one pass per key at a time, failures come back later."""

from __future__ import annotations

import asyncio

from trainyard.controller.app.workqueue import FIRST_DELAY, LONGEST_DELAY, WorkQueue


async def test_duplicates_merge_and_keys_come_in_order() -> None:
    queue = WorkQueue[str]()
    for key in ("a", "b", "a", "c"):
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]
    assert len(queue) == 0


async def test_urgent_keys_overtake_the_others_which_still_get_every_fourth_turn() -> None:
    queue = WorkQueue[str](lambda key: key.isupper())
    for key in "abABCDEFG":
        queue.add(key)
    assert queue.is_pressed
    assert "".join([await queue.get() for _ in range(9)]) == "ABCaDEFbG"
    assert not queue.is_pressed


async def test_a_key_added_while_it_is_worked_on_comes_once_more_afterwards() -> None:
    queue = WorkQueue[str]()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_waiting_workers_are_woken_one_for_each_key() -> None:
    queue = WorkQueue[str]()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    workers[0].cancel()
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    assert sorted(await asyncio.gather(*workers[1:])) == ["a", "b"]


async def test_the_earlier_of_two_deadlines_counts_and_an_add_cancels_them() -> None:
    queue = WorkQueue[str]()
    queue.add_after("a", 60)
    queue.add_after("a", 0)
    queue.add_after("a", 60)
    assert await asyncio.wait_for(queue.get(), 1) == "a"
    queue.done("a")
    queue.add_after("a", 0.01)
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    await asyncio.sleep(0.05)
    assert len(queue) == 0


async def test_failures_back_off_up_to_a_limit_and_are_forgiven() -> None:
    queue = WorkQueue[str]()
    delays = [queue.add_failed("a") for _ in range(12)]
    assert FIRST_DELAY * 0.7 <= delays[0] <= FIRST_DELAY * 1.3
    assert delays[5] > delays[0]
    assert max(delays) <= LONGEST_DELAY * 1.3
    queue.forgive("a")
    assert queue.add_failed("a") <= FIRST_DELAY * 1.3
