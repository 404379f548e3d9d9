"""The operator against a real apiserver. No kubelet takes part: no node fits the pods, and the tests write their states."""

from __future__ import annotations

import json
import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.jobs import Job, Kubectl, Manifest, eventually, slug
from tests.support import objects as o
from tests.support.nodes import become
from tests.support.operator import OperatorProcess, ahead
from tests.support.unscheduled import IMAGE, NOWHERE, Births, prepare, submit
from trainyard.api import names

LONG = os.environ.get("TRAINYARD_LONG") == "1"


@pytest.fixture(scope="module")
def namespace(crds: Kubectl) -> Iterator[str]:
    name = f"it-{uuid.uuid4().hex[:8]}"
    crds("create", "namespace", name)
    prepare(crds, name)
    yield name
    crds("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def operator(crds: Kubectl, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    # What a job names is waited for longer than a busy machine takes for the next command.
    patient = {"TRAINYARD_REFERENCE_TIMEOUT_SECONDS": "8"}
    process = OperatorProcess(crds.kubeconfig, namespace, tmp_path_factory.mktemp("operator") / "log", patient)
    process.start()
    yield process
    process.kill()


@pytest.fixture
def alone(crds: Kubectl, scratch: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that a test may kill, not started yet, with a namespace of its own."""
    prepare(crds, scratch)
    process = OperatorProcess(crds.kubeconfig, scratch, tmp_path / "log")
    yield process
    process.kill()


def pods_made(job: Job, count: int) -> list[Manifest]:
    eventually(f"{count} pods", lambda: len(job.pods) == count, within=20, every=0.05)
    return job.pods


def at_least(job: Job, count: int) -> None:
    eventually(f"{count} pods", lambda: len(job.pods) >= count, within=20, every=0.01)


def all_recorded(job: Job, count: int) -> None:
    eventually("all are recorded", lambda: len(job.status.get("hosts", [])) == count, within=20)


def compared_again(operator: OperatorProcess) -> None:
    """Another full compare has ended."""
    name = "trainyard_resync_timestamp_seconds"
    last = operator.metric(name)
    eventually("a compare ends", lambda: operator.metric(name) > last, within=20)


def resource_versions(crds: Kubectl, namespace: str) -> dict[str, str]:
    found = [entry["metadata"] for kind in ("tj", "pods", "configmaps") for entry in crds.list(kind, namespace)]
    return {entry["name"]: entry["resourceVersion"] for entry in found}


def settled_writes(operator: OperatorProcess) -> dict[str, float]:
    """All writes so far, once no more come: Events follow a status and are written when there is time."""
    written: dict[str, float] = {}

    def settled() -> bool:
        nonlocal written
        before, written = written, operator.writes()
        return bool(written) and before == written

    eventually("the writes are over", settled, within=20, every=1.5)
    return written


def run_through(job: Job, pod: Manifest, code: int = 0) -> None:
    """Training, then over with the given exit code."""
    staged = o.staged()
    become(job, pod, staged | {"training": o.running(6), "hold": o.running(6)})
    job.reaches("Training", within=30)
    become(job, pod, staged | {"training": o.ended(6, 60, code), "hold": o.running(6)})
    job.reaches("Uploading", within=30)
    over = staged | {
        "training": o.ended(6, 60, code),
        "hold": o.ended(6, 70),
        "sidecar": o.ended(2, 70, message=o.report()),
    }
    become(job, pod, over, phase="Failed" if code else "Succeeded")


def table(said: str) -> dict[str, dict[str, str]]:
    """kubectl's table as its reader takes it: name of the row -> column -> cell, which may be empty."""
    header, *rows = said.splitlines()
    columns = [(match.group(), match.start()) for match in re.finditer(r"\S+", header)]
    ends = [start for _, start in columns[1:]] + [None]
    cells = [{name: row[start:end].strip() for (name, start), end in zip(columns, ends, strict=True)} for row in rows]
    return {row.pop("NAME"): row for row in cells}


def test_a_job_s_status_follows_its_pod(crds: Kubectl, namespace: str, operator: OperatorProcess) -> None:
    job = submit(crds, namespace, "follows")
    (pod,) = pods_made(job, 1)
    job.reaches("Pending", within=30)
    assert (job.condition("Ready")["reason"], job.condition("Reconciling")["status"]) == ("Unschedulable", "True")
    assert pod["metadata"]["ownerReferences"][0]["uid"]
    run_through(job, pod)
    status = job.ends(within=30)

    assert [entry["status"] for entry in status["secondaryStatusTransitions"]][-4:] == [
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert status["hosts"] == [{"name": "algo-1", "pod": "follows-1-algo-1", "objects": 7, "bytes": 700, "exitCode": 0}]
    annotations = job.pods[0]["metadata"]["annotations"]
    assert json.loads(annotations[names.ANNOTATION_TRAINING_ENDED]) == {"exitCode": 0, "reason": "Completed"}
    eventually("the last Event", lambda: "Completed" in [event["reason"] for event in job.events], within=30)
    # Few, and no Warning but for what a person can do something about: nothing fits the pod.
    assert sorted((event["type"], event["reason"]) for event in job.events) == [
        ("Normal", "Completed"),
        ("Warning", "Unschedulable"),
    ]


def test_kubectl_get_shows_every_column_of_a_job_that_trains_and_of_ones_that_have_ended(
    crds: Kubectl, namespace: str, operator: OperatorProcess
) -> None:
    training, completed, failed = jobs = [submit(crds, namespace, f"shown-{word}") for word in ("on", "well", "badly")]
    (pod,) = pods_made(training, 1)
    become(training, pod, o.staged() | {"training": o.running(6), "hold": o.running(6)})
    training.reaches("Training", within=30)
    for job, code in ((completed, 0), (failed, 3)):
        run_through(job, *pods_made(job, 1), code)
        job.ends(within=30)
    names_of = [job.name for job in jobs]
    seen, wide = (
        table(crds("get", "trainingjobs", *names_of, "-n", namespace, *more)) for more in ((), ("-o", "wide"))
    )
    ages = [row.pop("AGE") for shown in (seen, wide) for row in shown.values()]
    assert all(re.fullmatch(r"\d+(s|m|m\d+s)", age) for age in ages), ages

    def row(status: str, secondary: str, duration: str) -> dict[str, str]:
        here = {"STATUS": status, "SECONDARY-STATUS": secondary, "INSTANCE-TYPE": NOWHERE}
        return here | {"ATTEMPT": "1", "DURATION": duration}

    durations = [str(job.status["trainingTimeInSeconds"]) for job in (completed, failed)]
    expected = {
        "shown-on": row("InProgress", "Training", ""),
        "shown-well": row("Completed", "Completed", durations[0]),
        "shown-badly": row("Failed", "Failed", durations[1]),
    }
    assert seen == expected
    reason = failed.status["failureReason"]
    assert reason.startswith("AlgorithmError: ")
    reasons = {"shown-badly": reason}
    assert wide == {
        name: shown | {"FAILURE-REASON": reasons.get(name, ""), "MODEL": f"s3://b/out/{name}/output/model.tar.gz"}
        for name, shown in expected.items()
    }


def test_what_was_filled_in_and_what_has_no_effect_is_in_the_status_and_not_in_the_spec(
    crds: Kubectl, namespace: str, operator: OperatorProcess
) -> None:
    network = {"securityGroupIDs": ["sg-1"], "subnets": ["subnet-1"]}
    job = submit(crds, namespace, "fillings", vpcConfig=network, stoppingCondition={})
    pods_made(job, 1)
    eventually("the condition", lambda: job.condition("FieldsIgnored"), within=30)
    assert job.status["defaults"]["stoppingCondition.maxRuntimeInSeconds"] == 86400
    assert "resourceConfig.volumeSizeInGB" not in job.status["defaults"]
    assert job.resource["spec"]["stoppingCondition"] == {}
    assert job.condition("FieldsIgnored")["message"].startswith("vpcConfig: ")

    def events() -> list[Manifest]:
        found = crds.list("events", namespace)
        return [event for event in found if event["reason"] == "FieldsIgnored"]

    (event,) = eventually("the Event", events, within=30)
    assert (event["type"], event["message"]) == ("Warning", job.condition("FieldsIgnored")["message"])


def test_a_job_takes_few_writes(crds: Kubectl, namespace: str, operator: OperatorProcess, undisturbed: None) -> None:
    before = settled_writes(operator)  # the last Event of another test's job may be on its way
    job = submit(crds, namespace, "few")
    (pod,) = pods_made(job, 1)
    job.reaches("Pending", within=30)
    run_through(job, pod)
    job.ends(within=30)

    def made() -> dict[str, float]:
        return {
            key: count - before.get(key, 0) for key, count in operator.writes().items() if count > before.get(key, 0)
        }

    # One Event more than a healthy job has: nothing fits the pod. Events follow the status.
    eventually("the last Event", lambda: made().get("POST events") == 2, within=30)
    writes = made()
    assert writes.pop("PATCH trainingjobs") <= 5, writes
    assert writes == {"POST configmaps": 1, "PATCH configmaps": 1, "POST pods": 1, "PATCH pods": 1, "POST events": 2}


def waits_for_a_node(job: Job) -> None:
    pods_made(job, 1)
    job.reaches("Pending", within=30)


def trains_in_silence(job: Job) -> None:
    """Its log cannot be read, as no kubelet has it: that is tried again and again, which is no reason for a write."""
    (pod,) = pods_made(job, 1)
    become(job, pod, o.staged() | {"training": o.running(6), "hold": o.running(6)})
    job.reaches("Training", within=30)


METRIC = {"name": "loss", "regex": "loss=([0-9.]+)"}
SILENT = {
    "algorithmSpecification": {"trainingImage": IMAGE, "trainingInputMode": "File", "metricDefinitions": [METRIC]},
    "checkpointConfig": {"s3URI": "s3://b/ck"},
}


@pytest.mark.parametrize(("settle", "spec"), [(waits_for_a_node, {}), (trains_in_silence, SILENT)])
def test_nothing_is_written_while_nothing_changes(
    crds: Kubectl, namespace: str, operator: OperatorProcess, settle: Callable[[Job], None], spec: dict[str, object]
) -> None:
    settle(submit(crds, namespace, slug(settle.__name__), **spec))
    written, versions = settled_writes(operator), resource_versions(crds, namespace)
    # While there is something to see, a compare may be ahead of a watch.
    missed = operator.metric("trainyard_watch_missed_total")
    for _ in range(12 if LONG else 2):  # one every five seconds
        compared_again(operator)
    assert operator.writes() == written
    assert resource_versions(crds, namespace) == versions
    assert operator.metric("trainyard_watch_missed_total") == missed
    assert operator.liveness() == "ok"


def test_a_failed_host_ends_the_other_and_gives_the_reason(
    crds: Kubectl, namespace: str, operator: OperatorProcess
) -> None:
    job = submit(crds, namespace, "half", hosts=2)
    first, second = pods_made(job, 2)
    staged = o.staged()
    become(job, first, staged | {"training": o.running(6), "hold": o.running(6)})
    become(job, second, staged | {"training": o.ended(6, 9, 4), "hold": o.running(6)})
    order = eventually(
        "the other host is told to stop",
        lambda: job.pods[0]["metadata"].get("annotations", {}).get(names.ANNOTATION_STOP),
        within=10,
    )
    assert json.loads(order)["reason"] == "HostFailed"
    service = json.loads(crds("get", "service", "-n", namespace, "-l", f"{names.LABEL_JOB_NAME}=half", "-o", "json"))[
        "items"
    ][0]
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    assert first["spec"]["subdomain"] == service["metadata"]["name"]


def test_a_pod_that_was_seen_and_is_deleted_is_a_loss_and_not_made_again(
    crds: Kubectl, namespace: str, operator: OperatorProcess
) -> None:
    job = submit(crds, namespace, "lost")
    pods_made(job, 1)
    eventually("the pod is recorded", lambda: job.status.get("hosts"), within=30)
    crds("delete", "pod", "lost-1-algo-1", "-n", namespace)
    status = job.ends(within=30)
    assert status["failureReason"].startswith("InternalServerError: host algo-1 was lost")
    assert job.pods == []


def test_a_stop_deletes_pods_that_no_order_reaches(crds: Kubectl, namespace: str, operator: OperatorProcess) -> None:
    job = submit(crds, namespace, "stopped", hosts=2)
    pods_made(job, 2)
    eventually("the pods are recorded", lambda: len(job.status.get("hosts", [])) == 2, within=30)
    job.stop()
    status = job.ends(within=30)
    assert (status["trainingJobStatus"], "failureReason" in status) == ("Stopped", False)
    assert job.pods == []


def test_a_stop_before_pods_makes_none(crds: Kubectl, namespace: str, operator: OperatorProcess) -> None:
    job = submit(crds, namespace, "never", kind="ml.not-there")
    eventually("Accepted is False", lambda: job.condition("Accepted").get("status") == "False", within=30)
    job.stop()
    assert job.ends(within=30)["trainingJobStatus"] == "Stopped"
    assert job.pods == []


def test_what_a_job_names_is_waited_for_and_then_missed(
    crds: Kubectl, namespace: str, operator: OperatorProcess
) -> None:
    arn = "arn:aws:iam::123456789012:role/late"
    late, never = (submit(crds, namespace, name, roleARN=arn + name) for name in ("late", "no-role"))
    eventually(
        "Accepted is False", lambda: late.condition("Accepted").get("reason") == "ExecutionRoleNotFound", within=10
    )
    role = {
        "apiVersion": names.API_VERSION,
        "kind": "ExecutionRole",
        "metadata": {"name": "late", "namespace": namespace},
    }
    crds.apply(role | {"spec": {"roleARN": f"{arn}late"}})
    pods_made(late, 1)
    eventually("Accepted is True", lambda: late.condition("Accepted").get("status") == "True", within=30)
    status = never.ends(within=30)
    assert f"{arn}no-role" in status["failureReason"]


def test_a_training_job_name_in_use_is_waited_for_however_long_that_takes(
    crds: Kubectl, namespace: str, operator: OperatorProcess
) -> None:
    first = submit(crds, namespace, "first", trainingJobName="Same-Name")
    pods_made(first, 1)
    second = submit(crds, namespace, "second", trainingJobName="Same-Name")
    eventually("it is told", lambda: second.condition("Accepted").get("reason") == "ResourceInUse", within=30)
    assert "TrainingJob first has it" in second.condition("Accepted")["message"]
    for _ in range(3):
        compared_again(operator)  # longer than an unknown InstanceType would be waited for
    assert (second.status["secondaryStatus"], second.pods) == ("Pending", [])
    first.delete()
    pods_made(second, 1)


def test_a_job_without_capacity_is_stopped_when_its_pending_time_is_over(crds: Kubectl, alone: OperatorProcess) -> None:
    limits = {"maxRuntimeInSeconds": 3600, "maxPendingTimeInSeconds": 1800}
    alone.start()
    job = submit(crds, alone.namespace, "pending", hosts=2, stoppingCondition=limits)
    pods_made(job, 2)
    job.reaches("Pending", within=30)
    words = next(entry for entry in job.pods[0]["status"]["conditions"] if entry["type"] == "PodScheduled")["message"]
    alone.kill()
    alone.prelude = ahead(1800)
    alone.start()
    status = job.ends(within=20)
    assert (status["trainingJobStatus"], status["secondaryStatus"]) == ("Stopped", "Stopped")
    said = status["secondaryStatusTransitions"][-1]["statusMessage"]
    assert said.startswith("CapacityError: Unable to provision requested ML compute capacity.")
    assert words in said, "the scheduler's own words"
    eventually("its pods are gone", lambda: job.pods == [], within=30)


def test_a_spot_job_is_stopped_when_waiting_and_running_took_too_long(crds: Kubectl, alone: OperatorProcess) -> None:
    limits = {"maxRuntimeInSeconds": 3600, "maxWaitTimeInSeconds": 7200}
    alone.start()
    job = submit(crds, alone.namespace, "waited", stoppingCondition=limits, enableManagedSpotTraining=True)
    pods_made(job, 1)
    job.reaches("Pending", within=30)
    alone.kill()
    alone.prelude = ahead(7200)
    alone.start()
    status = job.ends(within=20)
    assert (status["trainingJobStatus"], status["secondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


def test_a_lost_pod_of_a_job_with_a_retry_strategy_is_followed_by_a_new_attempt(
    crds: Kubectl, alone: OperatorProcess
) -> None:
    alone.start()
    job = submit(crds, alone.namespace, "again", hosts=2, retryStrategy={"maximumRetryAttempts": 1})
    pods_made(job, 2)
    all_recorded(job, 2)
    crds("delete", "pod", "again-1-algo-2", "-n", alone.namespace)

    def second_gang() -> bool:
        return [pod["metadata"]["name"] for pod in job.pods] == ["again-2-algo-1", "again-2-algo-2"]

    # The first wait before another attempt is 10 s; the first gang's pods go with their plan.
    eventually("the whole gang is replaced", second_gang, within=40)
    plans = crds.list("configmaps", alone.namespace, f"{names.LABEL_JOB_NAME}=again")
    assert [plan["metadata"]["name"] for plan in plans] == ["again-2-plan"]
    crds("delete", "pod", "again-2-algo-1", "-n", alone.namespace)
    status = job.ends(within=20)
    assert status["failureReason"].startswith("InternalServerError: host algo-1 was lost")
    assert (status["attempt"], status["retryAttempts"]) == (2, 1)


def test_neither_a_lost_status_nor_an_edited_annotation_makes_another_gang_or_ends_the_one_that_runs(
    crds: Kubectl, alone: OperatorProcess
) -> None:
    alone.start()
    job = submit(crds, alone.namespace, "edited", hosts=2, retryStrategy={"maximumRetryAttempts": 1})
    pods_made(job, 2)
    all_recorded(job, 2)
    crds("annotate", "trainingjob", "edited", "-n", alone.namespace, f"{names.ANNOTATION_SHARDING}=sideways")
    crds("delete", "pod", "edited-1-algo-2", "-n", alone.namespace)
    gang = ["edited-2-algo-1", "edited-2-algo-2"]
    eventually("another attempt", lambda: [pod["metadata"]["name"] for pod in job.pods] == gang, within=40)
    uids = [pod["metadata"]["uid"] for pod in job.pods]
    all_recorded(job, 2)
    nothing = '[{"op": "remove", "path": "/status"}]'
    crds("patch", "trainingjob", "edited", "-n", alone.namespace, "--subresource=status", "--type=json", "-p", nothing)
    all_recorded(job, 2)
    assert (job.status["attempt"], [host["pod"] for host in job.status["hosts"]]) == (2, gang)
    compared_again(alone)
    assert [pod["metadata"]["uid"] for pod in job.pods] == uids


def test_a_foreign_pod_of_the_same_name_is_left_alone_and_named(
    crds: Kubectl, namespace: str, operator: OperatorProcess
) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "taken-1-algo-1", "namespace": namespace},
        "spec": {"nodeSelector": {"no": "node"}, "containers": [{"name": "x", "image": "x"}]},
    }
    crds.apply(foreign)
    job = submit(crds, namespace, "taken")
    eventually("it is named", lambda: "taken-1-algo-1" in job.condition("Ready").get("message", ""), within=30)
    assert job.condition("Ready")["reason"] == "PodsRefused"
    assert job.status["secondaryStatus"] == "Pending"


def no_pods(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "quota", "none", "-n", namespace, "--hard=pods=0")
    kubectl("wait", "quota/none", "-n", namespace, "--for=jsonpath={.status.hard.pods}=0", "--timeout=30s")


@pytest.mark.parametrize(
    ("word", "obstacle"),
    [
        ("exceeded quota", no_pods),
        ("securityMode: restricted", lambda k, n: k("label", "ns", n, "pod-security.kubernetes.io/enforce=restricted")),
    ],
)
def test_refused_pods_are_a_condition_and_no_storm(
    crds: Kubectl, alone: OperatorProcess, word: str, obstacle: Callable[[Kubectl, str], str]
) -> None:
    obstacle(crds, alone.namespace)
    alone.start()
    job = submit(crds, alone.namespace, "refused", hosts=8)
    eventually("the refusal is shown", lambda: word in job.condition("Ready").get("message", ""), within=30)
    assert (job.status["trainingJobStatus"], job.condition("Ready")["reason"]) == ("InProgress", "PodsRefused")
    compared_again(alone)
    assert alone.writes()["POST pods"] <= 2


def test_killed_at_any_write_each_pod_is_made_once(crds: Kubectl, alone: OperatorProcess) -> None:
    births = Births(crds, alone.namespace)
    try:
        jobs = []
        for round_number, enough in enumerate((1, 2, 4, 6)):
            alone.start()
            job = submit(crds, alone.namespace, f"killed-{round_number}", hosts=6)
            at_least(job, enough)
            alone.kill()
            jobs.append(job)
        alone.start()
        for job in jobs:
            pods_made(job, 6)
            all_recorded(job, 6)
            assert job.status["attempt"] == 1
        eventually("the watch has seen them", lambda: len(births.seen) == 24, within=30)
        assert len({line.split("=")[0] for line in births.seen}) == 24
    finally:
        births.end()


def test_a_job_that_ran_while_the_operator_was_away_reads_the_same(crds: Kubectl, alone: OperatorProcess) -> None:
    alone.start()
    job = submit(crds, alone.namespace, "away")
    (pod,) = pods_made(job, 1)
    eventually("the pod is recorded", lambda: job.status.get("hosts"), within=30)
    alone.kill()
    over = o.staged() | {
        "training": o.ended(6, 60),
        "hold": o.ended(6, 70),
        "sidecar": o.ended(2, 70, message=o.report()),
    }
    become(job, pod, over, phase="Succeeded")
    alone.start()
    status = job.ends(within=20)
    path = [entry["status"] for entry in status["secondaryStatusTransitions"]]
    assert path[-4:] == ["Downloading", "Training", "Uploading", "Completed"]
    assert status["trainingTimeInSeconds"] >= 1


def test_a_stale_copy_is_read_again_and_the_status_still_written(crds: Kubectl, alone: OperatorProcess) -> None:
    alone.start()
    job = submit(crds, alone.namespace, "conflict")
    (pod,) = pods_made(job, 1)
    eventually("the pod is recorded", lambda: job.status.get("hosts"), within=30)
    alone.signal(signal.SIGSTOP)
    try:
        become(job, pod, o.staged() | {"training": o.running(6), "hold": o.running(6)})
        for number in range(3):
            crds("label", "--overwrite", "trainingjob", "conflict", "-n", alone.namespace, f"changed={number}")
    finally:
        alone.signal(signal.SIGCONT)
    job.reaches("Training", within=20)


def test_a_second_operator_waits_for_the_lease_and_takes_it_when_the_first_dies(
    crds: Kubectl, alone: OperatorProcess, tmp_path: Path
) -> None:
    alone.start()
    second = OperatorProcess(crds.kubeconfig, alone.namespace, tmp_path / "second")
    second.start(ready=False)
    try:
        eventually("it stands by", lambda: second.readiness().startswith("standby"), within=20)
        alone.kill()
        eventually("it leads", lambda: second.readiness() == "leader", within=20)
        pods_made(submit(crds, alone.namespace, "after"), 1)
        assert second.stop() == 0
        alone.start()  # at once: the lease was released
    finally:
        second.kill()
