"""What the demo's models are worth: fetched from S3 as a user would, scored on rows that never left this machine."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import xgboost

from hack.console import Problem
from hack.demo_data import FEATURES, Split

MODEL_FILE = "xgboost-model"


@dataclass(frozen=True)
class Score:
    """On the held-out rows. `baseline` is the RMSE of always saying the mean price of the training rows."""

    rmse: float
    r2: float
    baseline: float
    rows: int
    leading: list[str]  # the features that the model gained most from, best first


def score(client: Any, model_uri: str, split: Split) -> Score:
    model = xgboost.Booster()
    model.load_model(bytearray(files(client, model_uri)[MODEL_FILE]))
    rows = np.array(split.held_out, np.float32)
    prices = rows[:, 0]
    errors = prices - model.predict(xgboost.DMatrix(rows[:, 1:]))
    mean = float(np.mean([row[0] for row in split.train]))
    gains: dict[str, Any] = model.get_score(importance_type="total_gain")
    return Score(
        rmse=_rms(errors),
        r2=1 - float(np.sum(errors**2) / np.sum((prices - prices.mean()) ** 2)),
        baseline=_rms(prices - mean),
        rows=len(rows),
        leading=[FEATURES[int(name.removeprefix("f"))] for name in sorted(gains, key=gains.__getitem__, reverse=True)],
    )


def shares(client: Any, output_uri: str) -> dict[str, list[str]]:
    """Host -> the training objects it saw, from what the program wrote on each host."""
    reports = [json.loads(content) for name, content in files(client, output_uri).items() if name.endswith(".json")]
    return {report["host"]: report["channels"]["train"]["files"] for report in reports}


def files(client: Any, uri: str) -> dict[str, bytes]:
    """The files of an archive in S3."""
    location = urlsplit(uri)
    try:
        body = client.get_object(Bucket=location.netloc, Key=location.path.lstrip("/"))["Body"].read()
    except client.exceptions.NoSuchKey:
        raise Problem(f"{uri} is not there, although the job says so") from None
    found = {}
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                found[member.name.removeprefix("./")] = content.read()
    return found


def _rms(values: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
