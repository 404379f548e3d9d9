"""The example that saves its state: interrupted and run again it ends as if nothing had happened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).resolve().parents[2] / "examples/checkpoints/train.py"


def host(base: Path, checkpoints: Path | None, **hyper: str) -> Path:
    """What /opt/ml holds when training starts."""
    for name in ("input/config", "input/data/train", "model"):
        (base / name).mkdir(parents=True, exist_ok=True)
    (base / "input/config/hyperparameters.json").write_text(json.dumps(hyper))
    if checkpoints is not None:
        config = {"S3Uri": "s3://models/line/checkpoints", "LocalPath": str(checkpoints)}
        (base / "input/config/checkpointconfig.json").write_text(json.dumps(config))
    (base / "input/data/train/a.csv").write_text("".join(f"{x / 10},{x / 5 + 1}\n" for x in range(10)))
    return base


def start(base: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), "train", "--base", str(base)], stdout=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> list[str]:
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said.splitlines()


def model(base: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((base / "model/line.json").read_text())
    return found


def test_an_interrupted_run_goes_on_where_it_was_and_ends_the_same(tmp_path: Path) -> None:
    whole = host(tmp_path / "whole", None, epochs="300", learning_rate="0.1")
    assert ended(start(whole))[0] == "begins at epoch 0"
    kept = tmp_path / "kept"
    first = host(tmp_path / "first", kept, epochs="300", learning_rate="0.1", seconds_per_epoch="0.05")
    process = start(first)
    assert process.stdout is not None
    while process.stdout.readline() != "epoch 3\n":
        pass
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    process.stdout.close()
    saved = json.loads((kept / "state.json").read_text())["epoch"]
    assert saved >= 3
    second = host(tmp_path / "second", kept, epochs="300", learning_rate="0.1")
    assert ended(start(second))[:2] == [f"begins at epoch {saved}", f"epoch {saved + 1}"]
    assert model(second) == model(whole)
    assert abs(model(whole)["a"] - 2) < 0.1
