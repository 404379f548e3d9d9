"""The demo as a newcomer runs it: three jobs, two models that are better than a guess, one failure that is explained."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.jobs import Kubectl, path_of
from tests.e2e.site import Site

ROOT = Path(__file__).resolve().parents[2]
NORMAL = ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def run_demo(kubectl: Kubectl) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hack.demo"],
        cwd=ROOT,
        env=os.environ | {"TRAINYARD_KUBECONFIG": kubectl.kubeconfig},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_demo_trains_two_models_and_explains_a_failure(site: Site, kubectl: Kubectl) -> None:
    try:
        done = run_demo(kubectl)
    finally:
        site.install()  # with the settings that the other tests count on
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "RMSE",
        "s3://trainyard-demo/models/xgboost-two-hosts/output/model.tar.gz",
        "exit code: 3",
        "describe tj",
    ):
        assert words in done.stdout

    jobs = {job["metadata"]["name"]: job["status"] for job in kubectl.list("trainingjobs", "trainyard-demo")}
    assert path_of(jobs["xgboost-one-host"]) == path_of(jobs["xgboost-two-hosts"]) == NORMAL
    assert jobs["xgboost-fails"]["trainingJobStatus"] == "Failed"
    described = kubectl("describe", "tj", "xgboost-fails", "-n", "trainyard-demo")
    assert "AlgorithmError: told to fail" in described
