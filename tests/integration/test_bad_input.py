"""Damaged manifests, a real apiserver and a real operator: refused or explained, and neither other jobs nor the operator are harmed.

`make test-long` sends ten times as many.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.jobs import Kubectl, eventually
from tests.support.mutations import Mutant, mutants
from tests.support.neighbours import Control, place, unharmed
from tests.support.rest import JOBS, PODS, Raw, Rest
from trainyard.api import names

COUNT = 2_000 if os.environ.get("TRAINYARD_LONG") == "1" else 200
SEED = 20261124
BATCH, EXPLAINED_WITHIN = 200, 60.0
# A field's path, of the job or of the object that was refused.
FIELD = re.compile(
    r"\b(spec|metadata|ObjectMeta)(\.|\[)\w|\b(resourceConfig|trainingJobName|roleARN|stoppingCondition)\b"
)


def unexplained(job: Raw, pods: int) -> str:
    """What a user of this job would miss; empty if it runs as a valid one, or says why not and names the field."""
    status, spec = job.get("status", {}), job["spec"]
    told = {condition["type"]: condition for condition in status.get("conditions", [])}
    if not told or not status.get("trainingJobStatus"):
        return "no status"
    ready = told["Ready"]
    if told["Accepted"]["status"] == "False" or told["Failed"]["status"] == "True" or ready["reason"] == "PodsRefused":
        said = told["Accepted"]["message"] if told["Accepted"]["status"] == "False" else ready["message"]
        return "" if FIELD.search(said) else f"names no field: {said}"
    if told["Finished"]["status"] == "True":
        return "" if spec.get("stop") else f"ended: {status['trainingJobStatus']}"
    if spec.get("suspend"):
        return "" if told["Suspended"]["status"] == "True" else f"not suspended: {ready}"
    wanted = spec["resourceConfig"].get("instanceCount", 1)
    return "" if pods == wanted else f"{pods} of {wanted} pods: {ready}"


def send(rest: Rest, namespace: str, mutant: Mutant) -> tuple[str, str]:
    """The name of the job that was made, or of a refusal what is wrong with it."""
    validation = "Strict" if mutant.strict else "Ignore"
    code, answer = rest("POST", f"{JOBS.format(namespace)}?fieldValidation={validation}", mutant.text)
    if code == 201:
        return answer["metadata"]["name"], ""
    fields = [cause.get("field") for cause in answer.get("details", {}).get("causes", [])]
    named = any(fields) or FIELD.search(answer["message"]) or answer["reason"] == "AlreadyExists"
    return "", "" if code in (400, 409, 422) and named else f"refused with {code}: {answer['message'][:300]}"


def sent(rest: Rest, namespace: str, first: int) -> tuple[dict[str, Mutant], list[str]]:
    """The mutants of one batch that were accepted, by name, and what is wrong with how others were refused."""
    accepted, wrong = dict[str, Mutant](), list[str]()
    for mutant in mutants(SEED, first, BATCH):
        name, complaint = send(rest, namespace, mutant)
        if complaint:
            wrong.append(f"{mutant.number} {mutant.did}: {complaint}")
        if name:
            accepted[name] = mutant
    return accepted, wrong


def explained(rest: Rest, namespace: str, accepted: dict[str, Mutant]) -> list[str]:
    """Which of the jobs that are not healthy leave their users without a word when the time is over."""
    left: dict[str, str] = {}

    def all_are() -> bool:
        nonlocal left
        pods = Counter(pod["metadata"]["labels"][names.LABEL_JOB_NAME] for pod in rest.items(PODS.format(namespace)))
        jobs = {job["metadata"]["name"]: job for job in rest.items(JOBS.format(namespace))}
        left = {
            name: complaint
            for name, job in jobs.items()
            if not name.startswith("healthy-") and "deletionTimestamp" not in job["metadata"]
            if (complaint := unexplained(job, pods[name]))
        }
        return not left

    try:
        eventually("all are explained", all_are, within=EXPLAINED_WITHIN, every=1.0)
    except AssertionError:
        return [f"{name} {accepted[name].did if name in accepted else ''}: {why}" for name, why in left.items()]
    return []


@pytest.mark.timeout(1800)
def test_a_damaged_manifest_is_refused_or_explained_and_harms_no_other_job(
    crds: Kubectl, rest: Rest, tmp_path: Path
) -> None:
    with place(crds, rest, tmp_path / "log") as operator:
        namespace, wrong, count = operator.namespace, list[str](), 0
        with Control(rest, namespace) as control:
            for first in range(0, COUNT, BATCH):
                accepted, complaints = sent(rest, namespace, first)
                wrong += complaints + explained(rest, namespace, accepted)
                count += len(accepted)
                for name in accepted:
                    rest("DELETE", f"{JOBS.format(namespace)}/{name}")
        wrong += control.wrong + unharmed(operator)
        print(f"{COUNT} mutants, {count} accepted; healthy jobs took {[round(took, 1) for took in control.through]} s")
        assert count > COUNT // 10
        assert not wrong, "\n".join(wrong)
