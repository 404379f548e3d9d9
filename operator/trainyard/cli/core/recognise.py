"""Which of the forms of a training job a document is."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from trainyard.api.names import API_VERSION
from trainyard.cli.core.documents import Document
from trainyard.cli.errors import Failed

ACK_API_VERSION: Final = "sagemaker.services.k8s.aws/v1alpha1"
KIND: Final = "TrainingJob"
EXPECTED: Final = (
    "CreateTrainingJob JSON, DescribeTrainingJob JSON,"
    f" a {KIND} of {ACK_API_VERSION} (ACK), or a {KIND} of {API_VERSION}"
)


class Form(Enum):
    """What `recognise` tells apart."""

    REQUEST = "CreateTrainingJob"
    DESCRIBED = "DescribeTrainingJob"
    ACK = "ACK"
    MANIFEST = "trainyard"
    OTHER = "another Kubernetes object"


# What DescribeTrainingJob says of a run, beside its echo of the request.
RESULTS: Final = (
    "TrainingJobArn",
    "TuningJobArn",
    "LabelingJobArn",
    "AutoMLJobArn",
    "ModelArtifacts",
    "TrainingJobStatus",
    "SecondaryStatus",
    "FailureReason",
    "CreationTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "LastModifiedTime",
    "SecondaryStatusTransitions",
    "FinalMetricDataList",
    "TrainingTimeInSeconds",
    "BillableTimeInSeconds",
    "BillableTokenCount",
    "DebugRuleEvaluationStatuses",
    "ProfilerRuleEvaluationStatuses",
    "ProfilingStatus",
    "WarmPoolStatus",
    "MlflowDetails",
    "ProgressInfo",
    "OutputModelPackageArn",
    "ResponseMetadata",  # boto3's, in every answer
)
_SIGNS_OF_A_REQUEST: Final = ("TrainingJobName", "AlgorithmSpecification", "OutputDataConfig")
_SIGNS_OF_A_RUN: Final = ("TrainingJobStatus", "SecondaryStatus", "TrainingJobArn")


def recognise(document: Document) -> Form:
    """Raises Failed with what was expected and what was found."""
    if isinstance(document, dict):
        if "apiVersion" in document or "kind" in document:
            return _kubernetes(document)
        if any(name in document for name in _SIGNS_OF_A_REQUEST):
            return Form.DESCRIBED if any(name in document for name in _SIGNS_OF_A_RUN) else Form.REQUEST
    raise Failed(f"expected {EXPECTED}; found {_described(document)}")


def _kubernetes(document: dict[str, Any]) -> Form:
    version, kind = document.get("apiVersion"), document.get("kind")
    if kind == KIND and version in (ACK_API_VERSION, API_VERSION):
        return Form.ACK if version == ACK_API_VERSION else Form.MANIFEST
    if kind == KIND or not (isinstance(kind, str) and isinstance(version, str)):
        raise Failed(f"expected {EXPECTED}; found {title(document)}")
    return Form.OTHER


def items(document: Document) -> list[Document]:
    """What is in a List, as `kubectl get -o yaml` writes several objects; else the document alone."""
    if isinstance(document, dict) and str(document.get("kind")).endswith("List"):
        inner = document.get("items")
        if isinstance(inner, list):
            return inner
    return [document]


def title(document: dict[str, Any]) -> str:
    """`a Secret of v1 (name)`."""
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"a {document.get('kind')} of {document.get('apiVersion')}" + (f" ({name})" if name else "")


def _described(document: Document) -> str:
    if isinstance(document, dict):
        names = [str(name) for name in document]
        return f"an object with {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else "an empty object"
    if isinstance(document, list):
        return f"a list of {len(document)}"
    text = str(document)
    return f"{text[:40]!r}{'…' if len(text) > 40 else ''}"
