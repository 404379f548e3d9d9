"""A Kubernetes name for a job: SageMaker's names may hold upper case, Kubernetes' may not."""

from __future__ import annotations

import re

LONGEST = 63
_PART = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LEGAL = re.compile(rf"{_PART}(\.{_PART})*")


def is_legal(name: str) -> bool:
    """Whether a TrainingJob may have this name."""
    return len(name) <= LONGEST and _LEGAL.fullmatch(name) is not None


def kubernetes_name(training_job_name: str) -> str:
    """In lower case, what is no letter, digit or hyphen as a hyphen, at most 63 characters; empty if nothing is left."""
    legal = re.sub(r"[^a-z0-9]+", lambda found: "-" * len(found[0]), training_job_name.lower())
    return legal.strip("-")[:LONGEST].rstrip("-")
