"""Stop, suspend, resume: one field of a job in the cluster, and what to tell of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from trainyard.cli.app import console
from trainyard.cli.core import jobs
from trainyard.cli.errors import Failed, Missing, Unreachable

Resource = dict[str, Any]
POLL_SECONDS = 2.0


class Jobs(Protocol):
    """What is asked of a cluster; raises `cli.errors`."""

    def get(self, namespace: str, name: str) -> Resource: ...
    def set(self, namespace: str, name: str, uid: str, field: str, value: bool) -> Resource: ...


def stop(cluster: Jobs, namespace: str, name: str, *, wait: bool) -> int:
    """The exit code. With `wait` it is 1 if the job ended as Failed."""
    job = cluster.get(namespace, name)
    jobs.refuse_if_ended(job, "there is nothing to stop")
    if jobs.wants(job, "stop"):
        console.say(f"{jobs.name(job)} was told to stop already. {jobs.what_a_stop_does(job)}")
    else:
        job = cluster.set(namespace, name, jobs.uid(job), "stop", True)
        console.say(f"{jobs.name(job)} is told to stop. {jobs.what_a_stop_does(job)}")
    if not wait:
        return 0
    job = follow(cluster, namespace, name, job)
    for sentence in jobs.how_it_ended(job):
        console.say(sentence)
    console.line((jobs.status(job), ""))
    return 1 if jobs.failed(job) else 0


def suspend(cluster: Jobs, namespace: str, name: str) -> int:
    job = cluster.get(namespace, name)
    jobs.refuse_if_ended(job, "there is nothing to suspend")
    if jobs.wants(job, "suspend"):
        console.say(f"{jobs.name(job)} is suspended already.")
        return 0
    cluster.set(namespace, name, jobs.uid(job), "suspend", True)
    console.say(
        f"{jobs.name(job)} is told to suspend. Its pods end and its clock stands still;"
        f" `trainyard resume {name}` starts it again as a new attempt."
    )
    return 0


def resume(cluster: Jobs, namespace: str, name: str) -> int:
    job = cluster.get(namespace, name)
    jobs.refuse_if_ended(job, "there is nothing to resume")
    if not jobs.wants(job, "suspend"):
        console.say(f"{jobs.name(job)} is not suspended.")
        return 0
    cluster.set(namespace, name, jobs.uid(job), "suspend", False)
    console.say(f"{jobs.name(job)} is told to go on. It starts as a new attempt.")
    return 0


def follow(
    cluster: Jobs, namespace: str, name: str, job: Resource, sleep: Callable[[float], None] = time.sleep
) -> Resource:
    """The job once it has ended. A cluster that does not answer is asked again: what was begun goes on without it."""
    uid, last, away = jobs.uid(job), jobs.secondary(job), False
    while not jobs.has_ended(job):
        sleep(POLL_SECONDS)
        try:
            job = cluster.get(namespace, name)
        except Unreachable as error:
            if not away:
                console.say(f"{error}; still waiting")
            away = True
            continue
        except Missing:
            raise Failed(
                f"{jobs.name(job)} was deleted; its pods still end and upload, and nothing tells of it"
            ) from None
        away = False
        if jobs.uid(job) != uid:
            raise Failed(f"{jobs.name(job)} was deleted, and this is another of its name; how it ended is not known")
        if jobs.secondary(job) != last:
            last = jobs.secondary(job)
            console.say(last)
    return job
