"""What training gets of an instance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.objects import instance_type
from trainyard.controller.core.compute import compute, cpu_reserve, memory_reserve
from trainyard.controller.core.quantity import GIBIBYTE, MEBIBYTE, from_bytes, from_millicores, to_bytes, to_millicores


@pytest.mark.parametrize(("nominal", "kept"), [(4, 1.7), (8, 2.7), (16, 4.3), (64, 12.46), (384, 41.26)])
def test_memory_reserve_follows_the_tiers(nominal: int, kept: float) -> None:
    assert memory_reserve(nominal * GIBIBYTE) / GIBIBYTE == pytest.approx(kept, abs=0.01)


@pytest.mark.parametrize(("cores", "kept"), [(1, 400), (2, 550), (4, 750), (8, 990), (48, 3390)])
def test_cpu_reserve_follows_the_cores(cores: int, kept: int) -> None:
    assert cpu_reserve(cores * 1000) == kept


@given(st.integers(1, 1 << 44), st.integers(0, 1 << 40))
def test_a_larger_instance_never_keeps_less_and_never_gives_less(memory: int, more: int) -> None:
    assert memory_reserve(memory) <= memory_reserve(memory + more)
    assert memory - memory_reserve(memory) <= memory + more - memory_reserve(memory + more)


def test_training_gets_capacity_less_the_reserve_in_whole_mebibytes() -> None:
    found = instance_type()
    assert found.spec is not None
    share = compute(found.name, found.spec)
    assert share.memory == int((16 - 4.3) * 1024) * MEBIBYTE
    assert share.cpu == 4000 - 750
    assert share.shared_memory == share.memory // 2


def test_a_reserve_of_the_type_s_own_replaces_the_rule() -> None:
    found = instance_type(capacity={"cpu": "150m", "memory": "512Mi"}, systemReserve={"cpu": "100m", "memory": "128Mi"})
    assert found.spec is not None
    share = compute(found.name, found.spec)
    assert (share.memory, share.cpu) == (384 * MEBIBYTE, 50)


def test_no_reserve_is_smaller_than_what_the_agent_asks_for() -> None:
    found = instance_type(systemReserve={"cpu": "0", "memory": "0"})
    assert found.spec is not None
    share = compute(found.name, found.spec)
    assert (share.memory, share.cpu) == (16 * GIBIBYTE - 68 * MEBIBYTE, 4000 - 51)


def test_extended_resources_are_whole_and_sorted() -> None:
    found = instance_type(capacity={"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "4", "example.com/nic": "1"})
    assert found.spec is not None
    assert compute(found.name, found.spec).extended == (("example.com/nic", "1"), ("nvidia.com/gpu", "4"))


def test_a_type_that_leaves_nothing_says_so_with_the_numbers() -> None:
    found = instance_type(capacity={"cpu": "1", "memory": "512Mi"})
    assert found.spec is not None
    with pytest.raises(ValueError, match=r"leaves nothing for training: of 512 MiB and 1000m CPU, 666 MiB and 400m"):
        compute(found.name, found.spec)


@pytest.mark.parametrize(
    ("text", "value"), [("16Gi", 16 * GIBIBYTE), ("1.5Gi", 3 * GIBIBYTE // 2), ("1M", 1000000), ("100", 100)]
)
def test_quantities_of_memory_are_exact(text: str, value: int) -> None:
    assert to_bytes(text) == value


@given(st.integers(1, 1 << 50), st.integers(1, 1 << 20))
def test_what_is_written_is_what_was_meant(memory: int, cpu: int) -> None:
    assert to_bytes(from_bytes(memory)) == memory
    assert to_millicores(from_millicores(cpu)) == cpu
