"""A TrainingJob as far as decisions look at it. Parsed once, frozen; a poison object reads as one with a problem."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from trainyard.api import names
from trainyard.api.resources import MAX_INSTANCES
from trainyard.api.status import TERMINAL, Choices, Condition, JobStatus
from trainyard.api.trainingjob import LONGEST_TTL, TrainingJobSpec
from trainyard.controller.core import read

Value = TypeVar("Value", bound=str)
DEFAULT_REGION = "us-east-1"
DEFAULT_ACCOUNT = "000000000000"
# What parse_job reads of it, besides its version and the annotations that are ours.
_METADATA = (
    "namespace",
    "name",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
)
_UNKNOWN_CREATION = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Job:
    """`spec` is None if it cannot be read; `problem` then says why, and `raw_spec` is what little may be taken from it for pods
    that are there already. `raw_status` is what a patch is compared with."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    spec: TrainingJobSpec | None
    status: JobStatus = field(default_factory=JobStatus)
    raw_status: dict[str, Any] = field(default_factory=dict)
    deleting: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    raw_spec: read.Raw = field(default_factory=dict)
    history_lost: bool = False  # the status cannot be read, so nobody can say what was done already

    @property
    def training_job_name(self) -> str:
        if self.spec is None:
            return read.text(self.raw_spec, "trainingJobName") or self.name
        return self.spec.training_job_name or self.name

    @property
    def account(self) -> str:
        """Of the role's ARN, arn:aws:iam::<account>:role/<name>."""
        parts = (self.spec.role_arn if self.spec else None) or ""
        return parts.split(":")[4] if parts.count(":") >= 5 else DEFAULT_ACCOUNT

    @property
    def attempt(self) -> int:
        return self.status.attempt or 1

    @property
    def terminal(self) -> bool:
        return self.status.training_job_status in TERMINAL

    @property
    def stop(self) -> bool:
        return self.spec.stop if self.spec is not None else self.raw_spec.get("stop") is True

    @property
    def suspend(self) -> bool:
        return self.spec.suspend if self.spec is not None else self.raw_spec.get("suspend") is True

    @property
    def instance_count(self) -> int:
        """0: as many as there are."""
        if self.spec is not None:
            return self.spec.resource_config.instance_count
        count = read.number(read.mapping(self.raw_spec, "resourceConfig"), "instanceCount") or 0
        return count if 0 < count <= MAX_INSTANCES else 0

    @property
    def ttl(self) -> int | None:
        """Seconds for which what is left of it stays after its end."""
        if self.spec is not None:
            return self.spec.ttl_seconds_after_finished
        ttl = read.number(self.raw_spec, "ttlSecondsAfterFinished")
        return ttl if ttl is not None and 0 <= ttl <= LONGEST_TTL else None

    @property
    def delete_after_ttl(self) -> bool:
        return self.annotations.get(names.ANNOTATION_DELETE_AFTER_TTL) == "true"

    def choices(self) -> Choices:
        """As it was when the first pods were recorded, else as the annotations have it now. Raises ValueError with a sentence."""
        return self.status.choices or Choices(
            sharding=self._chosen(names.ANNOTATION_SHARDING, names.SHARDING),
            manifest_paths=self._chosen(names.ANNOTATION_MANIFEST_PATHS, names.MANIFEST_PATHS),
        )

    def _chosen(self, annotation: str, values: tuple[Value, ...]) -> Value:
        """The value of an annotation that chooses among `values`; the first where it is absent. Raises ValueError with a sentence."""
        value = self.annotations.get(annotation, values[0])
        for known in values:
            if value == known:
                return known
        raise ValueError(f"annotation {annotation} is {value!r}; write {' or '.join(map(repr, values))}, or remove it")

    def arn(self, region: str) -> str:
        return f"arn:aws:sagemaker:{region}:{self.account}:training-job/{self.training_job_name}"

    def condition(self, type_: str) -> Condition | None:
        return next((condition for condition in self.status.conditions if condition.type == type_), None)


def explain(error: ValidationError) -> str:
    """pydantic's findings in one line: field path, then what is wrong."""
    return "; ".join(
        ": ".join(filter(None, (".".join(map(str, finding["loc"])), finding["msg"].removeprefix("Value error, "))))
        for finding in error.errors(include_url=False)[:5]
    )


@dataclass(frozen=True, slots=True)
class PackedJob:
    """A job as it is kept: what is asked of all jobs at once, and the rest as packed JSON, which takes little of what it takes read.

    `hosts`: how many the status names.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    created: datetime
    training_job_name: str
    secondary_status: str
    attempt: int
    hosts: int
    terminal: bool
    deleting: bool
    content: bytes

    def unpack(self) -> Job:
        return replace(_unpack(self.content), resource_version=self.resource_version)


def pack_job(raw: Any) -> PackedJob:
    """Total."""
    metadata, spec, status = (read.mapping(raw, part) for part in ("metadata", "spec", "status"))
    kept = {name: metadata[name] for name in _METADATA if name in metadata}
    # Others' may be large: kubectl apply keeps the whole manifest in one.
    annotations = read.texts(metadata, "annotations")
    kept["annotations"] = {name: annotations[name] for name in annotations if name.startswith(f"{names.GROUP}/")}
    name = read.text(metadata, "name")
    return PackedJob(
        namespace=read.text(metadata, "namespace"),
        name=name,
        uid=read.text(metadata, "uid"),
        resource_version=read.text(metadata, "resourceVersion"),
        created=read.time(metadata, "creationTimestamp") or _UNKNOWN_CREATION,
        training_job_name=read.text(spec, "trainingJobName") or name,
        secondary_status=read.text(status, "secondaryStatus"),
        attempt=read.number(status, "attempt") or 1,
        hosts=len(read.items(status, "hosts")),
        terminal=read.text(status, "trainingJobStatus") in TERMINAL,
        deleting="deletionTimestamp" in metadata,
        content=zlib.compress(json.dumps({"metadata": kept, "spec": spec, "status": status}).encode(), 1),
    )


@lru_cache(64)
def _unpack(content: bytes) -> Job:
    return parse_job(json.loads(zlib.decompress(content)))


def parse_job(raw: Any) -> Job:
    """Total."""
    metadata = read.mapping(raw, "metadata")
    spec: TrainingJobSpec | None = None
    status, problem, history_lost = JobStatus(), "", False
    raw_spec, raw_status = read.mapping(raw, "spec"), dict(read.mapping(raw, "status"))
    try:
        spec, raw_spec = TrainingJobSpec.model_validate(raw_spec), {}
    except ValidationError as error:
        problem = f"spec cannot be read: {explain(error)}"
    try:
        status = JobStatus.model_validate(raw_status)
    except ValidationError as error:
        spec, raw_spec, history_lost = None, {}, True
        problem = (
            f"status cannot be read, so nothing is done for this job: {explain(error)}. Put right what is named, with kubectl edit"
            " --subresource=status, or delete the job and create it again"
        )
    return Job(
        namespace=read.text(metadata, "namespace"),
        name=read.text(metadata, "name"),
        uid=read.text(metadata, "uid"),
        resource_version=read.text(metadata, "resourceVersion"),
        generation=read.number(metadata, "generation") or 0,
        created=read.time(metadata, "creationTimestamp") or _UNKNOWN_CREATION,
        spec=spec,
        status=status,
        raw_status=raw_status,
        deleting="deletionTimestamp" in metadata,
        annotations=read.texts(metadata, "annotations"),
        problem=problem,
        raw_spec=raw_spec,
        history_lost=history_lost,
    )
