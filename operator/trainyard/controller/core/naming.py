"""Names and labels of a job's children: from its name, attempt and rank alone, so that making them twice makes them once."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from trainyard.api import names

# A pod's or ConfigMap's name may have 253 characters and a job's 63; a Service's only 63, and it may not begin with a digit.
_DIGEST: Final = 8
_SERVICE_STEM: Final = 40
_HOST: Final = re.compile("algo-([1-9][0-9]{0,9})")


def host_name(rank: int) -> str:
    """algo-1 for rank 0."""
    return f"algo-{rank + 1}"


def rank_of(host: str) -> int:
    """0 for algo-1; numeric, so that algo-10 comes after algo-2. A large number for what is no host's name."""
    match = _HOST.fullmatch(host)
    return int(match[1]) - 1 if match is not None else 1 << 30


def pod_name(job: str, attempt: int, host: str) -> str:
    return f"{job}-{attempt}-{host}"


def config_map_name(job: str, attempt: int) -> str:
    return f"{job}-{attempt}-plan"


def service_name(job: str, uid: str, attempt: int) -> str:
    """At most 63 characters, distinct per job and attempt, and never the bare `algo-<n>` that frameworks look up."""
    digest = hashlib.sha256(f"{uid}/{attempt}".encode()).hexdigest()[:_DIGEST]
    stem = job[:_SERVICE_STEM].replace(".", "-").rstrip("-")
    return f"tj-{stem}-{digest}"


def labels(job: str, uid: str, attempt: int) -> dict[str, str]:
    """On every child."""
    return {
        names.LABEL_MANAGED_BY: names.FIELD_MANAGER,
        names.LABEL_JOB_NAME: job,
        names.LABEL_JOB_UID: uid,
        names.LABEL_ATTEMPT: str(attempt),
    }


def selector(uid: str, attempt: int) -> dict[str, str]:
    """The pods of one attempt: by uid, as a job of the same name may follow."""
    return {names.LABEL_JOB_UID: uid, names.LABEL_ATTEMPT: str(attempt)}
