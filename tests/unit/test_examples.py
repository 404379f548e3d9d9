"""The examples: manifests that the models accept to the letter, and a training program that keeps to its contract.

The program runs as it would in a container, with a directory in place of /opt/ml; two hosts are two processes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import xgboost
import yaml

from hack import demo_data, demo_jobs, ports
from trainyard.api.base import Model
from trainyard.api.platform import ExecutionRoleSpec
from trainyard.api.trainingjob import TrainingJobSpec

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TRAIN = EXAMPLES / "xgboost" / "train.py"
SPECS: Mapping[str, type[Model]] = {"TrainingJob": TrainingJobSpec, "ExecutionRole": ExecutionRoleSpec}
HYPER = {"num_round": "5", "max_depth": "3"}
ROWS = "".join(f"{price},{carat},{carat * carat}\n" for carat, price in enumerate(range(300, 4300, 100)))


def host(base: Path, name: str, hosts: list[str], hyper: Mapping[str, str], files: Mapping[str, str]) -> Path:
    """What a host's /opt/ml holds when training starts."""
    config = base / "input/config"
    config.mkdir(parents=True)
    channels = {name: {"TrainingInputMode": "File", "ContentType": "text/csv"} for name in ("train", "validation")}
    (config / "hyperparameters.json").write_text(json.dumps(hyper))
    (config / "inputdataconfig.json").write_text(json.dumps(channels))
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": name, "hosts": hosts}))
    for channel in ("train", "validation"):
        (base / "input/data" / channel).mkdir(parents=True)
    for file, content in files.items():
        (base / "input/data" / file).write_text(content)
    return base


def alone(base: Path, hyper: Mapping[str, str] = HYPER, rows: str = ROWS) -> Path:
    return host(base, "algo-1", ["algo-1"], hyper, {"train/a.csv": rows, "validation/a.csv": rows})


def start(base: Path, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(TRAIN), "train", "--base", str(base), "--port", str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


# -- manifests


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_every_manifest_says_only_what_the_models_know(path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        spec = SPECS[manifest["kind"]].model_validate(manifest["spec"]).to_dict()

        def kept(written: object, read: object, where: str) -> None:
            if isinstance(written, dict):
                assert isinstance(read, dict)
                for key, value in written.items():
                    assert key in read, f"{where}.{key} is no field"
                    kept(value, read[key], f"{where}.{key}")
            elif isinstance(written, list):
                assert isinstance(read, list)
                for index, value in enumerate(written):
                    kept(value, read[index], f"{where}[{index}]")
            else:
                assert written == read, where

        kept(manifest["spec"], spec, "spec")


def test_the_demo_finds_the_image_that_it_replaces() -> None:
    for name in ("one-host.yaml", "two-hosts.yaml", "fails.yaml"):
        assert (EXAMPLES / "xgboost" / name).read_text().count(demo_jobs.IMAGE_IN_EXAMPLES) == 1


# -- data


def test_the_data_is_divided_without_loss_and_always_alike() -> None:
    split = demo_data.split()
    assert (len(split.train), len(split.validation), len(split.held_out)) == (43152, 5394, 5394)
    assert sorted(split.train + split.validation + split.held_out) == sorted(demo_data.read())
    assert demo_data.split() == split


def test_the_objects_hold_every_row_once_with_the_price_first() -> None:
    split = demo_data.split()
    objects = split.objects()
    assert sorted(objects) == [
        *(f"train/part-{n}.csv" for n in range(5)),
        *(f"validation/part-{n}.csv" for n in range(2)),
    ]
    rows = b"".join(content for key, content in objects.items() if key.startswith("train/")).decode().splitlines()
    prices = sorted(float(row.split(",")[0]) for row in rows)
    assert prices == sorted(row[0] for row in split.train)


# -- the training program


def test_it_trains_a_model_and_prints_its_metrics(tmp_path: Path) -> None:
    code, said = ended(start(alone(tmp_path), 0))
    assert code == 0, said
    assert "\n[4]\ttrain-rmse:" in said
    assert "\tvalidation-rmse:" in said
    model = xgboost.Booster(model_file=bytearray((tmp_path / "model/xgboost-model").read_bytes()))
    assert (model.num_boosted_rounds(), model.num_features()) == (5, 2)


@pytest.mark.parametrize(
    ("hyper", "rows", "code", "text"),
    [
        (HYPER | {"fail_with": "3"}, ROWS, 3, "told to fail"),
        ({}, ROWS, 2, "missing required hyperparameter: num_round"),
        ({"num_round": "many"}, ROWS, 2, "num_round must be a whole number"),
        (HYPER, "price,carat\n" + ROWS, 2, "channel train: a.csv is not CSV of numbers without a header"),
        (HYPER, "", 2, "no host received training data"),
        (HYPER | {"objective": "reg:nonsense"}, ROWS, 1, "reg:nonsense"),
    ],
)
def test_a_failure_leaves_its_text_and_its_code(
    tmp_path: Path, hyper: dict[str, str], rows: str, code: int, text: str
) -> None:
    found, said = ended(start(alone(tmp_path, hyper, rows), 0))
    assert found == code, said
    assert text in (tmp_path / "output/failure").read_text()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("second", [{"train/b.csv": ROWS}, {}], ids=["both have data", "one has none"])
def test_two_hosts_train_one_model_that_the_first_saves(tmp_path: Path, second: dict[str, str]) -> None:
    hosts, port = ["127.0.0.1", "127.0.0.2"], ports.free()
    validation = {"validation/v.csv": ROWS}
    bases = [
        host(tmp_path / "1", hosts[0], hosts, HYPER, {"train/a.csv": ROWS} | validation),
        host(tmp_path / "2", hosts[1], hosts, HYPER, second | validation),
    ]
    for code, said in [ended(process) for process in [start(base, port) for base in bases]]:
        assert code == 0, said
    assert (bases[0] / "model/xgboost-model").exists()
    assert not (bases[1] / "model").exists()
    reports = [
        json.loads((base / f"output/data/{name}.json").read_text()) for base, name in zip(bases, hosts, strict=True)
    ]
    assert [report["channels"]["train"]["rows"] for report in reports] == [40, 40 * len(second)]
    assert reports[0]["metrics"] == reports[1]["metrics"]


def test_sigterm_ends_training_after_the_round_and_keeps_the_model(tmp_path: Path) -> None:
    process = start(alone(tmp_path, {"num_round": "1000000"}), 0)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("[3]"):
            break
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code == 0, said
    assert "stopped after" in said
    assert (tmp_path / "model/xgboost-model").exists()


def test_sigterm_while_waiting_for_the_other_host_ends_at_once(tmp_path: Path) -> None:
    process = start(host(tmp_path, "127.0.0.1", ["127.0.0.1", "127.0.0.2"], HYPER, {"train/a.csv": ROWS}), ports.free())
    assert process.stdout is not None
    for line in process.stdout:
        if "waiting for 2 hosts" in line:
            break
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0
    assert time.monotonic() - began < 5
