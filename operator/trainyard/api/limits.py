"""StoppingCondition and RetryStrategy: how long a job may take, and how often it is tried."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from trainyard.api.rules import Rule, SpecModel

DEFAULT_MAX_RUNTIME = 86400


class StoppingCondition(SpecModel):
    """How long a job may take."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.maxWaitTimeInSeconds) || self.maxWaitTimeInSeconds >="
            f" (has(self.maxRuntimeInSeconds) ? self.maxRuntimeInSeconds : {DEFAULT_MAX_RUNTIME})",
            lambda said: (
                said.max_wait_time_in_seconds is None or said.max_wait_time_in_seconds >= said.max_runtime_in_seconds
            ),
            "stoppingCondition.maxWaitTimeInSeconds must be at least stoppingCondition.maxRuntimeInSeconds, which is"
            f" {DEFAULT_MAX_RUNTIME} if left out; raise the one or lower the other",
        ),
    )

    max_runtime_in_seconds: int = Field(
        default=DEFAULT_MAX_RUNTIME,
        ge=1,
        le=2419200,
        description="Running time in seconds, from trainingStartTime, after which the job is stopped and its model kept.",
        examples=[3600],
    )
    max_wait_time_in_seconds: int | None = Field(
        default=None,
        ge=1,
        le=5184000,
        description="With enableManagedSpotTraining: seconds from the job's creation for waiting and running together, after which"
        " the job is stopped. At least maxRuntimeInSeconds.",
        examples=[7200],
    )
    max_pending_time_in_seconds: int | None = Field(
        default=None,
        ge=1800,
        le=2419200,
        description="How long each attempt may wait for capacity, in seconds: the first from the job's creation, a later one, or"
        " one that was suspended, from status.attemptStartTime. After that the job is stopped.",
        examples=[7200],
    )


class RetryStrategy(SpecModel):
    """What happens after an InternalServerError: a lost node, an evicted pod, a fault of the platform."""

    maximum_retry_attempts: int = Field(
        ge=1,
        le=30,
        description="How many times the job is started again after an InternalServerError. Nothing else is retried.",
        examples=[3],
    )
