"""Metrics from the logs of real pods: live on the operator's endpoint, exact in the status, whatever becomes of the operator."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from hack import install
from tests.e2e.jobs import Job, Manifest, eventually, manifest
from tests.e2e.site import Desk

# A log line must be on the endpoint, and the last one in the status, within so many seconds.
SOON = 5
NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
LOSS = {"name": "train:loss", "regex": rf"epoch \d+ loss={NUMBER}"}
# As DescribeTrainingJob shows them for SageMaker's XGBoost.
RMSE = {"name": "validation:rmse", "regex": rf".*\[[0-9]+\].*#011validation-rmse:{NUMBER}.*"}
SERIES = re.compile(
    r'^trainyard_training_metric\{host="([^"]*)",job="([^"]*)",metric="([^"]*)",namespace="([^"]*)"\} (\S+)$',
    re.MULTILINE,
)

Lines = dict[str, list[tuple[float, str]]]


def printing(desk: Desk, name: str, definitions: list[Manifest], lines: Lines, hosts: int = 1, **hyper: Any) -> Job:
    """A job whose hosts print these lines, so many seconds after each other."""
    made = manifest(name, desk.images["test-train"], desk.bucket, hosts=hosts, hyper={"lines": lines} | hyper)
    made["spec"]["algorithmSpecification"]["metricDefinitions"] = definitions
    return desk.submit(made)


def live(desk: Desk, job: Job) -> dict[tuple[str, str], float]:
    """(host, metric) -> what the operator's endpoint shows of a job."""
    return {
        (host, metric): float(value)
        for host, of, metric, namespace, value in SERIES.findall(desk.operator_metrics())
        if (namespace, of) == (job.namespace, job.name)
    }


def values(status: Manifest) -> dict[str, float]:
    return {data["metricName"]: data["value"] for data in status.get("finalMetricDataList", [])}


def printed(job: Job, number: int, text: str, *, within: float) -> None:
    """The host of that number has printed a line, as `kubectl logs` shows."""
    pod = f"{job.name}-1-algo-{number}"
    eventually(f"{pod} prints {text!r}", lambda: text in job.logs(pod, "training"), within=within)


def training_has_ended(job: Job) -> bool:
    statuses = [entry for pod in job.pods for entry in pod["status"].get("containerStatuses", [])]
    states = [entry["state"] for entry in statuses if entry["name"] == "training"]
    return bool(states) and all("terminated" in state for state in states)


def test_values_of_two_hosts_are_live_within_seconds_and_exact_at_the_end(desk: Desk) -> None:
    job = printing(
        desk,
        "two-hosts",
        [RMSE, LOSS],
        {
            "algo-1": [(0, "epoch 1 loss=0.75"), (25, "epoch 2 loss=0.5"), (0, "epoch 3 loss=nan")],
            "algo-2": [
                (0, "[1]\ttrain-rmse:2\tvalidation-rmse:1.5"),
                (30, "[2]\ttrain-rmse:1\tvalidation-rmse:1.25e-1"),
            ],
        },
        hosts=2,
        seconds="3",
    )
    job.trains()
    printed(job, 1, "epoch 1", within=30)
    printed(job, 2, "[1]", within=30)
    first = {("algo-1", "train:loss"): 0.75, ("algo-2", "validation:rmse"): 1.5}
    eventually("both are live", lambda: live(desk, job) == first, within=SOON)
    assert job.condition("MetricsRead")["status"] == "True"
    printed(job, 1, "epoch 2", within=40)
    eventually("so is the next", lambda: live(desk, job).get(("algo-1", "train:loss")) == 0.5, within=SOON)

    expected = {"validation:rmse": 0.125, "train:loss": 0.5}
    eventually("training has ended", lambda: training_has_ended(job), within=60)
    eventually("the last values are in the status", lambda: values(job.status) == expected, within=SOON)
    status = job.completes()
    assert values(status) == expected
    assert list(values(status)) == ["validation:rmse", "train:loss"], "in the order of the definitions"
    began, ended = (datetime.fromisoformat(status[name]) for name in ("trainingStartTime", "trainingEndTime"))
    assert all(began <= datetime.fromisoformat(data["timestamp"]) <= ended for data in status["finalMetricDataList"])
    assert job.condition("LogLinesLost") == {}
    eventually("a job that has ended is not on the endpoint", lambda: live(desk, job) == {}, within=SOON)


def test_the_operator_killed_in_the_middle_ends_with_the_same_values(desk: Desk) -> None:
    # The hosts start about together, not to the second: what is to be the last value comes long after the others.
    last = 39
    job = printing(
        desk,
        "killed",
        [LOSS, {"name": "once", "regex": r"once (\d+)"}],
        {
            "algo-1": [(0.5, f"epoch {number} loss={number}.5") for number in range(1, last + 1)],
            "algo-2": [(0, "epoch 0 loss=100"), (0, "once 8"), (1, "once 9")],
        },
        hosts=2,
    )
    job.trains()
    eventually("values are read", lambda: len(live(desk, job)) == 3, within=30)
    desk.kill_operator()
    status = job.completes(within=180)
    assert values(status) == {"train:loss": last + 0.5, "once": 9}
    assert status["attempt"] == 1
    assert job.condition("LogLinesLost") == {}


