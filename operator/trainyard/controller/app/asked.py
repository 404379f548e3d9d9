"""Pods that jobs asked for: until an answer has come, or somebody has looked, they may be there though nothing tells of them."""

from __future__ import annotations

from trainyard.controller.adapters.cache import Key
from trainyard.controller.core.job import Job


class Asked:
    """By the pods' keys, with the jobs that want them."""

    def __init__(self) -> None:
        self._jobs: dict[Key, Job] = {}

    def add(self, job: Job, pod: str) -> None:
        self._jobs[job.namespace, pod] = job

    def settle(self, job: Job, pod: str) -> None:
        self._jobs.pop((job.namespace, pod), None)

    def by(self, key: Key) -> list[tuple[Job, str]]:
        """What jobs of this key asked for, and nobody has answered."""
        return [(job, pod) for (_, pod), job in self._jobs.items() if (job.namespace, job.name) == key]

    def named(self, namespace: str, training_job_name: str) -> list[Job]:
        """The jobs of that trainingJobName that wait for an answer, once for each pod."""
        name = (namespace, training_job_name)
        return [job for job in self._jobs.values() if (job.namespace, job.training_job_name) == name]
