"""One training job in its four forms. Nothing is dropped without a note that names it.

form read -> Job (the manifest's names) -> form written
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from trainyard.api import casing
from trainyard.api.names import API_VERSION
from trainyard.cli.core.documents import Document
from trainyard.cli.core.naming import is_legal, kubernetes_name
from trainyard.cli.core.recognise import ACK_API_VERSION, KIND, RESULTS, Form
from trainyard.cli.errors import Failed

Fields = dict[str, Any]

# What only a manifest of ours can say: it acts on a job that runs.
_OURS: Final = ("stop", "suspend", "ttlSecondsAfterFinished")

# What CreateTrainingJob knows and ACK's TrainingJob does not; its apiserver would refuse it.
NOT_IN_ACK: Final = (
    "algorithmSpecification.containerArguments",
    "algorithmSpecification.containerEntrypoint",
    "algorithmSpecification.trainingImageConfig",
    "experimentConfig.runName",
    "inputDataConfig.dataSource.datasetSource",
    "mlflowConfig",
    "modelPackageConfig",
    "profilerConfig.disableProfiler",
    "resourceConfig.instancePreferences",
    "resourceConfig.selectedInstanceCount",
    "resourceConfig.selectedInstanceType",
    "resourceConfig.trainingPlanARN",
    "serverlessJobConfig",
    "sessionChainingConfig",
)
# What was asked for and DescribeTrainingJob does not echo.
NOT_DESCRIBED: Final = ("Tags", "SessionChainingConfig")
_ABSENT: Final = object()
_SELECTED: Final = ("SelectedInstanceType", "SelectedInstanceCount")

# Of an object in a cluster, not of the job.
_SET_BY_THE_CLUSTER: Final = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
    "ownerReferences",
    "finalizers",
)
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass
class Job:
    """A job under the manifest's names, and what its reading and writing leave behind."""

    metadata: Fields
    spec: Fields
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """SageMaker's name of it."""
        return str(self.spec.get("trainingJobName") or self.metadata.get("name") or "")


def read(document: Fields, form: Form) -> Job:
    """Raises Failed for a document that has the form's marks and not its structure."""
    return _from_api(document, form) if form in (Form.REQUEST, Form.DESCRIBED) else _from_object(document)


def to_manifest(job: Job) -> Document:
    return _as_object(API_VERSION, job.metadata, job.spec)


def to_ack(job: Job) -> Document:
    spec = {"trainingJobName": job.name} | _without_ours(job)
    for path in NOT_IN_ACK:
        for found in _taken(spec, path.split("."), "spec"):
            job.notes.append(f"{found}: ACK's TrainingJob has no such field, left out")
    return _as_object(ACK_API_VERSION, job.metadata, _completed(spec, job, ack=True))


def to_request(job: Job) -> Document:
    if not job.name:
        raise Failed("metadata.name, spec.trainingJobName: a request needs a TrainingJobName, and there is neither")
    if others := [f"metadata.{name}" for name in job.metadata if name != "name"]:
        job.notes.append(f"{', '.join(others)}: a request has no place for it, left out")
    spec = _completed({"trainingJobName": job.name} | _without_ours(job), job, ack=False)
    job.notes += _misnamed(spec, casing.to_aws_name, casing.to_manifest_name, "spec")
    try:
        request: Fields = casing.to_aws(spec)
    except ValueError as error:
        raise Failed(f"spec: {error}") from None
    return request


def rename(job: Job, name: str | None, namespace: str | None) -> None:
    """What the command line says of the object's place, over what the job says."""
    said = {"name": name, "namespace": namespace}
    job.metadata = job.metadata | {key: value for key, value in said.items() if value}


# -- reading


def _from_api(document: Fields, form: Form) -> Job:
    job = Job({}, {})
    asked = copy.deepcopy(document)
    if form is Form.DESCRIBED:
        results = [name for name in RESULTS if asked.pop(name, _ABSENT) is not _ABSENT]
        resources = asked.get("ResourceConfig")
        if isinstance(resources, dict):
            results += [f"ResourceConfig.{name}" for name in _SELECTED if resources.pop(name, _ABSENT) is not _ABSENT]
        job.notes.append(f"{', '.join(results)}: results of the run, not carried over")
        if untold := [name for name in NOT_DESCRIBED if name not in asked]:
            job.notes.append(f"{', '.join(untold)}: DescribeTrainingJob does not tell; add them if the job has any")
    if empty := list(_nulls(asked, "")):
        job.notes.append(f"{', '.join(empty)}: null, which says nothing, left out")
    job.notes += _misnamed(asked, casing.to_manifest_name, casing.to_aws_name, "")
    try:
        job.spec = casing.to_manifest(asked)
    except ValueError as error:
        raise Failed(str(error)) from None
    named = job.spec.get("trainingJobName", "")
    if not isinstance(named, str):
        raise Failed(f"TrainingJobName: expected text, found {named!r}")
    if name := kubernetes_name(named):
        job.metadata["name"] = name
        if name != named.lower():
            job.notes.append(f"TrainingJobName: {named} cannot be a Kubernetes name; metadata.name is {name}")
        if name == named:
            del job.spec["trainingJobName"]
    return job


