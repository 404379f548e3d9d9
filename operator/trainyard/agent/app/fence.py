"""The two documents in S3 that say who may do what: read and written, with the words for refusals."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from trainyard.agent.app.patience import READINGS, Patience, Refused
from trainyard.agent.app.store import Store
from trainyard.agent.core import manifest
from trainyard.agent.errors import AgentError, ClientFailure, PlatformFailure
from trainyard.agent.timing import Timing
from trainyard.api.plan import Plan
from trainyard.api.reasons import Reason
from trainyard.api.uris import split_s3_uri

BEGINNING = 256 * 1024
"""Bytes of a manifest: more than the names of all hosts have, twice."""
TRIES = 5  # two attempts marking the same place at the same moment


def download_failure(refused: Refused) -> AgentError:
    return ClientFailure(refused.verdict.reason, f"Data download failed:{refused.verdict.text}")


def upload_failure(refused: Refused) -> AgentError:
    reason = refused.verdict.reason
    if reason is Reason.DATA_DOWNLOAD_FAILED:
        reason = Reason.ARTIFACT_UPLOAD_FAILED
    return ClientFailure(reason, f"Artifact upload failed:{refused.verdict.text}")


def _denied(refused: Refused) -> bool:
    return refused.fault.status == 403 and refused.fault.code == "AccessDenied"


def already_committed(store: Store, plan: Plan, patience: Patience) -> dict[str, object] | None:
    """The beginning of this job's manifest, if its result is in S3 already. Raises AgentError."""
    try:
        found = _manifest(store, plan, patience)
    except Refused as refused:
        raise upload_failure(refused) from refused
    return found if manifest.committed(found, plan.job) else None


def committed_with(store: Store, plan: Plan, hosts: Iterable[str], patience: Patience) -> dict[str, object] | None:
    """The beginning of this attempt's manifest, if algo-1 has committed, and with it the files of these hosts. Raises Refused."""
    found = _manifest(store, plan, patience)
    return found if all(manifest.has_files_of(found, plan.job, host) for host in hosts) else None


def _manifest(store: Store, plan: Plan, patience: Patience) -> dict[str, object]:
    """Its beginning, for it names every file, and there may be millions; nothing if there is none. A refused read counts as none: S3 says
    403 for a missing key to those who may not list."""
    bucket, key = split_s3_uri(plan.manifest_uri)
    found: dict[str, object] = {}
    for _ in range(READINGS):
        try:
            found = manifest.beginning(bytes(store.read_start(bucket, key, BEGINNING, patience)[0]))
        except Refused as refused:
            if refused.fault.missing or _denied(refused):
                return {}
            raise
        if found:
            break
    return found


def mark(store: Store, plan: Plan, patience: Patience) -> None:
    """Writes the attempt marker, and thereby shows that this job may write. Raises AgentError."""
    bucket, key = split_s3_uri(plan.marker_uri)
    for _ in range(TRIES):
        denied: Refused | None = None
        found = None
        try:
            try:
                found = store.read_small(bucket, key, patience)
            except Refused as refused:
                if not _denied(refused):
                    raise
                denied = refused  # or is it only missing? writing will tell
            if found and manifest.newer_attempt(manifest.parse(found[0]), plan.job):
                raise _superseded(plan, "before training began", manifest.parse(found[0]))
            _write(store, plan, patience, match=found[1] if found else "")
            # Read back: a commit needs it at the end, and a role that cannot shall fail now.
            if store.read_small(bucket, key, patience) is not None:
                return
        except Refused as refused:
            if refused.fault.status != 412:
                raise upload_failure(refused) from refused
            if denied:
                raise upload_failure(denied) from refused
            # Somebody else was faster: look again.
    raise PlatformFailure(
        Reason.ARTIFACT_UPLOAD_FAILED, f"{plan.marker_uri} is being written by others all the time; try again."
    )


def _write(store: Store, plan: Plan, patience: Patience, match: str) -> None:
    bucket, key = split_s3_uri(plan.marker_uri)
    body = manifest.marker(plan.job)
    try:
        store.put(bucket, key, body, patience, match=match)
    except Refused as refused:
        if refused.fault.status != 501:
            raise
        store.put(bucket, key, body, patience)  # a store without conditional writes


def ensure(store: Store, plan: Plan, patience: Patience, when: str) -> None:
    """Goes on only if no later attempt, and no later job, has marked the place. Raises Refused, and AgentError if one has."""
    bucket, key = split_s3_uri(plan.marker_uri)
    try:
        found = store.read_small(bucket, key, patience)
    except Refused as refused:
        if _denied(refused):
            return
        raise
    if found is not None and manifest.superseded(marked := manifest.parse(found[0]), plan.job):
        raise _superseded(plan, when, marked)


def settled(store: Store, plan: Plan, patience: Patience, timing: Timing, waits: Callable[[], None]) -> None:
    """Returns when no earlier attempt of this job changes checkpoints any more: this one has marked the place, which its first host does,
    and that was noticed. `waits` is called if that takes a while. Raises AgentError."""
    bucket, key = split_s3_uri(plan.marker_uri)
    told = False
    try:
        while True:
            found = store.read_small(bucket, key, patience)
            marked = manifest.parse(found[0]) if found else {}
            if manifest.mine(marked, plan.job):
                break
            if manifest.newer_attempt(marked, plan.job):
                raise _superseded(plan, "before training began", marked)
            if not told:
                waits()
                told = True
            time.sleep(timing.peer_poll)
    except Refused as refused:
        raise upload_failure(refused) from refused
    time.sleep(timing.fence_age)


class Guard:
    """`ensure` for work that writes all the time: asks again only when the last answer is older than `age` seconds."""

    def __init__(self, store: Store, plan: Plan, age: float, when: str) -> None:
        """`when` the place was lost, as the refusal says it."""
        self._when = when
        self._store = store
        self._plan = plan
        self._age = age
        self._asked = -math.inf

    def check(self, patience: Patience) -> None:
        """Raises Refused, and AgentError if the place belongs to a later attempt."""
        now = time.monotonic()
        if now - self._asked >= self._age:
            ensure(self._store, self._plan, patience, self._when)
            self._asked = now


def _superseded(plan: Plan, when: str, by: dict[str, object]) -> AgentError:
    """By a later attempt: nobody waits for this one. By another job: the user's to mend, and never to be tried again, as a
    further attempt would take the place away from that job."""
    text = f"Attempt {plan.job.attempt} of this job was superseded {when}: {plan.marker_uri} belongs to a later one. It writes nothing more."
    if by.get("jobID") == plan.job.digest:
        return PlatformFailure(Reason.ARTIFACT_UPLOAD_FAILED, text)
    advice = f" Another job ({by.get('namespace')}/{by.get('name')}) writes to the same place: give each its own s3OutputPath or trainingJobName."
    return ClientFailure(Reason.ARTIFACT_UPLOAD_FAILED, f"Artifact upload failed:{text}{advice}")
