"""What is carried: bytes that are the same on every machine for one seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench.transfer.measured import MIB

SEED = 1
FOLDERS = 10
BLOCK = 16 * MIB
MODEL_FILES = 224
"""As many as the model directory has that figures of other packers are known for."""
PRIME = 16_777_213
"""Bytes, about as many as in a BLOCK: no part of an upload or download is a multiple."""


@dataclass(frozen=True)
class Repeated:
    """`size` bytes, which are those of `block` over and over: nobody needs to hold them all. Parts that were mixed up differ if its length is
    a prime."""

    block: bytes
    size: int

    def __len__(self) -> int:
        return self.size


Body = bytes | Repeated


def blocks(body: Body) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    for first in range(0, body.size, len(body.block)):
        yield body.block[: body.size - first]


def small(count: int, size: int = 16 * 1024) -> dict[str, bytes]:
    """`count` objects of `size` bytes in ten folders, by key."""
    dice = random.Random(SEED)
    return {f"small/{number % FOLDERS}/{number:06}.bin": dice.randbytes(size) for number in range(count)}


def mixed(count: int, mean: int = 110_000) -> dict[str, bytes]:
    """Sizes as those of photographs: log-normal."""
    dice = random.Random(SEED)
    sizes = [max(1, int(dice.lognormvariate(0, 0.7) * mean / 1.278)) for _ in range(count)]
    return {f"mixed/{number % FOLDERS}/{number:06}.jpg": dice.randbytes(size) for number, size in enumerate(sizes)}


def large(count: int, size: int) -> dict[str, bytes]:
    """All of the same bytes: only one is kept in memory."""
    dice = random.Random(SEED)
    body = b"".join(dice.randbytes(min(BLOCK, size - first)) for first in range(0, size, BLOCK))
    return {f"large/{number}.bin": body for number in range(count)}


def one(size: int) -> dict[str, Repeated]:
    """One object that is too large to be kept in memory twice."""
    return {"one/0.bin": Repeated(random.Random(SEED).randbytes(PRIME), size)}


def file(path: Path, size: int) -> Path:
    dice = random.Random(SEED)
    with path.open("wb") as out:
        for first in range(0, size, BLOCK):
            out.write(dice.randbytes(min(BLOCK, size - first)))
    return path


def model(directory: Path, size: int) -> int:
    """A model's directory of about `size` bytes: weights as float32, float16 and bfloat16, vocabularies and logs. Its bytes."""
    dice = np.random.default_rng(SEED)
    directory.mkdir(parents=True)
    weights = MODEL_FILES - 24
    values = size // weights // 4
    for number in range(weights):
        tensor = dice.standard_normal(values, dtype=np.float32)
        halves = tensor.view(np.uint32) >> 16
        body = (tensor.tobytes(), tensor.astype(np.float16).tobytes(), halves.astype(np.uint16).tobytes())[number % 3]
        folder = directory / f"layer-{number // 20:02}"
        folder.mkdir(exist_ok=True)
        (folder / f"weights-{number:03}.bin").write_bytes(body * (1 if number % 3 == 0 else 2))
    for number in range(12):
        words = {f"token{int(each):x}": at for at, each in enumerate(dice.integers(0, 2**40, size // 20_000))}
        (directory / f"vocabulary-{number:02}.json").write_text(json.dumps(words))
        steps = (f"step {step} loss {1 / (step + 1):.6f} lr 0.0001\n" for step in range(size // 40_000))
        (directory / f"training-{number:02}.log").write_text("".join(steps))
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
