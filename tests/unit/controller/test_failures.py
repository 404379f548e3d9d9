"""Why a job failed: the words of the contract, for each way a host can fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support import objects as o
from trainyard.api.reasons import Reason
from trainyard.api.report import Result, StopReason
from trainyard.controller.core.decision import Act
from trainyard.controller.core.failures import failures
from trainyard.controller.core.observed import Pod, as_gone
from trainyard.controller.core.policies import decide
from trainyard.controller.core.status import reduce
from trainyard.controller.core.verdict import Verdict

NOT_FOUND = 'failed to create containerd task: runc: exec: "train": executable file not found in $PATH: unknown'
NOT_EXECUTABLE = 'error during container init: exec: "/opt/train": permission denied: unknown'
EMPTY_DIR = 'Usage of EmptyDir volume "ml" exceeds the limit "30Gi". '
EPHEMERAL = "Pod ephemeral local storage usage exceeds the total limit of containers 100Mi. "
PREEMPTED = {
    "phase": "Failed",
    "conditions": [
        {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": "default-scheduler: preempting to accommodate a higher priority pod",
        }
    ],
}
SHUT_DOWN = {
    "phase": "Failed",
    "reason": "Terminated",
    "message": "Pod was terminated in response to imminent node shutdown.",
    "conditions": [
        {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "TerminationByKubelet",
            "message": "Pod was terminated in response to imminent node shutdown.",
            "lastTransitionTime": o.stamp(80),  # the kubelet writes it when all containers have ended
        }
    ],
}
COLLECTED = {
    "phase": "Failed",
    "conditions": [
        {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
        }
    ],
}
NO_DEVICE = "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate nvidia.com/gpu"
PRESSURE = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. "


def start_error(message: str) -> Pod:
    states = o.staged() | {
        "training": o.ended(-1, -1, 128, "StartError", message),
        "hold": o.ended(6, 8),
        "sidecar": o.ended(2, 8, message=o.report()),
    }
    return o.pod(containers=states, status={"phase": "Failed"})


def evicted(message: str) -> Pod:
    return o.over(code=137, message="", status={"phase": "Failed", "reason": "Evicted", "message": message})


def shut_down(code: int, held_until: float, message: str = "") -> Pod:
    """Its node shuts down: `hold` leaves at the signal, the sidecar is killed with what it was doing."""
    states = o.staged() | {
        "training": o.ended(6, 60, code),
        "hold": o.ended(6, held_until),
        "sidecar": o.ended(2, 80, 137, message=message),
    }
    return o.pod(containers=states, status=SHUT_DOWN)


UNKNOWN = o.ended(6, 90, 255, "Unknown")


def restarted(**states: dict[str, Any]) -> Pod:
    """Its node was switched off and on again, while what `states` does not have ran: as a kubelet and containerd said it."""
    return o.pod(containers={"sidecar": UNKNOWN, "prefetch": UNKNOWN} | states, status={"phase": "Failed"})


def ended_in_staging(**more: Any) -> Pod:
    states = {
        "sidecar": o.ended(2, 8, message=o.report(result=Result.ABANDONED)),
        "prefetch": o.ended(3, 3),
        "stage": o.ended(4, 8, **more),
        "training": o.waiting(),
        "hold": o.waiting(),
    }
    return o.pod(containers=states, status=SHUT_DOWN)


def finish(*pods: Pod, **job: Any) -> Verdict:
    decision = decide(o.snapshot(o.job(hosts=len(pods), **job), list(pods)))
    assert decision.act is Act.FINISH, decision
    assert decision.verdict is not None
    return decision.verdict


CASES: dict[str, tuple[Pod, Reason, str, list[str]]] = {
    "an exit code with a failure file": (
        o.over(code=3, message=o.report(failure="boom\n")),
        Reason.ALGORITHM_ERROR,
        "AlgorithmError: boom, exit code: 3",
        [],
    ),
    "an exit code without one": (o.over(code=1), Reason.ALGORITHM_ERROR, "AlgorithmError: , exit code: 1", []),
    "memory": (
        o.over(code=137, reason="OOMKilled"),
        Reason.OUT_OF_MEMORY,
        "ClientError: Please use an instance type with more memory, or reduce the size of job data",
        ["algo-1", "11.7 GiB", o.INSTANCE],
    ),
    "memory of a child, and a shell that goes on": (
        o.over(code=3, reason="OOMKilled"),
        Reason.OUT_OF_MEMORY,
        "ClientError: Please use an instance type with more memory",
        [],
    ),
    "no train in the image": (
        start_error(NOT_FOUND),
        Reason.NOT_EXECUTABLE,
        "ClientError: ",
        ["'train'", o.IMAGE, "executable file not found", "containerEntrypoint", "`train`"],
    ),
    "a program that is not executable": (
        start_error(NOT_EXECUTABLE),
        Reason.NOT_EXECUTABLE,
        "ClientError: ",
        ["'/opt/train'", "permission denied"],
    ),
    "data that is not there": (
        o.stage_failed(message="ClientError: Data download failed:No S3 objects", reason="NoData"),
        Reason.NO_DATA,
        "ClientError: Data download failed:No S3 objects",
        [],
    ),
    "a stage without a report": (
        o.stage_failed(),
        Reason.INTERNAL_ERROR,
        "InternalServerError: staging on host algo-1",
        ["exit code 1"],
    ),
    "a stage that was killed for memory": (
        o.pod(
            status={"phase": "Failed"},
            containers={
                "sidecar": o.ended(
                    2, 6, message=o.report("algo-1", Result.ABANDONED, message="2000000 objects were listed.")
                ),
                "stage": o.ended(4, 5, code=137, reason="OOMKilled"),
                "training": o.waiting(),
            },
        ),
        Reason.INTERNAL_ERROR,
        "InternalServerError: the agent's container stage ran out of memory on host algo-1. 2000000 objects were listed.",
        ["fewer objects"],
    ),
    "an upload that S3 did not take": (
        o.over(
            message=o.report(
                result=Result.FAILED, message="ClientError: Artifact upload failed:403", reason="AccessDenied"
            )
        ),
        Reason.ACCESS_DENIED,
        "ClientError: Artifact upload failed:403",
        [],
    ),
    "a full volume": (
        evicted(EMPTY_DIR),
        Reason.DISK_FULL,
        "ClientError: the storage volume of host algo-1 is full (resourceConfig.volumeSizeInGB: 30)",
        ["Raise volumeSizeInGB"],
    ),
    "ephemeral storage": (evicted(EPHEMERAL), Reason.DISK_FULL, "ClientError: ", ["volumeSizeInGB"]),
    "an evicted pod": (
        evicted(PRESSURE),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        ["low on resource"],
    ),
    "a preempted host": (
        o.over(code=143, message=o.report(stop_reason=StopReason.DELETED, result=Result.COMMITTED), status=PREEMPTED),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost: pod diamonds-1-algo-1 on node node-1 was preempted: ",
        ["higher priority pod", "once there is room", "with retryStrategy or enableManagedSpotTraining"],
    ),
    "a vanished pod": (
        as_gone(o.training()),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost: pod diamonds-1-algo-1 on node node-1",
        [],
    ),
    "a drained host": (
        o.over(code=137, message=o.report(stop_reason=StopReason.DELETED, result=Result.COMMITTED)),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        [],
    ),
    "a pod that is not deleted yet, of a node that is no more": (
        o.training(status=COLLECTED),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost: pod diamonds-1-algo-1 on node node-1: PodGC: node no longer exists.",
        [],
    ),
    "a node that shuts down": (
        shut_down(143, 60),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        ["imminent node shutdown"],
    ),
    "a node that shuts down, and a program that ignores it": (
        shut_down(137, 50),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        [],
    ),
    "a node that shuts down, and a program with an exit code of its own for that": (
        shut_down(1, 59),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        [],
    ),
    "a node that shuts down during the upload": (
        shut_down(0, 75),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        ["What it had not uploaded is gone"],
    ),
    "a program that had failed before its node shut down": (
        shut_down(1, 75),
        Reason.ALGORITHM_ERROR,
        "AlgorithmError: , exit code: 1",
        [],
    ),
    "a program that had failed before its pod was deleted": (
        o.over(code=1, message="", metadata={"deletionTimestamp": o.stamp(69)}),
        Reason.ALGORITHM_ERROR,
        "AlgorithmError: , exit code: 1",
        [],
    ),
    "a program that had failed before its pod vanished": (
        as_gone(o.uploading(code=1)),
        Reason.ALGORITHM_ERROR,
        "AlgorithmError: , exit code: 1",
        [],
    ),
    "a node that was restarted": (
        restarted(stage=o.ended(4, 5, message=o.report(result=Result.STAGED)), training=UNKNOWN, hold=UNKNOWN),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost: pod diamonds-1-algo-1 on node node-1: its node does not know how",
        ["as after a restart of the node", "What it had not uploaded is gone"],
    ),
    "a node that was restarted during staging": (
        restarted(stage=UNKNOWN, training=o.waiting(), hold=o.waiting()),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        ["as after a restart of the node"],
    ),
    "a node that was restarted during the upload": (
        restarted(stage=o.ended(4, 5), training=o.ended(6, 60), hold=UNKNOWN),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        ["as after a restart of the node"],
    ),
    "a program that had failed before its node was restarted": (
        restarted(stage=o.ended(4, 5), training=o.ended(6, 60, 3), hold=UNKNOWN),
        Reason.ALGORITHM_ERROR,
        "AlgorithmError: , exit code: 3",
        [],
    ),
    "a runtime that has lost training alone": (
        o.over(code=255, reason="Unknown", message=o.report()),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        [],
    ),
    "a program with the exit code that lost containers have": (
        o.over(code=255, reason="Error"),
        Reason.ALGORITHM_ERROR,
        "AlgorithmError: , exit code: 255",
        [],
    ),
    "memory, on a node that shuts down": (
        o.over(code=137, reason="OOMKilled", message="", status=SHUT_DOWN),
        Reason.OUT_OF_MEMORY,
        "ClientError: Please use an instance type with more memory",
        [],
    ),
    "a node that shuts down during staging": (
        ended_in_staging(code=143),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost",
        ["imminent node shutdown"],
    ),
    "data that is not there, on a node that shuts down": (
        ended_in_staging(code=1, message=o.report(result=Result.FAILED, message="ClientError: none", reason="NoData")),
        Reason.NO_DATA,
        "ClientError: none",
        [],
    ),
    "a node that does not take the pod": (
        o.pod(status={"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": NO_DEVICE, "podIP": ""}),
        Reason.POD_LOST,
        "InternalServerError: host algo-1 was lost: pod diamonds-1-algo-1 on node node-1: UnexpectedAdmissionError: Pod was",
        ["no healthy devices", "nothing of it ran"],
    ),
    "a deadline that somebody gave the pod": (
        o.over(
            code=137,
            message=o.report(),
            status={"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active too long"},
        ),
        Reason.ALGORITHM_ERROR,
        "AlgorithmError: , exit code: 137",
        [],
    ),
    "a deadline that somebody gave the pod, before anything ran": (
        o.pod(status={"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active too long"}),
        Reason.INTERNAL_ERROR,
        "InternalServerError: the sidecar of host algo-1 ended without a report",
        ["DeadlineExceeded: Pod was active too long"],
    ),
    "a sidecar that was killed": (
        o.over(message=""),
        Reason.INTERNAL_ERROR,
        "InternalServerError: the sidecar of host algo-1 ended without a report",
        ["trainyard-manifest.json"],
    ),
    "an image name that is none": (
        o.pulling(reason="InvalidImageName", message='couldn\'t parse image name "A B"'),
        Reason.IMAGE_NOT_PULLED,
        f"ClientError: the training image {o.IMAGE} cannot be pulled",
        ["couldn't parse image name"],
    ),
    "an agent's image that is none": (
        o.pod(status={"phase": "Pending"}, containers={"sidecar": o.waiting("ErrImageNeverPull")}),
        Reason.INTERNAL_ERROR,
        "InternalServerError: the operator's own container sidecar cannot start",
        [o.OPTIONS.agent_image],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_failure_is_told_in_its_words(case: str) -> None:
    pod, reason, beginning, words = CASES[case]
    ending = finish(pod)
    assert ending.reason == reason
    assert ending.failure_reason is not None
    assert ending.failure_reason.startswith(beginning), ending.failure_reason
    assert all(word in ending.failure_reason for word in words), ending.failure_reason
    assert len(ending.failure_reason) <= 1024


def test_a_long_failure_text_is_cut_and_keeps_its_exit_code() -> None:
    reason = finish(o.over(code=3, message=o.report(failure="x" * 3000))).failure_reason
    assert reason is not None
    assert len(reason) == 1024
    assert reason.endswith(", exit code: 3")


def test_the_first_host_to_fail_gives_the_reason() -> None:
    ending = finish(o.over(code=1, until=50), o.over("algo-2", code=2, until=40), o.over("algo-3", code=3, until=60))
    assert ending.failure_reason == "AlgorithmError: , exit code: 2"


def test_the_host_of_an_algorithm_error_is_told_by_its_exit_code_in_the_status() -> None:
    """The text has no room for it: its form is the contract's."""
    snapshot = o.snapshot(o.job(hosts=2), [o.over(), o.over("algo-2", code=2)])
    status = reduce(snapshot, decide(snapshot))
    assert status.failure_reason == "AlgorithmError: , exit code: 2"
    assert {host.name: host.exit_code for host in status.hosts} == {"algo-1": 0, "algo-2": 2}


