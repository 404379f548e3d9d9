"""What `kubectl wait` and kstatus make of jobs on a real apiserver. No operator runs: its code makes each status, the test writes it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.jobs import Kubectl, Manifest, eventually
from tests.support.lives import Life, stages
from tests.unit.controller.test_readers import TABLE, read

# A job without outputDataConfig is one that the apiserver refuses, and it deletes a job without finalizers at once.
STAGES = [stage for stage in stages() if stage.reason != "InvalidSpec" and stage.row != "being deleted"]


def name_of(number: int) -> str:
    return f"stage-{number}"


def manifest(life: Life, namespace: str, name: str, **parts: Any) -> Manifest:
    kind = {key: life.raw[key] for key in ("apiVersion", "kind")}
    return kind | {"metadata": {"name": name, "namespace": namespace}} | parts


@pytest.fixture(scope="module")
def namespace(crds: Kubectl) -> Iterator[str]:
    name = f"it-{uuid.uuid4().hex[:8]}"
    crds("create", "namespace", name)
    yield name
    crds("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def jobs(crds: Kubectl, namespace: str, undisturbed: None) -> list[Manifest]:
    """In the order of STAGES, as name_of says: created, changed, and the status written."""
    named = {name_of(number): stage.life for number, stage in enumerate(STAGES)}
    crds.apply(*(manifest(life, namespace, name, spec=life.first_spec) for name, life in named.items()))
    crds.apply(*(manifest(life, namespace, name, spec=life.raw["spec"]) for name, life in named.items()))
    written = [
        manifest(life, namespace, name, spec=life.raw["spec"], status=life.raw["status"])
        for name, life in named.items()
    ]
    content = json.dumps({"apiVersion": "v1", "kind": "List", "items": written})
    crds("apply", "--server-side", "--subresource=status", "-f", "-", stdin=content)
    found = {job["metadata"]["name"]: job for job in crds.list("tj", namespace)}
    for name, life in named.items():
        assert found[name]["metadata"]["generation"] == life.raw["metadata"]["generation"]
    return [found[name] for name in named]


def test_a_job_that_no_operator_has_seen_is_in_progress(crds: Kubectl, scratch: str, undisturbed: None) -> None:
    life = Life()
    crds.apply(manifest(life, scratch, "new", spec=life.first_spec))
    # An apiserver that had other CRDs before takes a moment to serve by these.
    eventually("the default", lambda: (crds.get("tj", "new", scratch) or {}).get("status"), within=20)
    (job,) = crds.list("tj", scratch)
    assert job["status"] == {"observedGeneration": -1}
    (said,) = read(job)
    assert {reader: verdict["status"] for reader, verdict in said.items()} == {
        "kstatus": "InProgress",
        "Flux": "InProgress",
        "Argo CD": "Progressing",
    }


def test_each_reader_says_the_same_of_what_the_apiserver_has(jobs: list[Manifest]) -> None:
    said = [{reader: found["status"] for reader, found in verdicts.items()} for verdicts in read(*jobs)]
    assert said == [TABLE[stage.row].readers for stage in STAGES]


@pytest.mark.parametrize("condition", ["Ready", "Suspended", "Complete", "Failed", "Finished"])
def test_kubectl_waits_for_each_condition_where_the_page_has_it(
    crds: Kubectl, namespace: str, jobs: list[Manifest], condition: str
) -> None:
    asked = [f"tj/{name_of(number)}" for number in range(len(jobs))]
    said = crds("wait", *asked, "-n", namespace, f"--for=condition={condition}", "--timeout=0s", check=False)
    met = set(re.findall(r"/(stage-\d+) condition met", said))
    assert met == {name_of(number) for number, stage in enumerate(STAGES) if condition in TABLE[stage.row].true}, said


def test_kubectl_waits_for_a_status_by_its_path(crds: Kubectl, namespace: str, jobs: list[Manifest]) -> None:
    asked = [f"tj/{name_of(number)}" for number in range(len(jobs))]
    path = "--for=jsonpath={.status.trainingJobStatus}=Completed"
    said = crds("wait", *asked, "-n", namespace, path, "--timeout=0s", check=False)
    met = set(re.findall(r"/(stage-\d+) condition met", said))
    assert met == {job["metadata"]["name"] for job in jobs if job["status"].get("trainingJobStatus") == "Completed"}
    assert met
