"""Which records a host streams in an epoch of a Pipe channel, and in which order."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence


def order(count: int, epoch: int, seed: int | None, first: int = 0, step: int = 1) -> Sequence[int]:
    """Numbers of records out of `count`: from the `first` on each `step`-th, shuffled before if there is a seed.

    Hosts that agree on the arguments but for `first` share the records out: each epoch another way, none twice, none left out.
    """
    if seed is None:
        return range(first, count, step)
    numbers = array("I", range(count))
    random.Random(f"{seed}/{epoch}").shuffle(numbers)  # noqa: S311 - an order, and the same on every host
    return numbers[first::step]