def test_the_lowest_host_gives_the_reason_on_a_tie() -> None:
    pods = [o.over(f"algo-{n}", code=n, until=50) for n in (10, 2, 3)]
    rest = [o.over(f"algo-{n}") for n in (1, 4, 5, 6, 7, 8, 9)]
    assert finish(*pods, *rest).failure_reason == "AlgorithmError: , exit code: 2"


def test_a_host_that_was_told_to_end_does_not_give_the_reason() -> None:
    told = o.over(code=137, until=30, message=o.report(stop_reason=StopReason.HOST_FAILED))
    assert finish(told, o.over("algo-2", code=4, until=50)).failure_reason == "AlgorithmError: , exit code: 4"


def test_exit_codes_do_not_matter_in_a_stop() -> None:
    ending = finish(o.stopped(code=137), stop=True)
    assert (ending.status, ending.failure_reason, ending.committed) == ("Stopped", None, True)


@pytest.mark.parametrize("why", [None, StopReason.USER_REQUESTED, StopReason.SUSPENDED])
def test_a_stop_whose_artifacts_s3_refused_is_a_failure(why: StopReason | None) -> None:
    """Also if the job had been suspended first: no attempt follows that could upload them."""
    refused = {"message": "ClientError: Artifact upload failed:403", "reason": "AccessDenied"}
    told = o.report(result=Result.FAILED, stop_reason=why, **refused)
    ending = finish(o.over(code=143, message=told), stop=True)
    assert (ending.status, ending.failure_reason) == ("Failed", refused["message"])