def test_a_job_that_ended_while_the_operator_was_away_has_the_same_values(desk: Desk) -> None:
    job = printing(
        desk,
        "away",
        [LOSS, RMSE],
        {"algo-1": [(0, "epoch 1 loss=1"), (8, "[7]\tvalidation-rmse:3"), (0, "epoch 2 loss=0.25")]},
        write={"a": "b"},
    )
    job.trains()
    with desk.operator_away():
        eventually(
            "the model is committed without the operator",
            lambda: desk.bucket.exists(job.key("trainyard-manifest.json")),
            within=180,
        )
    status = job.completes(within=60)
    assert values(status) == {"train:loss": 0.25, "validation:rmse": 3}
    assert job.condition("MetricsRead")["status"] == "True"


def test_a_regex_that_cannot_be_used_is_named_and_the_job_completes(desk: Desk) -> None:
    bad = [{"name": "behind", "regex": r"(?<=loss=)(\d+)"}, {"name": "groupless", "regex": r"loss=\d+"}]
    job = printing(desk, "bad-regex", [*bad, LOSS], {"algo-1": [(0, "epoch 1 loss=2")]}, seconds="3")
    desk.eventually_says(job, "metric behind", within=30)
    told = job.condition("MetricsRead")
    assert (told["status"], told["reason"]) == ("False", "MetricRegexInvalid")
    assert "metric groupless" in told["message"]
    assert "train:loss" not in told["message"]
    assert values(job.completes()) == {"train:loss": 2}
    assert job.condition("MetricsRead")["reason"] == "MetricRegexInvalid"
    events = [event for event in desk.kubectl.list("events", desk.namespace) if event["reason"] == "MetricRegexInvalid"]
    assert [event["type"] for event in events] == ["Warning"]


def test_lines_that_were_rotated_away_unread_are_reported(desk: Desk) -> None:
    job = printing(desk, "rotated", [LOSS], {"algo-1": [(0, "epoch 1 loss=1")]}, until="/tmp/go")
    job.trains()
    eventually("the value is read", lambda: live(desk, job), within=30)
    # A change of the spec that may be made: with it the status is written before its minute is over.
    patch = '{"spec":{"ttlSecondsAfterFinished":86400}}'
    desk.kubectl("patch", "trainingjob", job.name, "-n", job.namespace, "--type=merge", "-p", patch)
    eventually("it is recorded", lambda: values(job.status) == {"train:loss": 1}, within=90)
    assert job.status["hosts"][0]["lastLogTime"]

    def shell(script: str) -> None:
        desk.kubectl(
            "exec", job.pods[0]["metadata"]["name"], "-n", job.namespace, "-c", "training", "--", "sh", "-c", script
        )

    with desk.operator_away():
        # More than a kubelet lets a log grow (10 MiB), by the way that the program's own lines take.
        shell("head -c 16000000 /dev/zero | tr '\\0' x | fold -w 1000 > /proc/1/fd/1")
        beginning = (
            "logs",
            job.pods[0]["metadata"]["name"],
            "-n",
            job.namespace,
            "-c",
            "training",
            "--limit-bytes=100",
        )
        eventually("the log is rotated", lambda: "started" not in desk.kubectl(*beginning), within=90, every=2)
        shell("echo 'epoch 9 loss=9' > /proc/1/fd/1")
    desk.eventually_says(job, "LogLinesLost", within=60)
    shell("touch /tmp/go")
    status = job.completes()
    assert values(status) == {"train:loss": 9}
    told = job.condition("LogLinesLost")
    assert (told["status"], told["reason"]) == ("True", "LogGone")
    assert "algo-1: between" in told["message"]


def test_without_the_right_to_read_logs_a_job_says_that_its_metrics_are_not_read(desk: Desk) -> None:
    account = f"system:serviceaccount:{install.NAMESPACE}:{install.RELEASE}"
    may = ("auth", "can-i", "get", "pods", "--subresource=log", "-n", desk.namespace, "--as", account)

    def is_allowed() -> bool:
        return desk.kubectl(*may, check=False).startswith("yes")

    assert is_allowed()
    desk.site.install(**{"metricsFromLogs.enabled": "false"})
    try:
        eventually("the right is gone", lambda: not is_allowed(), within=10)
        job = printing(desk, "switched-off", [LOSS], {"algo-1": [(0, "epoch 1 loss=2")]})
        status = job.completes()
        assert values(status) == {}
        assert job.condition("MetricsRead")["reason"] == "MetricsSwitchedOff"
    finally:
        desk.site.install()
