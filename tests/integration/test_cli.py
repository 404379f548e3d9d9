"""The command line client on a real apiserver: what it writes is accepted, what it changes is changed, what it may not is said."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.jobs import Bucket, Kubectl, eventually, manifest
from tests.support.cli import Cli, Done, runner

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "data" / "sagemaker").iterdir())
REQUEST: dict[str, Any] = {
    "TrainingJobName": "Diamonds-2026",
    "RoleArn": "arn:aws:iam::123456789012:role/demo",
    "AlgorithmSpecification": {"TrainingImage": "registry.example.com/train:1", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://models"},
    "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
}
# What YAML could take for something else, and what is hard to write in it.
TEXTS = [
    "", " ", "~", "null", "yes", "No", "y", "1e3", "0x1F", "012", "0o17", "1_000", "1:30", "2026-11-23", ".5", "+.inf", "=", "<<",
    "- a", "a: b", "#c", "a #c", "'", '"', "\\", "\t", "\r\n", "a\n", "\n a\n\n", "x " * 300, "\x85", "\N{LINE SEPARATOR}", "\x01",
    "\x7f", "\N{ZERO WIDTH NO-BREAK SPACE}", "ü", "😀", "{}", "*a", "&a", "!b", "%", "@", "`", "---", "...", "S3Uri", "s3URI",
]  # fmt: skip


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], kubeconfig: Path) -> Cli:
    run = runner(capsys)

    def on_the_cluster(command: str, *arguments: object) -> Done:
        offline = command in ("convert", "validate") or "--kubeconfig" in arguments
        return run(command, *arguments, *(() if offline else ("--kubeconfig", kubeconfig)))

    return on_the_cluster


@pytest.fixture
def job(crds: Kubectl, scratch: str) -> str:
    """A job that nobody runs: its role exists nowhere."""
    made = manifest("sample", "image:1", Bucket(client=None, name="bucket"))
    made["metadata"]["namespace"] = scratch
    made["spec"]["roleARN"] = "arn:aws:iam::123456789012:role/none"
    crds.apply(made)
    return "sample"


def spec(kubectl: Kubectl, namespace: str) -> dict[str, Any]:
    found = kubectl.get("trainingjob", "sample", namespace)
    assert found is not None
    wanted: dict[str, Any] = found["spec"]
    return wanted


# -- convert and validate


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_validate_and_the_apiserver_give_one_verdict_on_what_convert_writes(
    cli: Cli, crds: Kubectl, scratch: str, tmp_path: Path, sample: Path
) -> None:
    made = tmp_path / "job.yaml"
    assert cli("convert", sample, "-n", scratch, "-o", made).code == 0
    said = crds("apply", "--dry-run=server", "-f", str(made), check=False)
    findings = cli("validate", made).out.splitlines()
    assert ("(server dry run)" in said) == (not findings), said + "\n".join(findings)
    # The apiserver looks for unknown fields first, and at values only where there are none.
    found = [finding.removeprefix(f"{made}: ").split(": ", 1) for finding in findings]
    unknown = {path for path, message in found if message.startswith("unknown field")}
    assert set(re.findall(r'unknown field "([^"]+)"', said)) == unknown
    if not unknown:
        assert [path for path, _ in found if path.rpartition(".")[2] not in said] == []


def test_a_manifest_of_ack_is_accepted_once_converted(cli: Cli, crds: Kubectl, scratch: str, tmp_path: Path) -> None:
    (ack,) = [sample for sample in SAMPLES if sample.name.startswith("ack-")]
    cli("convert", ack, "-n", scratch, "-o", tmp_path / "job.yaml")
    assert "(server dry run)" in crds("apply", "--dry-run=server", "-f", str(tmp_path / "job.yaml"))


def test_a_request_comes_back_from_the_cluster_as_it_was_sent(
    cli: Cli, crds: Kubectl, scratch: str, tmp_path: Path
) -> None:
    sent = copy.deepcopy(REQUEST)
    sent["HyperParameters"] = {f"{index}{text}"[:250]: text for index, text in enumerate(TEXTS)}
    sent["HyperParameters"] |= {text: text for text in TEXTS if 0 < len(text) < 250}
    sent["HyperParameters"] = dict(list(sent["HyperParameters"].items())[:100])
    sent["Environment"] = {"yes": "1e3", "y": "", "N": "null"}
    (tmp_path / "request.json").write_text(json.dumps(sent))
    cli("convert", tmp_path / "request.json", "-n", scratch, "-o", tmp_path / "job.yaml")
    crds("apply", "-f", str(tmp_path / "job.yaml"))
    # As JSON: kubectl cannot write control characters as YAML.
    live = crds("get", "trainingjob", "diamonds-2026", "-n", scratch, "-o", "json")
    (tmp_path / "live.json").write_text(live)
    back = cli("convert", tmp_path / "live.json", "--to", "request")
    assert back.code == 0, back.err
    returned = json.loads(back.out)
    assert {name: returned[name] for name in ("HyperParameters", "Environment")} == {
        name: sent[name] for name in ("HyperParameters", "Environment")
    }
    # What the apiserver filled in is all that is new.
    for name, value in sent.items():
        assert returned[name] == value or returned[name].items() >= value.items(), name
    assert "metadata.uid" in back.err


def test_a_live_object_converted_is_a_manifest_to_apply_again(
    cli: Cli, crds: Kubectl, scratch: str, job: str, tmp_path: Path
) -> None:
    (tmp_path / "live.yaml").write_text(crds("get", "trainingjob", job, "-n", scratch, "-o", "yaml"))
    cli("convert", tmp_path / "live.yaml", "--name", "again", "-o", tmp_path / "again.yaml")
    assert set(yaml.safe_load((tmp_path / "again.yaml").read_text())["metadata"]) <= {"name", "namespace", "labels"}
    assert "created" in crds("create", "-f", str(tmp_path / "again.yaml"))


# -- stop, suspend, resume


def test_stop_sets_stop(cli: Cli, crds: Kubectl, scratch: str, job: str) -> None:
    done = cli("stop", job, "-n", scratch)
    assert (done.code, done.out) == (0, "")
    assert "TrainingJob sample is told to stop." in done.err
    assert spec(crds, scratch)["stop"] is True
    found = crds("get", "trainingjob", job, "-n", scratch, "-o", "yaml", "--show-managed-fields")
    assert "manager: trainyard-cli" in found


def test_suspend_and_resume_set_suspend(cli: Cli, crds: Kubectl, scratch: str, job: str) -> None:
    assert cli("suspend", job, "-n", scratch).code == 0
    assert spec(crds, scratch)["suspend"] is True
    assert cli("resume", job, "-n", scratch).code == 0
    assert spec(crds, scratch)["suspend"] is False


def test_stop_with_wait_ends_when_the_job_has(cli: Cli, crds: Kubectl, scratch: str, job: str) -> None:
    """Whoever ends it: an operator on this cluster, or else this test in its place."""

    def end() -> None:
        eventually("the stop", lambda: spec(crds, scratch).get("stop"), within=30)
        condition = {"type": "Finished", "status": "True", "reason": "Stopped", "message": "", "observedGeneration": 2}
        status = {
            "trainingJobStatus": "Stopped",
            "secondaryStatus": "Stopped",
            "conditions": [condition | {"lastTransitionTime": "2026-11-24T08:00:00Z"}],
        }
        patch = json.dumps({"status": status})
        crds("patch", "trainingjob", job, "-n", scratch, "--subresource=status", "--type=merge", "-p", patch)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cli, "stop", job, "-n", scratch, "--wait")
        try:
            end()
        except BaseException:
            crds("delete", "trainingjob", job, "-n", scratch)  # or the client would wait for ever
            raise
        done = waiting.result()
    assert (done.code, done.out) == (0, "Stopped\n"), done.err
    assert "TrainingJob sample: Stopped" in done.err
    again = cli("stop", job, "-n", scratch)
    assert (again.code, again.out) == (1, "")
    assert "error: TrainingJob sample has ended already: Stopped" in again.err


def test_kubectl_runs_the_client_as_its_plugin(
    crds: Kubectl, scratch: str, job: str, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    done = subprocess.run(
        [crds.program, "trainyard", "stop", job, "-n", scratch], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "TrainingJob sample is told to stop." in done.stderr
    assert spec(crds, scratch)["stop"] is True
    helped = subprocess.run(
        [crds.program, "trainyard", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Usage: kubectl trainyard" in helped.stdout


def test_a_job_that_does_not_exist_is_one_line(cli: Cli, crds: Kubectl, scratch: str) -> None:
    done = cli("stop", "none", "-n", scratch)
    assert (done.code, done.err) == (1, f"error: there is no TrainingJob none in namespace {scratch}\n")


@pytest.mark.usefixtures("job")
def test_a_missing_right_is_one_line_that_names_it(
    cli: Cli, crds: Kubectl, scratch: str, kubeconfig: Path, tmp_path: Path
) -> None:
    crds("create", "serviceaccount", "nobody", "-n", scratch)
    token = crds("create", "token", "nobody", "-n", scratch).strip()
    content = yaml.safe_load(kubeconfig.read_text())
    content["users"] = [{"name": user["name"], "user": {"token": token}} for user in content["users"]]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
    done = cli("stop", "sample", "-n", scratch, "--kubeconfig", tmp_path / "kubeconfig")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: no right to get TrainingJobs in namespace {scratch}: ")
    assert f"system:serviceaccount:{scratch}:nobody" in done.err
    assert done.err.count("\n") == 1
    wrong = (tmp_path / "kubeconfig").read_text().replace(token, "wrong")
    (tmp_path / "kubeconfig").write_text(wrong)
    refused = cli("stop", "sample", "-n", scratch, "--kubeconfig", tmp_path / "kubeconfig")
    assert "does not accept the credentials of context" in refused.err
    assert refused.err.count("\n") == 1