@pytest.mark.parametrize("seen", ["Uploading", "Stopping"])
def test_a_stop_during_the_upload_is_one_whether_or_not_its_beginning_was_seen(seen: str) -> None:
    """As on SageMaker: only a job that has ended cannot be stopped."""
    ending = finish(o.over(), stop=True, status={"secondaryStatus": seen})
    assert (ending.status, ending.secondary, ending.committed) == ("Stopped", "Stopped", True)


def test_the_runtime_limit_is_no_failure_whatever_the_exit_code() -> None:
    ending = finish(o.stopped(why=StopReason.MAX_RUNTIME_EXCEEDED, code=137))
    assert (ending.status, ending.secondary) == ("Stopped", "MaxRuntimeExceeded")


def test_an_exit_at_the_limit_waits_for_the_agent_s_word() -> None:
    near = o.job(stoppingCondition={"maxRuntimeInSeconds": 60})
    assert failures(o.snapshot(near, [o.uploading(code=137)])) == []
    assert decide(o.snapshot(near, [o.uploading(code=137)])).act is Act.WATCH


def test_a_finished_peer_that_was_deleted_after_the_merge_does_not_fail_the_job() -> None:
    hosts = [{"name": f"algo-{n}", "pod": f"diamonds-1-algo-{n}", "exitCode": 0} for n in (1, 2)]
    job = o.job(hosts=2, status={"hosts": hosts})
    decision = decide(o.snapshot(job, [o.over()]))
    assert decision.verdict is not None
    assert decision.verdict.status == "Completed"


