"""Who wrote what and when, as the apiserver's audit log has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True)
class Write:
    """One request that changes something. Times in seconds since 1970: when it arrived, when it was answered."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    arrived: float
    answered: float


def read(path: Path) -> list[Write]:
    """All writes so far, in the order in which they were answered."""
    with path.open("rb") as lines:
        found = [write for line in lines if line.endswith(b"\n") and (write := _write(orjson.loads(line))) is not None]
    return sorted(found, key=lambda write: write.answered)


def _write(event: dict[str, Any]) -> Write | None:
    target = event.get("objectRef") or {}
    if event.get("stage") != "ResponseComplete" or "resource" not in target:
        return None
    resource = "/".join(part for part in (target["resource"], target.get("subresource")) if part)
    return Write(
        user=event["user"]["username"],
        verb=event["verb"],
        resource=resource,
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        arrived=_seconds(event["requestReceivedTimestamp"]),
        answered=_seconds(event["stageTimestamp"]),
    )


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def by_kind(writes: list[Write], user: str) -> Counter[str]:
    """`verb resource` -> requests of that user, also those that were refused."""
    return Counter(f"{write.verb} {write.resource}" for write in writes if write.user == user)


@dataclass(frozen=True)
class Times:
    """Of one load, in seconds from the first create. `waits`: job's create arrived -> its first pod's create answered."""

    pods_exist: float
    finished: float
    pods: int
    waits: list[float]


def times(writes: list[Write], parent: str, jobs: set[str], last: str) -> Times:
    """`parent` is the resource that the loader creates, `last` the one whose last write ends a job."""
    done = [write for write in writes if write.code < 300]
    made = [write for write in done if write.verb == "create" and write.resource == "pods"]
    asked: dict[str, float] = {}
    for write in done:
        if write.verb == "create" and write.resource == parent and (job := _job_of(write.name, jobs)):
            asked[job] = min(write.arrived, asked.get(job, write.arrived))
    began = min(asked.values())
    # The name of a batch Job's pod is made by the apiserver and not in the log: its pod is known from its binding.
    nameless = not all(write.name for write in made)
    named = [write for write in done if write.resource == "pods/binding"] if nameless else made
    first: dict[str, float] = {}
    for write in named:
        if job := _job_of(write.name, jobs):
            first.setdefault(job, write.answered)
    ends = {job: write.answered for write in done if write.resource == last and (job := _job_of(write.name, jobs))}
    return Times(
        pods_exist=made[-1].answered - began,
        finished=max(ends.values()) - began,
        pods=len(made),
        waits=sorted(first[job] - arrived for job, arrived in asked.items() if job in first),
    )


def _job_of(name: str, jobs: set[str]) -> str:
    """job-7 of job-7-1-algo-1, job-7-0-x2vqp or job-7 itself."""
    head = "-".join(name.split("-")[:2])
    return head if head in jobs else ""
