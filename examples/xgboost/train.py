#!/usr/bin/env python3
"""An ordinary SageMaker training program around XGBoost: `train` on PATH, /opt/ml as its only interface.

It knows nothing of trainyard. Input: CSV without a header, label first, in the channels `train` and (optional) `validation`.
Output: /opt/ml/model/xgboost-model, written by the first host, and /opt/ml/output/data/<host>.json with what each host saw.
Several hosts train one model together: the first one runs XGBoost's tracker, and all take part, also those without data.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

# Before the libraries start threads: these inherit both. Idle threads sleep, as hosts may share a machine's cores;
# SIGTERM stays pending until `Stop` takes it, whatever the main thread is doing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

import numpy as np  # noqa: E402
import xgboost as xgb  # noqa: E402
from xgboost import collective  # noqa: E402
from xgboost.tracker import RabitTracker  # noqa: E402

TRACKER_PORT = 9099
CSV_TYPES = ("csv", "text/csv")
STARTUP_SECONDS = 900  # hosts start apart, and their names may resolve late


class UserError(Exception):
    """Something about the job that its author can put right; becomes the failure text."""


class Stop:
    """SIGTERM as a flag. A thread waits for it, as the main thread may sit in a library call that no handler interrupts."""

    def __init__(self) -> None:
        self.asked = False
        self._has_model = False
        self._lock = threading.Lock()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        signal.sigwait({signal.SIGTERM})
        with self._lock:
            self.asked = True
            if not self._has_model:
                say("SIGTERM before the first round: there is no model to save")
                os._exit(0)

    def has_model(self) -> None:
        """From now on a stop ends training after the current round, and the model is saved."""
        with self._lock:
            self._has_model = True


class Rounds(xgb.callback.TrainingCallback):
    """After every round: one line with the metrics, and an answer to SIGTERM that all hosts give in the same round."""

    def __init__(self, stop: Stop, hosts: int, *, talks: bool) -> None:
        self.stop, self.hosts, self.talks = stop, hosts, talks
        self.stopped = False

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: dict[str, Any]) -> bool:  # noqa: ARG002
        self.stop.has_model()
        if self.talks:
            scores = [
                f"{data}-{metric}:{values[-1]:.5f}" for data, log in evals_log.items() for metric, values in log.items()
            ]
            say("\t".join([f"[{epoch}]", *scores]))
        self.stopped = self.stop.asked
        if self.hosts > 1:
            self.stopped = bool(collective.allreduce(np.array([int(self.stopped)]), collective.Op.MAX)[0])
        return self.stopped


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["train"], nargs="?", default="train")
    parser.add_argument("--base", type=Path, default=Path("/opt/ml"), help="stands in for /opt/ml outside a container")
    parser.add_argument("--port", type=int, default=TRACKER_PORT, help="of the tracker, for hosts that share a machine")
    arguments = parser.parse_args()
    base = arguments.base
    try:
        return train(base, arguments.port, Stop())
    except UserError as error:
        fail(base, str(error), 2)
    except Exception as error:
        traceback.print_exc()
        fail(base, f"{type(error).__name__}: {error}", 1)


def train(base: Path, port: int, stop: Stop) -> int:
    config = base / "input" / "config"
    hyper = json.loads((config / "hyperparameters.json").read_text())
    channels = json.loads((config / "inputdataconfig.json").read_text())
    resources = json.loads((config / "resourceconfig.json").read_text())
    hosts, host = sorted(resources["hosts"]), resources["current_host"]
    master = host == hosts[0]

    rounds = positive_integer(hyper, "num_round")
    data = {name: load(base, name, channels[name]) for name in ("train", "validation") if name in channels}
    if "train" not in data:
        raise UserError("missing required channel: train")
    for name, (files, rows) in data.items():
        say(f"{host}: channel {name}: {len(rows)} rows in {len(files)} files: {', '.join(files) or 'none'}")
    if "fail_with" in hyper:
        code = positive_integer(hyper, "fail_with")
        text = (
            f"told to fail by the hyperparameter fail_with, after reading {len(data['train'][1])} rows of channel train"
        )
        fail(base, text, code)

    settings = {"objective": "reg:squarederror", "nthread": str(len(os.sched_getaffinity(0)))}
    settings |= {name: value for name, value in hyper.items() if name not in ("num_round", "fail_with")}
    tracker = join(hosts, host, port)
    matrices = {name: matrix(rows) for name, (_, rows) in same_width(data, len(hosts)).items()}
    progress = Rounds(stop, len(hosts), talks=master)
    log: dict[str, Any] = {}
    evals = [(part, name) for name, part in matrices.items()]
    model = xgb.train(
        settings, matrices["train"], rounds, evals=evals, evals_result=log, verbose_eval=False, callbacks=[progress]
    )
    leave(tracker, len(hosts))
    if master:
        (base / "model").mkdir(parents=True, exist_ok=True)
        (base / "model" / "xgboost-model").write_bytes(model.save_raw("ubj"))
        ended = "stopped" if progress.stopped else "finished"
        say(f"{ended} after {model.num_boosted_rounds()} rounds; model saved")
    seen = {name: {"files": files, "rows": len(rows)} for name, (files, rows) in data.items()}
    summary = {"host": host, "hosts": hosts, "channels": seen, "rounds": model.num_boosted_rounds(), "metrics": log}
    folder = base / "output" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{host}.json").write_text(json.dumps(summary, indent=1) + "\n")
    return 0


def load(base: Path, channel: str, described: dict[str, str]) -> tuple[list[str], np.ndarray]:
    """The names of a channel's files and all their rows; a host may have been given none."""
    if described.get("ContentType", "text/csv").split(";")[0].strip() not in CSV_TYPES:
        raise UserError(
            f"channel {channel}: contentType {described['ContentType']} is not supported; this program reads text/csv"
        )
    folder = base / "input" / "data" / channel
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "_")))
    parts = []
    for path in files:
        try:
            part = np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2)
        except ValueError as error:
            raise UserError(
                f"channel {channel}: {path.name} is not CSV of numbers without a header: {error}"
            ) from error
        if part.size:
            parts.append(part)
    if len({part.shape[1] for part in parts}) > 1:
        raise UserError(f"channel {channel}: its files have different numbers of columns")
    rows = np.concatenate(parts) if parts else np.empty((0, 0), np.float32)
    return [path.relative_to(folder).as_posix() for path in files], rows


