"""Kubernetes quantities, exact: bytes and millicores as integers."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

_SUFFIXES: Final = {
    "": Decimal(1),
    "m": Decimal(1) / 1000,
    "k": Decimal(1000),
    "M": Decimal(1000) ** 2,
    "G": Decimal(1000) ** 3,
    "T": Decimal(1000) ** 4,
    "Ki": Decimal(1024),
    "Mi": Decimal(1024) ** 2,
    "Gi": Decimal(1024) ** 3,
    "Ti": Decimal(1024) ** 4,
}
_QUANTITY: Final = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")

MEBIBYTE: Final = 1024**2
GIBIBYTE: Final = 1024**3


def parse(text: str) -> Decimal:
    """`1.5Gi` -> 1610612736; raises ValueError for anything that is no quantity."""
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 500m, 4 or 16Gi")
    return Decimal(match.group(1)) * _SUFFIXES[match.group(2) or ""]


def to_bytes(text: str) -> int:
    """Rounded up to a whole byte."""
    return int(parse(text).to_integral_value(ROUND_CEILING))


def to_millicores(text: str) -> int:
    """Rounded up to a whole millicore."""
    return int((parse(text) * 1000).to_integral_value(ROUND_CEILING))


def from_bytes(value: int) -> str:
    """In the largest unit that divides it."""
    for suffix, unit in (("Gi", GIBIBYTE), ("Mi", MEBIBYTE), ("Ki", 1024)):
        if value % unit == 0:
            return f"{value // unit}{suffix}"
    return str(value)


def from_millicores(value: int) -> str:
    return str(value // 1000) if value % 1000 == 0 else f"{value}m"


def human_bytes(value: int) -> str:
    """For sentences: `11.7 GiB`."""
    return f"{value / GIBIBYTE:.1f} GiB" if value >= GIBIBYTE else f"{value / MEBIBYTE:.0f} MiB"
