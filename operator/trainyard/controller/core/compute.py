"""What training gets of an instance: its capacity less the system reserve.

The default reserve follows the tiers that SageMaker's HyperPod keeps on nodes of the same types. The agent's own requests
(sidecar 50m/64Mi, hold 1m/4Mi; stage runs before training) come out of that reserve, so that the pod as a whole asks for no
more than the instance's capacity: a node of nominally that size, less what its kubelet keeps, is meant to carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trainyard.api.platform import InstanceTypeSpec
from trainyard.controller.core.quantity import GIBIBYTE, MEBIBYTE, human_bytes, parse, to_bytes, to_millicores

# (width of the tier in GiB, share of it in percent); the last one is open.
MEMORY_BASE: Final = GIBIBYTE // 2
MEMORY_TIERS: Final = ((4, 30), (4, 25), (8, 20), (112, 17))
MEMORY_REST_PERCENT: Final = 7
# Millicores kept for any instance, then of the first four cores, then of each further one.
CPU_BASE: Final = 100
CPU_FIRST_CORES: Final = (300, 150, 100, 100)
CPU_FURTHER_CORE: Final = 60
# What the agent's containers that live beside training ask for: no reserve may be smaller.
AGENT_MEMORY: Final = 68 * MEBIBYTE
AGENT_CPU: Final = 51


@dataclass(frozen=True)
class Compute:
    """What the training container asks for: bytes, millicores, and whole extended resources."""

    memory: int
    cpu: int
    extended: tuple[tuple[str, str], ...] = ()

    @property
    def shared_memory(self) -> int:
        """Size of /dev/shm, counted within `memory`: half of it, in whole MiB."""
        return max(self.memory // 2 // MEBIBYTE, 1) * MEBIBYTE


def memory_reserve(capacity: int) -> int:
    """Bytes kept of an instance of `capacity` bytes: 16 GiB -> 4.3 GiB."""
    reserve, rest = MEMORY_BASE, capacity
    for width, percent in MEMORY_TIERS:
        part = min(rest, width * GIBIBYTE)
        reserve += part * percent // 100
        rest -= part
    return reserve + rest * MEMORY_REST_PERCENT // 100


def cpu_reserve(capacity: int) -> int:
    """Millicores kept of an instance of `capacity` millicores: 4 cores -> 750m. Part of a core counts in proportion."""
    reserve, rest = CPU_BASE, capacity
    for share in CPU_FIRST_CORES:
        part = min(rest, 1000)
        reserve += part * share // 1000
        rest -= part
    return reserve + rest * CPU_FURTHER_CORE // 1000


def compute(name: str, spec: InstanceTypeSpec) -> Compute:
    """What training gets of an InstanceType; raises ValueError with a sentence if nothing is left."""
    memory_capacity, cpu_capacity = to_bytes(spec.capacity["memory"]), to_millicores(spec.capacity["cpu"])
    reserved = spec.system_reserve
    memory_kept = to_bytes(reserved.memory) if reserved.memory is not None else memory_reserve(memory_capacity)
    cpu_kept = to_millicores(reserved.cpu) if reserved.cpu is not None else cpu_reserve(cpu_capacity)
    memory = (memory_capacity - max(memory_kept, AGENT_MEMORY)) // MEBIBYTE * MEBIBYTE
    cpu = cpu_capacity - max(cpu_kept, AGENT_CPU)
    if memory <= 0 or cpu <= 0:
        raise ValueError(
            f"InstanceType {name} leaves nothing for training: of {human_bytes(memory_capacity)} and {cpu_capacity}m CPU,"
            f" {human_bytes(memory_kept)} and {cpu_kept}m are reserved; raise spec.capacity or lower spec.systemReserve"
        )
    extended = tuple(
        (resource, str(int(parse(amount))))
        for resource, amount in sorted(spec.capacity.items())
        if resource not in ("cpu", "memory") and parse(amount) >= 1
    )
    return Compute(memory, cpu, extended)