def same_width(data: dict[str, tuple[list[str], np.ndarray]], hosts: int) -> dict[str, tuple[list[str], np.ndarray]]:
    """What every host must agree on before training: the number of columns, and that there is data at all."""
    mine = np.array([max(rows.shape[1] for _, rows in data.values()), len(data["train"][1])], np.int64)
    width, most_rows = collective.allreduce(mine, collective.Op.MAX) if hosts > 1 else mine
    if most_rows == 0:
        raise UserError("no host received training data")
    agreed = {}
    for name, (files, rows) in data.items():
        if rows.shape[1] not in (0, width):
            raise UserError(f"channel {name} has {rows.shape[1]} columns, others have {width}")
        agreed[name] = files, rows if len(rows) else np.empty((0, int(width)), np.float32)
    return agreed


def matrix(rows: np.ndarray) -> xgb.DMatrix:
    return xgb.DMatrix(rows[:, 1:], label=rows[:, 0])


def join(hosts: list[str], host: str, port: int) -> RabitTracker | None:
    """Make one group of all hosts. The first also runs the tracker through which they find each other."""
    if len(hosts) == 1:
        return None
    address = resolve(hosts[0])
    tracker = None
    if host == hosts[0]:
        tracker = RabitTracker(n_workers=len(hosts), host_ip=address, port=port, sortby="task", timeout=STARTUP_SECONDS)
        tracker.start()
    say(f"{host}: waiting for {len(hosts)} hosts at {hosts[0]}:{port}")
    deadline = time.monotonic() + STARTUP_SECONDS
    while not reached(address, port, hosts.index(host), last=time.monotonic() > deadline):
        time.sleep(0.5)
    return tracker


def reached(address: str, port: int, rank: int, *, last: bool) -> bool:
    """Join the group; False if the tracker does not listen yet. The library's own retries wait for seconds."""
    try:
        with xgb.config_context(verbosity=0):
            collective.init(
                dmlc_communicator="rabit",
                dmlc_tracker_uri=address,
                dmlc_tracker_port=port,
                dmlc_task_id=f"{rank:04d}",
                dmlc_retry=1,
                dmlc_timeout=STARTUP_SECONDS,
            )
    except xgb.core.XGBoostError as error:
        if last or "refused" not in str(error):
            raise
        return False
    return True


def leave(tracker: RabitTracker | None, hosts: int) -> None:
    """After success only: after an error it would wait for the others."""
    if hosts > 1:
        collective.finalize()
    if tracker is not None:
        tracker.wait_for(timeout=60)


def resolve(name: str) -> str:
    deadline = time.monotonic() + STARTUP_SECONDS
    while True:
        try:
            return socket.gethostbyname(name)
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(f"host {name} cannot be resolved: {error}") from error
            time.sleep(1)


def positive_integer(hyper: dict[str, str], name: str) -> int:
    if name not in hyper:
        raise UserError(f"missing required hyperparameter: {name}")
    if not hyper[name].isdecimal() or int(hyper[name]) < 1:
        raise UserError(f"hyperparameter {name} must be a whole number of at least 1, not {hyper[name]!r}")
    return int(hyper[name])


def fail(base: Path, text: str, code: int) -> NoReturn:
    """The contract of a failing job: its text in output/failure, and a code."""
    say(f"error: {text}")
    (base / "output").mkdir(parents=True, exist_ok=True)
    (base / "output" / "failure").write_text(text)
    os._exit(code)  # without the library's clean-up, which waits for hosts that will not answer


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
