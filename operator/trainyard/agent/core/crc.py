"""The CRC32 of two pieces of bytes together, from those of each: pieces are looked at in any order, while they are at hand."""

from __future__ import annotations

from functools import lru_cache

POLYNOMIAL = 0xEDB88320
"""Of CRC32, its bits in reverse; a remainder's highest bit stands for x to the power of 0."""


def joined(first: int, second: int, length: int) -> int:
    """Of a piece with CRC `first` followed by one of `length` bytes with CRC `second`."""
    return _product(_power(8 * length), first) ^ second


def _product(one: int, other: int) -> int:
    """Of two remainders, modulo the polynomial."""
    found = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            found ^= other
        other = (other >> 1) ^ (POLYNOMIAL if other & 1 else 0)
    return found


@lru_cache(maxsize=64)
def _power(exponent: int) -> int:
    """x to the power of `exponent`, modulo the polynomial."""
    found, square = 1 << 31, 1 << 30
    while exponent:
        if exponent & 1:
            found = _product(found, square)
        square = _product(square, square)
        exponent >>= 1
    return found
