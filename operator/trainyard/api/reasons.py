"""Every reason that a condition, an event or a report may carry, each with a sentence on when it appears."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """CamelCase, stable: people and tools match on them."""

    # Accepted: can the job be run as it is written?
    ACCEPTED = "Accepted"  # every name it uses was found
    INVALID_SPEC = "InvalidSpec"  # a rule that the apiserver could not check is broken
    INSTANCE_TYPE_NOT_FOUND = "InstanceTypeNotFound"  # no InstanceType of that name
    INSTANCE_TYPE_INVALID = "InstanceTypeInvalid"  # its reserve leaves nothing for training
    EXECUTION_ROLE_NOT_FOUND = "ExecutionRoleNotFound"  # no ExecutionRole with that roleARN in the namespace
    EXECUTION_ROLE_AMBIGUOUS = "ExecutionRoleAmbiguous"  # two ExecutionRoles carry that roleARN
    INSTANCE_METADATA_FORBIDDEN = (
        "InstanceMetadataForbidden"  # the role wants the node's credentials, the operator's setting does not
    )
    CLAIM_NOT_FOUND = "ClaimNotFound"  # no PersistentVolumeClaim for a channel; waited for
    CLAIM_AMBIGUOUS = "ClaimAmbiguous"  # two claims are labelled with one file system
    CLAIM_NOT_READY = "ClaimNotReady"  # the claim is not bound, or is being deleted; waited for
    CLAIM_UNFIT = "ClaimUnfit"  # its access modes or its volume mode do not allow what the job needs
    NAME_IN_USE = "ResourceInUse"  # another job of the namespace has this trainingJobName

    # FieldsIgnored: there only if it is so.
    NO_EFFECT = (
        "NoEffect"  # fields of the spec are about AWS alone; the message names them and says what they mean here
    )

    # Reconciling / Ready: where is it?
    PENDING = "Pending"  # pods exist but are not scheduled
    UNSCHEDULABLE = "Unschedulable"  # the scheduler says why
    STARTING = "Starting"  # pods are being made
    PODS_REFUSED = "PodsRefused"  # the apiserver refuses the pods: quota, policy, admission
    ORDER_REFUSED = "OrderRefused"  # the apiserver does not take what the operator does to pods: policy, admission
    POD_NOT_STARTING = "PodNotStarting"  # it has a node, and for long no container has started there
    NAME_SHADOWED = "NameShadowed"  # a Service of the namespace has a host's short name
    PULLING_IMAGE = "PullingImage"  # the training image is on its way
    IMAGE_PULL_FAILING = "ImagePullFailing"  # it cannot be pulled so far; retried
    STAGING = "Staging"  # input data is on its way
    DOWNLOAD_BLOCKED = "DownloadBlocked"  # S3 keeps failing; retried until downloadRetrySeconds end
    DOWNLOAD_SLOW = "DownloadSlow"  # data comes from S3, at less than 100 kB/s
    WAITING_FOR_HOSTS = "WaitingForHosts"  # this host waits for others: to be staged, or to begin an attempt
    TRAINING = "Training"  # every training container runs
    UPLOADING = "Uploading"  # training has ended; artifacts are on their way
    UPLOAD_BLOCKED = "UploadBlocked"  # S3 refuses the artifacts; retried until the hold window ends
    UPLOAD_SLOW = "UploadSlow"  # S3 takes the artifacts, at less than 100 kB/s a connection
    POD_ALTERED = "PodAltered"  # somebody changed a pod's labels or owner; the message says how to put them back
    STOPPING = "Stopping"  # a stop was asked for or a limit reached
    SUSPENDING = "Suspending"  # spec.suspend was set; the pods are told to end
    SUSPENDED = "Suspended"  # spec.suspend is true and no pod is there
    INTERRUPTED = "Interrupted"  # the cluster took a host away; the job starts again
    RETRYING = "Retrying"  # an InternalServerError; the job starts again as its retryStrategy allows

    # DataReady, ArtifactsUploaded: what is safe?
    DATA_STAGED = "DataStaged"  # input and configuration are in place on every host
    ARTIFACTS_COMMITTED = "ArtifactsCommitted"  # everything is in S3 and its manifest was read back

    # CheckpointsKept: of jobs with checkpointConfig, what of the directory is in S3?
    CHECKPOINTS_KEPT = "CheckpointsKept"  # nothing is in the way
    CHECKPOINTS_NOT_KEPT = "CheckpointsNotKept"  # S3 refuses them; tried again as long as training runs

    # MetricsRead, LogLinesLost: what became of metricDefinitions?
    METRICS_READ = "MetricsRead"  # every definition is applied to the logs of all hosts
    METRICS_SWITCHED_OFF = "MetricsSwitchedOff"  # the operator may not read logs
    METRIC_REGEX_INVALID = "MetricRegexInvalid"  # a definition's regex cannot be used
    METRIC_NOT_A_NUMBER = "MetricNotANumber"  # a definition matches what is no number
    LOGS_NOT_READ = "LogsNotRead"  # a host's log cannot be read, or not to its end
    LOG_GONE = "LogGone"  # a part of a log was rotated away, or went with its pod, before it was read

    # Finished: how did it end?
    COMPLETED = "Completed"
    STOPPED = "Stopped"
    MAX_RUNTIME_EXCEEDED = "MaxRuntimeExceeded"
    MAX_WAIT_TIME_EXCEEDED = "MaxWaitTimeExceeded"  # waiting and running took longer than maxWaitTimeInSeconds
    MAX_PENDING_TIME_EXCEEDED = "MaxPendingTimeExceeded"  # no capacity within maxPendingTimeInSeconds
    ALGORITHM_ERROR = "AlgorithmError"  # training exited with another code than 0
    OUT_OF_MEMORY = "OutOfMemory"  # training was killed at its memory limit
    IMAGE_NOT_PULLED = "ImageNotPulled"  # the training image cannot be had
    NOT_EXECUTABLE = "NotExecutable"  # the image has no program to run
    DATA_DOWNLOAD_FAILED = "DataDownloadFailed"  # an input could not be staged
    NO_DATA = "NoData"  # nothing matches a channel's S3 URI
    NO_CREDENTIALS = "NoCredentials"  # the role's Secret is missing or incomplete
    ACCESS_DENIED = "AccessDenied"  # S3 refuses these credentials
    NO_SUCH_BUCKET = "NoSuchBucket"
    ARTIFACT_UPLOAD_FAILED = "ArtifactUploadFailed"  # the artifacts could not be written
    DISK_FULL = "DiskFull"  # the storage volume is full
    POD_LOST = "PodLost"  # a pod vanished, was evicted, or its node was lost, was shut down or did not take it
    INTERNAL_ERROR = "InternalError"  # ours: worth a report

    # Events only.
    RESUMED = "Resumed"  # spec.suspend is false again; the job goes on
    FIELDS_IGNORED = "FieldsIgnored"  # fields of the spec have no effect; the condition of this name says the same
    SERVICE_MADE_AGAIN = "ServiceMadeAgain"  # somebody had deleted the Service by which the hosts find each other
    STATUS_UNREADABLE = (
        "StatusUnreadable"  # somebody wrote nonsense into the status: nothing is done until it is mended
    )
    STOP_IGNORED = "StopIgnored"  # a stop was asked for after the job had ended
