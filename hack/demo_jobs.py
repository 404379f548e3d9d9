"""The demo's jobs as a user would run them: `kubectl apply`, then watching the status until it is final."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hack import shell
from hack.console import Problem, say

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "xgboost"
IMAGE_IN_EXAMPLES = "registry.example.com/xgboost-train:1"
TERMINAL = ("Completed", "Failed", "Stopped")
PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig, in one namespace."""

    program: Path
    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        command = (self.program, "--kubeconfig", self.kubeconfig, "--namespace", self.namespace)
        return shell.output(*command, *arguments, stdin=stdin)

    def apply(self, *manifests: dict[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": manifests}
        self("apply", "-f", "-", stdin=json.dumps(items))


@dataclass(frozen=True)
class Run:
    """A job that has ended."""

    name: str
    status: dict[str, Any]

    @property
    def outcome(self) -> str:
        return str(self.status["trainingJobStatus"])

    @property
    def failure_reason(self) -> str:
        return str(self.status.get("failureReason", "no failureReason"))

    @property
    def model_uri(self) -> str:
        return str(self.status["modelArtifacts"]["s3ModelArtifacts"])

    @property
    def output_uri(self) -> str:
        """Of what it wrote to /opt/ml/output/data: beside the model."""
        return self.model_uri.removesuffix("model.tar.gz") + "output.tar.gz"

    def phases(self) -> list[tuple[str, float]]:
        """What it spent its time on: secondary status and seconds, without the final one."""
        spans = [span for span in self.status["secondaryStatusTransitions"] if span["status"] not in TERMINAL]
        return [(span["status"], (_time(span["endTime"]) - _time(span["startTime"])).total_seconds()) for span in spans]


def submit(kubectl: Kubectl, file: str, image: str) -> str:
    """Apply one of the example manifests with the image built here; returns the job's name."""
    text = (EXAMPLES / file).read_text()
    if IMAGE_IN_EXAMPLES not in text:
        raise Problem(f"examples/xgboost/{file} does not name {IMAGE_IN_EXAMPLES} any more")
    return (
        kubectl("apply", "-f", "-", "-o", "name", stdin=text.replace(IMAGE_IN_EXAMPLES, image)).strip().split("/")[-1]
    )


def follow(kubectl: Kubectl, name: str) -> Run:
    """Print every change of the status until it is final."""
    began, shown, told = time.monotonic(), 0, ""
    while True:
        status = json.loads(kubectl("get", "trainingjob", name, "-o", "json")).get("status", {})
        elapsed = time.monotonic() - began
        transitions = status.get("secondaryStatusTransitions", [])
        for span in transitions[shown:]:
            say(f"  {elapsed:5.1f} s  {name:18} {span['status']:12} {span['statusMessage']}")
        shown = len(transitions)
        if status.get("trainingJobStatus") in TERMINAL:
            return Run(name, status)
        trouble = _trouble(status)
        if trouble and trouble != told:
            say(f"  {elapsed:5.1f} s  {name:18} {trouble}")
            told = trouble
        if elapsed > PATIENCE_SECONDS:
            raise Problem(
                f"{name} has not ended after {PATIENCE_SECONDS} s, see: "
                f"kubectl --kubeconfig {kubectl.kubeconfig} -n {kubectl.namespace} describe tj {name}"
            )
        time.sleep(0.5)


def _trouble(status: dict[str, Any]) -> str:
    """What keeps the job from going on, in its own words."""
    waiting = ("Unschedulable", "ImagePullFailing", "PodsRefused", "UploadBlocked")
    return next(
        (
            f"{condition['reason']}: {condition['message']}"
            for condition in status.get("conditions", [])
            if condition["reason"] in waiting or (condition["type"] == "Accepted" and condition["status"] == "False")
        ),
        "",
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
