"""The two small documents beside a job's artifacts: the attempt marker (who may commit) and the manifest (what is committed)."""

from __future__ import annotations

import json
import re
from typing import Any

from trainyard.api.plan import JobIdentity, Plan
from trainyard.api.report import StopReason

VERSION = 1
_WARNINGS = b', "warnings": ['
_ARTIFACTS = '"artifacts": ['
_URI = re.compile(r'[\]}, ]*\{"uri": ("(?:[^"\\]|\\.)*")')
# With these the job has ended, and why it was stopped; all others are of attempts that another one may follow.
TRUSTED_OUTCOMES = {
    "Completed": None,
    "Stopped": StopReason.USER_REQUESTED,
    "MaxRuntimeExceeded": StopReason.MAX_RUNTIME_EXCEEDED,
    "MaxWaitTimeExceeded": StopReason.MAX_WAIT_TIME_EXCEEDED,
}


def parse(content: bytes) -> dict[str, Any]:
    """A document's fields; nothing for one that is not ours to understand."""
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def beginning(content: bytes) -> dict[str, Any]:
    """The fields before the long lists, of a manifest of which no more than its beginning may be there."""
    return parse(content) or parse(content.partition(_WARNINGS)[0] + b"}")


def marker(job: JobIdentity) -> bytes:
    return json.dumps(
        {"version": VERSION, "jobID": job.digest, "attempt": job.attempt, "namespace": job.namespace, "name": job.name}
    ).encode()


def newer_attempt(found: dict[str, Any], job: JobIdentity) -> bool:
    """Before training: does the marker belong to a later attempt of this very job?"""
    return found.get("jobID") == job.digest and _attempt(found) > job.attempt


def mine(found: dict[str, Any], job: JobIdentity) -> bool:
    """Is the document this attempt's?"""
    return found.get("jobID") == job.digest and _attempt(found) == job.attempt


def superseded(found: dict[str, Any], job: JobIdentity) -> bool:
    """Before a commit: has anyone else, or a later attempt, marked the place since this attempt did?"""
    if not found:
        return False
    return found.get("jobID") != job.digest or _attempt(found) > job.attempt


def _attempt(found: dict[str, Any]) -> int:
    attempt = found.get("attempt")
    return attempt if isinstance(attempt, int) else 0


def committed(found: dict[str, Any], job: JobIdentity) -> bool:
    """Is this job's outcome already in S3, so that there is nothing left to train?"""
    return found.get("jobID") == job.digest and found.get("outcome") in TRUSTED_OUTCOMES


def has_files_of(found: dict[str, Any], job: JobIdentity, host: str) -> bool:
    """Was this very attempt committed with the files of this host?"""
    return mine(found, job) and host not in found.get("missingHosts", [host])


def stop_reason(found: dict[str, Any]) -> StopReason | None:
    """Why the job whose outcome this is was stopped, if it was."""
    return TRUSTED_OUTCOMES.get(str(found.get("outcome")))


def share_uri(plan: Plan, host: str, name: str) -> str:
    """Where a host that must leave alone puts its files: never under a final key."""
    return plan.artifact_uri(name, f"{plan.output_uri}/trainyard-shares/{plan.job.digest}-{plan.job.attempt}/{host}")


class Listing:
    """Reads the files of a manifest line by line, as it was written: it may be longer than memory should hold."""

    def __init__(self, job: JobIdentity, uri: str) -> None:
        """Of the artifact `uri`, if the manifest is one of this very job."""
        self._job = job
        self._uri = uri
        self._at: str | None = None
        """The artifact whose files follow; None before the first line."""

    def file(self, line: str) -> tuple[str, int] | None:
        """Path and size, if the line has a file. Raises ValueError for what is no manifest of ours."""
        if self._at is None:
            start, found, rest = line.partition(_ARTIFACTS)
            if not found or parse(f"{start.rstrip(', ')}}}".encode()).get("jobID") != self._job.digest:
                raise ValueError("not this job's")
            self._follow(rest)
            return None
        described, end = json.JSONDecoder().raw_decode(line)
        here = self._at
        self._follow(line[end:])
        return (str(described["path"]), int(described["size"])) if here == self._uri else None

    def _follow(self, text: str) -> None:
        found = _URI.match(text)
        self._at = str(json.loads(found[1])) if found else self._at or ""


def head(plan: Plan, outcome: str, missing: list[str], warnings: list[str]) -> dict[str, Any]:
    """The manifest without its long lists."""
    return {
        "version": VERSION,
        "jobID": plan.job.digest,
        "attempt": plan.job.attempt,
        "trainingJobName": plan.job.training_job_name,
        "outcome": outcome,
        "hosts": [host.name for host in plan.hosts],
        "missingHosts": missing,
        "warnings": warnings,
    }