BROKEN = o.report(
    stop_reason=StopReason.INPUT_FAILED, stop_message="ClientError: Data download failed:s3://b/k has changed"
)


@pytest.mark.parametrize("code", [0, 137, 143])
def test_a_stream_that_broke_off_fails_the_job_whatever_the_exit_code(code: int) -> None:
    ending = finish(o.over(code=code, message=BROKEN))
    assert (ending.status, ending.reason) == ("Failed", "DataDownloadFailed")
    assert ending.failure_reason == "ClientError: Data download failed:s3://b/k has changed"
    assert ending.committed


def test_a_stream_that_broke_off_on_another_host_fails_the_job() -> None:
    broken = BROKEN.replace('"algo-1"', '"algo-2"')
    ending = finish(o.over(), o.over("algo-2", message=broken))
    assert (ending.status, ending.reason) == ("Failed", "DataDownloadFailed")


@pytest.mark.parametrize(
    ("marked", "at"),
    [(None, 90), (1, 90), (70, 20), (50, 6), (90, 90)],
    ids=["not marked", "before training", "for long", "early", "by its own node"],
)
def test_a_host_whose_node_was_away_is_dated_to_when_that_fell_silent(marked: float | None, at: float) -> None:
    pod = restarted(stage=o.ended(4, 5), training=UNKNOWN, hold=UNKNOWN)
    pod = replace(pod, unready_at=o.at(marked) if marked is not None else None)
    (found,) = failures(o.snapshot(o.job(), [pod]))
    assert found.at == o.at(at)


def test_a_node_that_was_restarted_does_not_come_before_a_peer_that_had_failed() -> None:
    staging = replace(restarted(stage=UNKNOWN, training=o.waiting(), hold=o.waiting()), unready_at=o.at(1))
    found = failures(
        o.snapshot(o.job(hosts=2), [staging, o.stage_failed("algo-2", message="ClientError: none", reason="NoData")])
    )
    assert [(each.host, each.reason) for each in found] == [("algo-2", Reason.NO_DATA), ("algo-1", Reason.POD_LOST)]
    uploading = restarted(stage=o.ended(4, 5), training=o.ended(6, 60), hold=UNKNOWN)
    found = failures(
        o.snapshot(o.job(hosts=2), [replace(uploading, unready_at=o.at(60)), o.over("algo-2", code=3, until=65)])
    )
    assert [each.host for each in found] == ["algo-2", "algo-1"]
