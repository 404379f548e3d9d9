#!/usr/bin/env python3
"""A training program that may be interrupted at any time: it saves its state after every epoch, and begins where it left off.

It fits y = a x + b to the lines `x,y` of the channel `train`, in plain Python: what matters here is save() and load().
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any


class Checkpoints:
    """One file in the directory that trainyard keeps in S3, and has filled from there before this program began."""

    def __init__(self, base: Path) -> None:
        config = base / "input/config/checkpointconfig.json"
        # Without checkpointConfig there is no such file: the program then saves to a directory that is kept nowhere.
        place = json.loads(config.read_text())["LocalPath"] if config.exists() else base / "checkpoints"
        self._file = Path(place) / "state.json"
        self._file.parent.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[str, Any]:
        """The newest state; the first one where there is none."""
        if self._file.exists():
            state: dict[str, Any] = json.loads(self._file.read_text())
            return state
        return {"epoch": 0, "a": 0.0, "b": 0.0}

    def save(self, state: dict[str, Any]) -> None:
        """Under another name first: whoever reads the file, now or after a crash, finds a whole one. A name that ends so is
        not uploaded."""
        draft = self._file.with_name("state.json.sagemaker-ignore")
        draft.write_text(json.dumps(state))
        draft.replace(self._file)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", nargs="?")  # `train`
    parser.add_argument("--base", type=Path, default=Path("/opt/ml"))
    base = parser.parse_args().base
    hyper = json.loads((base / "input/config/hyperparameters.json").read_text())
    epochs, rate = int(hyper.get("epochs", "100")), float(hyper.get("learning_rate", "0.01"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM: what is saved is enough to go on"))
    points = [tuple(map(float, line.split(","))) for line in lines(base / "input/data/train")]
    checkpoints = Checkpoints(base)
    state = checkpoints.load()
    print(f"begins at epoch {state['epoch']}", flush=True)
    for epoch in range(state["epoch"], epochs):
        for x, y in points:
            error = state["a"] * x + state["b"] - y
            state["a"] -= rate * error * x
            state["b"] -= rate * error
        state["epoch"] = epoch + 1
        checkpoints.save(state)
        print(f"epoch {state['epoch']}", flush=True)
        time.sleep(float(hyper.get("seconds_per_epoch", "0")))
    (base / "model/line.json").write_text(json.dumps(state))
    return 0


def lines(channel: Path) -> list[str]:
    return [line for path in sorted(channel.iterdir()) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
