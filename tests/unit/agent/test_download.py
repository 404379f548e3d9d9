"""In which order the requests of several objects are made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trainyard.agent.app.coming import Coming, Item, Request
from trainyard.agent.app.download import ABREAST, in_turn
from trainyard.agent.core import layout
from trainyard.agent.ports import StoredObject

MIB = 1024 * 1024


def requests(name: str, count: int) -> Iterator[Request]:
    """Those of one object, of a MiB each."""
    coming = Coming(Item("b", StoredObject(name, count * MIB, ""), name), f"{name}.part", count)
    return (Request(coming, number * MIB, MIB, "") for number in range(count))


def told(made: Iterator[Request]) -> list[str]:
    return [f"{request.coming.item.file}{request.first // MIB}" for request in made]


def test_large_objects_take_turns() -> None:
    made = told(in_turn(requests(name, 9) for name in "abc"))
    for name in "abc":
        assert [each for each in made if each[0] == name] == [f"{name}{number}" for number in range(9)]
    assert made.index("c0") < made.index("a3")


def test_no_more_than_a_few_objects_have_begun_and_not_ended() -> None:
    begun: dict[str, int] = {}
    for request in in_turn(requests(str(number), 5) for number in range(50)):
        name = request.coming.item.file
        begun[name] = begun.get(name, 0) + 1
        assert sum(count < 5 for count in begun.values()) <= ABREAST
    assert begun == {str(number): 5 for number in range(50)}


def test_small_objects_do_not_wait_for_a_large_one_nor_it_for_them() -> None:
    made = told(in_turn(requests(name, 20 if name == "l" else 1) for name in ["l", *"abcdefghij"]))
    assert made.index("j0") < made.index("l19")
    assert made.index("l5") < made.index("j0")


def test_each_request_is_there_before_another_object_is_looked_for() -> None:
    looked = 0

    def objects() -> Iterator[Iterator[Request]]:
        nonlocal looked
        for name in "abcdef":
            looked += 1
            yield requests(name, 2)

    for made, _ in enumerate(in_turn(objects()), 1):
        assert looked <= made


def test_what_has_begun_is_asked_for_to_its_end_before_all_begins_anew() -> None:
    def objects() -> Iterator[Iterator[Request]]:
        yield requests("a", 9)
        yield requests("b", 9)
        raise layout.Unordered

    made: list[Request] = []
    with pytest.raises(layout.Unordered):
        made.extend(in_turn(objects()))
    # `extend` keeps what came before it was raised
    assert sorted(told(iter(made))) == sorted(f"{name}{number}" for name in "ab" for number in range(9))


def test_no_room_for_the_next_object_is_told_at_once() -> None:
    def objects() -> Iterator[Iterator[Request]]:
        yield requests("a", 1000)
        raise layout.disk_full(2000, 1000, "algo-1")

    made: list[Request] = []
    with pytest.raises(type(layout.disk_full(2, 1, "algo-1")), match="2000"):
        made.extend(in_turn(objects()))
    assert len(made) == 1
