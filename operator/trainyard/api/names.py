"""Every name that two programs must agree on: API group, labels, annotations, paths, ports. Nothing here computes."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

GROUP: Final = "trainyard.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
FIELD_MANAGER: Final = "trainyard"

# Labels: on every child of a job. The uid, not the name, says whose it is: a job of the same name may follow.
LABEL_JOB_UID: Final = f"{GROUP}/job-uid"
LABEL_JOB_NAME: Final = f"{GROUP}/job-name"
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
LABEL_HOST: Final = f"{GROUP}/host"  # on pods, as the next one
LABEL_TRAINING_JOB_NAME: Final = f"{GROUP}/training-job-name"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"

# On a PersistentVolumeClaim, by whoever offers it: the file system (fs-...) that it stands for in its namespace.
LABEL_FILE_SYSTEM: Final = f"{GROUP}/file-system-id"

# Annotations the operator writes on a pod and the agent reads through the downward API.
ANNOTATION_STOP: Final = f"{GROUP}/stop"  # JSON StopOrder
ANNOTATION_TRAINING_ENDED: Final = f"{GROUP}/training-ended"  # JSON TrainingEnd

# On a TrainingJob: "true" lets ttlSecondsAfterFinished remove the job itself too.
ANNOTATION_DELETE_AFTER_TTL: Final = f"{GROUP}/delete-after-ttl"

# On a TrainingJob, about its sharded channels: what the shares of hosts are to be equal in.
ANNOTATION_SHARDING: Final = f"{GROUP}/sharding"
SHARDING: Final[tuple[Literal["objects", "bytes"], ...]] = ("objects", "bytes")
# On a TrainingJob, about its ManifestFile channels: where below the channel an object lies.
ANNOTATION_MANIFEST_PATHS: Final = f"{GROUP}/manifest-paths"
MANIFEST_PATHS: Final[tuple[Literal["relative", "key"], ...]] = ("relative", "key")

# Containers of a job's pod, in the order in which they start.
CONTAINER_SIDECAR: Final = "sidecar"
CONTAINER_PREFETCH: Final = "prefetch"
CONTAINER_STAGE: Final = "stage"
CONTAINER_TRAINING: Final = "training"
CONTAINER_HOLD: Final = "hold"
# How a process ends that is killed (by the kernel too, out of memory) or crashes: 128 and SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGSEGV.
KILLED_EXIT_CODES: Final = (132, 134, 135, 136, 137, 139)

# Where things are in the agent's containers. Training sees none of these, only sub-paths of ML_DIR under /opt/ml.
AGENT_DIR: Final = "/trainyard"
ML_DIR: Final = f"{AGENT_DIR}/ml"  # the storage volume, whole
STATE_DIR: Final = f"{AGENT_DIR}/state"  # the agent's own volume: flags, clock, reports
TOOLS_DIR: Final = f"{AGENT_DIR}/tools"  # podtool, for containers that run the user's image
PLAN_FILE: Final = f"{AGENT_DIR}/plan/plan.json"  # the attempt's ConfigMap
PODINFO_DIR: Final = f"{AGENT_DIR}/podinfo"  # downward API: the two annotations above
PODINFO_STOP: Final = "stop"
PODINFO_TRAINING_ENDED: Final = "training-ended"
CREDENTIALS_DIR: Final = f"{AGENT_DIR}/credentials"  # the ExecutionRole's Secret, a file per key
IDENTITY_DIR: Final = f"{AGENT_DIR}/identity"  # the service account's token for an STS
IDENTITY_TOKEN: Final = "token"  # noqa: S105 - a file's name
VOLUMES_DIR: Final = f"{AGENT_DIR}/volumes"  # in `stage`: the claims that channels are mounted from, each whole
CA_DIR: Final = f"{AGENT_DIR}/ca"  # also in training: the authorities of the S3 endpoint
CA_FILE: Final = f"{CA_DIR}/ca.crt"
RELEASE_FILE: Final = f"{STATE_DIR}/release"  # `hold` waits for it
PODTOOL: Final = "/usr/local/bin/podtool"  # in the agent image, as is the next one
S3FETCH: Final = "/usr/local/bin/s3fetch"
ENV_HOST: Final = "TRAINYARD_HOST"  # algo-<n>, set on the agent's containers

# The storage volume's sub-paths and where training sees them.
ML_SUBPATHS: Final = {
    "input": "/opt/ml/input",
    "model": "/opt/ml/model",
    "output": "/opt/ml/output",
    "checkpoints": "/opt/ml/checkpoints",
    "tmp": "/tmp",  # noqa: S108 - the path is the contract's: scratch on the storage volume
}

# Below the ephemeral range (32768) and used by none of the frameworks' rendezvous, parameter servers or trackers.
AGENT_PORT: Final = 24817
PATH_LIVE: Final = "/live"  # open: training's liveness probe
PATH_REPORT: Final = "/report"  # token: Report as JSON
PATH_TRAINING_ENDED: Final = "/training-ended"  # token, POST TrainingEnd: the annotation's content, sooner
PATH_PRESTOP: Final = "/prestop"  # open, GET by the kubelet: the pod ends, or is being deleted

PATH_CREDENTIALS: Final = (
    "/credentials"  # a token of its own, from the pod itself: the role's credentials, for training
)

STOP_GRACE_SECONDS: Final = 120  # SIGTERM to SIGKILL, SageMaker's figure
LIVENESS_PERIOD_SECONDS: Final = 2
LIVENESS_THRESHOLD: Final = 15  # x period = 30 s: spans a sidecar restarted twice
DELETION_BUDGET_SECONDS: Final = 300  # for the upload, after STOP_GRACE_SECONDS, when a pod is deleted

TERMINATION_MESSAGE_BYTES: Final = 2048  # the kubelet shares 12 KiB among a pod's containers and cuts at a byte
FAILURE_REASON_CHARS: Final = 1024


def agent_token(job_uid: str, attempt: int) -> str:
    """The bearer token of an attempt's sidecars. The uid is nowhere where training can read it, S3 included."""
    return hashlib.sha256(f"trainyard/{job_uid}/{attempt}".encode()).hexdigest()


def credentials_token(job_uid: str, attempt: int) -> str:
    """What training shows to get the role's credentials; it opens nothing else, and nothing from outside of the pod."""
    return hashlib.sha256(f"trainyard/credentials/{job_uid}/{attempt}".encode()).hexdigest()


def cut_utf8(text: str, limit: int) -> str:
    """`text`, cut to at most `limit` bytes of UTF-8 without splitting a character."""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
