"""A status stays small however long a job lives, and its times stand only where they mean something."""

from __future__ import annotations

import itertools

from tests.support import objects as o
from tests.unit.controller.test_restart import SPOT, look, lost
from tests.unit.controller.test_transitions import after, assert_well_formed, live, step
from trainyard.api.status import JobStatus
from trainyard.controller.core.job import Job
from trainyard.controller.core.policies import decide, missed

# What the page of states and the CRD promise.
TRANSITIONS, ATTEMPTS = 100, 10


def often_interrupted(times: int) -> Job:
    job = o.job(**SPOT)
    for number in range(times):
        for pods in ([o.starting()], [o.training()], [lost()]):
            _, _, job = look(job, pods, now=1000 * (number + 1))
    return job


def test_the_latest_hundred_transitions_are_kept() -> None:
    job = often_interrupted(40)
    kept = job.status.secondary_status_transitions
    assert (job.attempt, len(kept)) == (41, TRANSITIONS)
    assert_well_formed(job.status)
    before = [(entry.status, entry.start_time) for entry in often_interrupted(39).status.secondary_status_transitions]
    now = [(entry.status, entry.start_time) for entry in kept]
    added = ["Starting", "Downloading", "Training", "Interrupted"]
    assert [status for status, _ in now[-len(added) :]] == added
    assert now[: -len(added)] == before[len(added) :], "the oldest have gone, and no others"


def test_the_latest_ten_attempts_are_remembered_and_all_are_counted() -> None:
    job = often_interrupted(14)
    assert [record.attempt for record in job.status.earlier_attempts] == list(range(5, 15))
    assert len(job.status.earlier_attempts) == ATTEMPTS
    assert (job.attempt, job.status.interruptions) == (15, 14)
    assert JobStatus.model_validate(job.status.to_dict()) == job.status


def test_the_time_of_the_last_change_moves_with_each_change_and_only_then() -> None:
    job, seen = o.job(), []
    looks = [[o.starting()], [o.pulling()], [o.staging()], [o.training()], [o.uploading()], [o.over()]]
    for number, pods in enumerate(looks):
        for later in (0, 5, 9):
            job = after(job, step(o.snapshot(job, pods, now=100 * number + later)))
            seen.append(job.status.last_modified_time)
    assert seen == list(itertools.chain.from_iterable([o.at(100 * number)] * 3 for number in range(len(looks))))


def test_a_job_that_failed_before_its_instances_were_there_has_no_times_of_training() -> None:
    """Nothing of it is paid for: a role that is not there, an image of the agent that cannot be had."""
    first = o.snapshot(o.job(), [], now=0, roles=())
    later = o.snapshot(o.job(), [], now=1000, roles=(), missed=missed(first, decide(first)))
    no_agent = o.pod(status={"phase": "Pending"}, containers={"sidecar": o.waiting("ErrImageNeverPull")})
    for status in (step(later), live(o.job(), [[o.starting()], [no_agent]])):
        assert (status.training_job_status, status.secondary_status) == ("Failed", "Failed")
        assert "Downloading" not in [entry.status for entry in status.secondary_status_transitions]
        times = status.training_start_time, status.training_end_time
        assert (*times, status.training_time_in_seconds, status.billable_time_in_seconds) == (None,) * 4
