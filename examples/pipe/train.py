#!/usr/bin/env python3
"""Fits a line to a stream: a training program for Pipe mode. No library is needed, and no row is ever on the disk.

Channel `train` has CSV without a header, two numbers a row: what is to be predicted, and what from. Hyperparameters: `epochs`, and
`learning_rate` for values of about 1. The model is /opt/ml/model/model.json: slope and intercept.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


class UserError(Exception):
    """What /opt/ml/output/failure is to say."""


def fifo(base: Path, channel: str, epoch: int) -> Path:
    """The epoch's FIFO, once it is there: the next one follows when the one before was closed."""
    path = base / f"input/data/{channel}_{epoch}"
    while not path.exists():
        time.sleep(0.01)
    return path


def rows(stream: TextIO) -> Iterator[tuple[float, float]]:
    """Objects follow each other without a break: each must end with a line break of its own."""
    for number, line in enumerate(stream, 1):
        try:
            target, feature = map(float, line.split(","))
        except ValueError:
            raise UserError(f"row {number} is not two numbers: {line.strip()[:60]!r}") from None
        yield target, feature


def train(base: Path) -> None:
    config = json.loads((base / "input/config/inputdataconfig.json").read_text())
    if config.get("train", {}).get("TrainingInputMode") != "Pipe":
        raise UserError("the channel train is needed, in Pipe mode")
    hyper = json.loads((base / "input/config/hyperparameters.json").read_text())
    rate, slope, intercept = float(hyper.get("learning_rate", "0.1")), 0.0, 0.0
    for epoch in range(int(hyper.get("epochs", "3"))):
        count, squares = 0, 0.0
        with fifo(base, "train", epoch).open(encoding="utf-8") as stream:
            for target, feature in rows(stream):
                error = slope * feature + intercept - target
                slope -= rate * error * feature
                intercept -= rate * error
                squares += error * error
                count += 1
        if not count:
            raise UserError("this host received no rows")
        print(f"epoch={epoch} rows={count} train:rmse={(squares / count) ** 0.5:.6f}", flush=True)
    (base / "model").mkdir(exist_ok=True)
    (base / "model/model.json").write_text(json.dumps({"slope": slope, "intercept": intercept}))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["train"])
    parser.add_argument("--base", type=Path, default=Path("/opt/ml"))
    base = parser.parse_args().base
    try:
        train(base)
    except UserError as problem:
        (base / "output").mkdir(exist_ok=True)
        (base / "output/failure").write_text(str(problem))
        print(f"error: {problem}", file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
