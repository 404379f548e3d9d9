"""Jobs that keep checkpoints: where training sees the directory, when hosts are asked, what the condition says, and how they end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import objects as o
from tests.unit.controller.test_failures import finish
from trainyard.api.reasons import Reason
from trainyard.api.report import CheckpointReport, Phase, Report, Result
from trainyard.api.status import JobStatus, SecondaryStatus
from trainyard.controller.app.memory import Memories
from trainyard.controller.app.reports import CHECKPOINTS_SECONDS, INTERVAL_SECONDS, Reports
from trainyard.controller.app.workqueue import WorkQueue
from trainyard.controller.core import keeping
from trainyard.controller.core.activity import activity
from trainyard.controller.core.conditions import conditions
from trainyard.controller.core.job import Job
from trainyard.controller.core.jobplan import job_plan
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.pods import pod as pod_of
from trainyard.controller.core.policies import decide
from trainyard.controller.core.references import Resolved
from trainyard.controller.core.snapshot import Snapshot

KEEPS: dict[str, Any] = {"checkpointConfig": {"s3URI": "s3://models/ck"}}
IN_STEP = CheckpointReport(files=3, last_pass_at=o.at(30))
REFUSED = CheckpointReport(trouble="cannot write to s3://models/ck/a (AccessDenied: no)")


def mounts(job: Job) -> dict[str, str]:
    """Sub-path of the storage volume -> where training sees it."""
    found = o.snapshot(job).resolution
    assert isinstance(found, Resolved)
    (training,) = [c for c in pod_of(job, "algo-1", found, o.OPTIONS)["spec"]["containers"] if c["name"] == "training"]
    return {mount["subPath"]: mount["mountPath"] for mount in training["volumeMounts"] if "subPath" in mount}


def live(**checkpoints: CheckpointReport | None) -> dict[str, Report]:
    """What sidecars say, by pod uid; `algo_1` is algo-1."""
    named = {name.replace("_", "-"): kept for name, kept in checkpoints.items()}
    return {f"pod-{host}": Report(host=host, phase=Phase.TRAINING, checkpoints=kept) for host, kept in named.items()}


def two(reports: dict[str, Report], before: JobStatus | None = None, **job: Any) -> Snapshot:
    status = before.to_dict() if before is not None else None
    return o.snapshot(
        o.job(hosts=2, status=status, **(KEEPS | job)), [o.training("algo-1"), o.training("algo-2")], reports=reports
    )


def test_training_sees_the_directory_where_the_job_wants_it_and_nowhere_else() -> None:
    assert mounts(o.job())["checkpoints"] == "/opt/ml/checkpoints"
    assert mounts(o.job(**KEEPS))["checkpoints"] == "/opt/ml/checkpoints"
    elsewhere = o.job(checkpointConfig={"s3URI": "s3://models/ck", "localPath": "/work/ck/"})
    assert mounts(elsewhere) == mounts(o.job()) | {"checkpoints": "/work/ck"}


def test_the_plan_has_the_path_as_it_was_written_and_the_roles_interval() -> None:
    job = o.job(checkpointConfig={"s3URI": "s3://models/ck", "localPath": "/work/ck/"})
    found = o.snapshot(job, roles=(o.role(checkpointIntervalSeconds=7),)).resolution
    assert isinstance(found, Resolved)
    kept = job_plan(job, found, o.OPTIONS).checkpoints
    assert kept is not None
    assert (kept.s3_uri, kept.local_path, kept.interval_seconds) == ("s3://models/ck", "/work/ck/", 7)
    assert job_plan(o.job(), found, o.OPTIONS).checkpoints is None


CLAIMS: dict[str, tuple[dict[str, Report], tuple[bool, Reason] | None]] = {
    "nobody has spoken": ({}, None),
    "no look is done": (live(algo_1=CheckpointReport(), algo_2=CheckpointReport()), None),
    "one of two has looked": (live(algo_1=IN_STEP), None),
    "all have": (live(algo_1=IN_STEP, algo_2=IN_STEP), (True, Reason.CHECKPOINTS_KEPT)),
    "one is refused": (live(algo_1=IN_STEP, algo_2=REFUSED), (False, Reason.CHECKPOINTS_NOT_KEPT)),
    "one is refused and the other silent": (live(algo_2=REFUSED), (False, Reason.CHECKPOINTS_NOT_KEPT)),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_the_condition_says_whether_checkpoints_are_in_s3(case: str) -> None:
    reports, expected = CLAIMS[case]
    claim = keeping.claim(two(reports))
    assert (claim and claim[:2]) == expected
    if expected == (False, Reason.CHECKPOINTS_NOT_KEPT):
        assert claim is not None
        assert claim[2] == "algo-2: cannot write to s3://models/ck/a (AccessDenied: no)"


def test_a_job_without_checkpoints_has_no_such_condition() -> None:
    assert keeping.claim(two(live(algo_1=IN_STEP, algo_2=IN_STEP), checkpointConfig=None)) is None


def test_what_was_said_stays_said_until_all_hosts_have_spoken_again() -> None:
    snapshot = two(live(algo_1=IN_STEP, algo_2=REFUSED))
    decision = decide(snapshot)
    found = conditions(snapshot, decision, activity(snapshot, decision), SecondaryStatus.TRAINING)
    status = JobStatus(conditions=found)
    silent = keeping.claim(two({}, before=status))
    assert silent is not None
    assert silent[:2] == (False, Reason.CHECKPOINTS_NOT_KEPT)


class Silent:
    async def call(self, *_: object) -> None:
        return None


@pytest.mark.parametrize(
    ("pod", "spec", "seconds"),
    [
        (o.training(), KEEPS, CHECKPOINTS_SECONDS),
        (o.training(), {}, None),
        (o.staging(), KEEPS, INTERVAL_SECONDS),
        (o.uploading(), KEEPS, INTERVAL_SECONDS),
        (o.over(), KEEPS, None),
    ],
    ids=["training", "training without", "staging", "uploading", "over"],
)
async def test_hosts_that_keep_checkpoints_are_asked_now_and_then(
    pod: Pod, spec: dict[str, Any], seconds: float | None
) -> None:
    reports = Reports(Silent(), Memories(), WorkQueue[tuple[str, str]]())
    reports.follow((o.NAMESPACE, o.NAME), o.snapshot(o.job(**spec), [pod]))
    wanted = reports._wanted.get(pod.uid)
    assert (wanted.every if wanted else None) == seconds


async def test_a_host_that_begins_to_upload_is_asked_soon() -> None:
    reports = Reports(Silent(), Memories(), WorkQueue[tuple[str, str]]())
    key = (o.NAMESPACE, o.NAME)
    reports.follow(key, o.snapshot(o.job(**KEEPS), [o.training()]))
    await reports._ask("pod-algo-1")
    before = reports._wanted["pod-algo-1"].due
    reports.follow(key, o.snapshot(o.job(**KEEPS), [o.uploading()]))
    assert reports._wanted["pod-algo-1"].due <= before - CHECKPOINTS_SECONDS + 2 * INTERVAL_SECONDS


def test_a_job_whose_other_host_could_not_keep_its_checkpoints_has_not_completed() -> None:
    text = "ClientError: Artifact upload failed:cannot write to s3://models/ck/a (AccessDenied: no)"
    lost = o.report("algo-2", Result.FAILED, reason="AccessDenied", message=text)
    verdict = finish(o.over("algo-1"), o.over("algo-2", message=lost), **KEEPS)
    assert (verdict.reason, verdict.failure_reason, verdict.committed) == (Reason.ACCESS_DENIED, text, True)