def _from_object(document: Fields) -> Job:
    metadata = copy.deepcopy(_mapping(document.get("metadata") or {}, "metadata"))
    job = Job(metadata, copy.deepcopy(_mapping(document.get("spec"), "spec")))
    if wrong := [key for key in ("name", "namespace") if not isinstance(metadata.get(key, ""), str)]:
        raise Failed(f"metadata.{wrong[0]}: expected text, found {metadata[wrong[0]]!r}")
    if others := [name for name in document if name not in ("apiVersion", "kind", "metadata", "spec")]:
        job.notes.append(f"{', '.join(others)}: not of the job but of its run, not carried over")
    mine = [name for name in _SET_BY_THE_CLUSTER if name in metadata]
    for dead in mine:
        del metadata[dead]
    dropped = [f"metadata.{name}" for name in mine]
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and annotations.pop(_LAST_APPLIED, None) is not None:
        dropped.append(f"metadata.annotations[{_LAST_APPLIED}]")
        if not annotations:
            del metadata["annotations"]
    if dropped:
        job.notes.append(f"{', '.join(dropped)}: of the object in its cluster, not carried over")
    name = metadata.get("name")
    if name and not is_legal(name):
        metadata["name"] = kubernetes_name(name)
        job.spec = {"trainingJobName": name} | job.spec
        job.notes.append(
            f"metadata.name: {name} cannot be a TrainingJob's here, {metadata['name'] or 'nothing'} is written"
        )
    return job


def _nulls(value: Any, where: str) -> Iterator[str]:
    """Removes fields that are null, and says where they were."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _nulls(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        for name in list(value):
            path = f"{where}.{name}" if where else name
            if value[name] is None:
                del value[name]
                yield path
            elif name not in casing.USER_KEYED:
                yield from _nulls(value[name], path)


def _mapping(value: Any, path: str) -> Fields:
    if not isinstance(value, dict):
        raise Failed(f"{path}: expected fields, found {'nothing' if value is None else repr(value)}")
    return value


# -- writing


def _as_object(version: str, metadata: Fields, spec: Fields) -> Document:
    return {"apiVersion": version, "kind": KIND, "metadata": metadata, "spec": spec}


def _without_ours(job: Job) -> Fields:
    if ours := [f"spec.{name}" for name in _OURS if name in job.spec]:
        job.notes.append(f"{', '.join(ours)}: only trainyard has it, left out")
    return copy.deepcopy({name: value for name, value in job.spec.items() if name not in _OURS})


def _completed(spec: Fields, job: Job, *, ack: bool) -> Fields:
    """What may be left out here and must be said there, filled in with the value that it has here."""
    algorithm = spec.get("algorithmSpecification")
    if isinstance(algorithm, dict) and algorithm.setdefault("trainingInputMode", None) is None:
        algorithm["trainingInputMode"] = "File"
        job.notes.append("spec.algorithmSpecification.trainingInputMode: File, the default here, written out")
    channels = spec.get("inputDataConfig")
    for index, channel in enumerate(channels if isinstance(channels, list) else []):
        data = channel.get("dataSource") if isinstance(channel, dict) else None
        source = data.get("s3DataSource") if isinstance(data, dict) else None
        if isinstance(source, dict) and source.setdefault("s3DataType", None) is None:
            source["s3DataType"] = "S3Prefix"
            path = f"spec.inputDataConfig[{index}].dataSource.s3DataSource.s3DataType"
            job.notes.append(f"{path}: S3Prefix, the default here, written out")
    if ack and "stoppingCondition" not in spec:
        spec["stoppingCondition"] = {"maxRuntimeInSeconds": 86400}
        job.notes.append("spec.stoppingCondition: 86400 s, the default here, written out")
    if not spec.get("roleARN"):
        job.notes.append("spec.roleARN: SageMaker needs a role, and the job names none; add it")
    return spec


def _taken(node: Any, path: list[str], where: str) -> Iterator[str]:
    """Removes the field at `path`, through lists, and says where it was found."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _taken(item, path, f"{where}[{index}]")
    elif isinstance(node, dict) and path[0] in node:
        if len(path) == 1:
            del node[path[0]]
            yield f"{where}.{path[0]}"
        else:
            yield from _taken(node[path[0]], path[1:], f"{where}.{path[0]}")


def _misnamed(value: Any, there: Callable[[str], str], back: Callable[[str], str], where: str) -> Iterator[str]:
    """A note for each field whose name does not come back as it was: it is no name of the contract's."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _misnamed(item, there, back, f"{where}[{index}]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            path = f"{where}.{name}" if where else name
            if back(there(name)) != name:
                yield f"{path}: no name of the contract's, written as {there(name)}"
            if name not in casing.USER_KEYED and there(name) not in casing.USER_KEYED:
                yield from _misnamed(inner, there, back, path)
