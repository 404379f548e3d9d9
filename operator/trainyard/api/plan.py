"""The job plan: all the agent must know to do its part, written by the operator into one immutable ConfigMap per attempt."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from trainyard.api.message import Message
from trainyard.api.uris import split_s3_uri


def output_uri(s3_output_path: str, training_job_name: str) -> str:
    """`<S3OutputPath>/<TrainingJobName>`, without a trailing slash or a double one."""
    return f"{s3_output_path.rstrip('/')}/{training_job_name}"


Compression = Literal["GZIP", "NONE"]
_ARCHIVES = {"model": "model.tar.gz", "output": "output.tar.gz"}
_FOLDERS = {"model": "model/", "output": "data/"}


def model_uri(s3_output_path: str, training_job_name: str, compression: Compression = "GZIP") -> str:
    """Where the model goes, whether or not there will be one: an object, or without compression a folder, which ends with a slash."""
    name = (_ARCHIVES if compression == "GZIP" else _FOLDERS)["model"]
    return f"{output_uri(s3_output_path, training_job_name)}/output/{name}"


class JobIdentity(Message, frozen=True, kw_only=True):
    """Whose pod this is. `training_job_name` is the contract's (upper case allowed); `name` the resource's."""

    namespace: str
    name: str
    uid: str
    training_job_name: str
    arn: str
    attempt: int

    @property
    def digest(self) -> str:
        """Stands for the uid in S3, which training may read: whoever knows the uid can speak to the agents."""
        return hashlib.sha256(f"trainyard/job/{self.uid}".encode()).hexdigest()[:32]


class Host(Message, frozen=True, kw_only=True):
    """One ML compute instance: `name` is algo-<n>, `address` resolves from every host of the job to its pod."""

    name: str
    address: str
    instance_type: str
    instance_group: str = "homogeneousCluster"


class ChannelPlan(Message, frozen=True, kw_only=True):
    """One input channel, as every host needs it to work out its own share. `sharding`: what shares are to be equal in.
    `manifest_paths`: whether a manifest's objects lie under their whole keys. No `instance_groups`: all hosts get it."""

    name: str
    s3_uri: str
    data_type: Literal["S3Prefix", "ManifestFile", "AugmentedManifestFile"] = "S3Prefix"
    distribution: Literal["FullyReplicated", "ShardedByS3Key"] = "FullyReplicated"
    sharding: Literal["objects", "bytes"] = "objects"
    manifest_paths: Literal["relative", "key"] = "relative"
    input_mode: Literal["File", "Pipe", "FastFile"] = "File"
    content_type: str | None = None
    compression: Literal["None", "Gzip"] = "None"
    record_wrapper: Literal["None", "RecordIO"] = "None"
    shuffle_seed: int | None = None
    attribute_names: list[str] = msgspec.field(default_factory=list)
    instance_groups: list[str] = msgspec.field(default_factory=list)

    @property
    def sharded(self) -> bool:
        return self.distribution == "ShardedByS3Key"


class MountedChannel(Message, frozen=True, kw_only=True):
    """One channel that a volume serves, on every host. In `stage` the volume is `volume` below names.VOLUMES_DIR, whole, and the
    channel's directory `path` in it (empty: all of it). `source` is what the user wrote, for messages."""

    name: str
    volume: str
    path: str
    source: str
    claim: str
    input_mode: Literal["File", "FastFile"] = "File"
    content_type: str | None = None


class CheckpointPlan(Message, frozen=True, kw_only=True):
    """What is kept in step: `local_path` as training sees it; how old, in seconds, may be what S3 lacks."""

    s3_uri: str
    local_path: str
    interval_seconds: float = 60


class FolderPlan(Message, frozen=True, kw_only=True):
    """A directory whose files go to a folder in S3 while training runs, and stay there: `local_path` as training sees it, `directory`
    the same below the storage volume. How old, in seconds, may be what S3 lacks. `what`: its files, for people."""

    what: str
    s3_uri: str
    local_path: str
    directory: str
    interval_seconds: float = 60


class WebIdentityPlan(Message, frozen=True, kw_only=True):
    """AssumeRoleWithWebIdentity: asked of whom, for what. The token is a file."""

    role_arn: str
    sts_endpoint_url: str
    duration_seconds: int
    session_name: str


class StorePlan(Message, frozen=True, kw_only=True):
    """How to reach S3. `credentials_secret` is only for error messages: the files are mounted."""

    role: str
    endpoint_url: str | None = None
    region: str = "us-east-1"
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    credentials_secret: str | None = None
    web_identity: WebIdentityPlan | None = None
    instance_metadata: bool = False
    """Without any other credentials those of the node are used."""
    denied_addresses: list[str] = msgspec.field(default_factory=list)
    """Networks, as ADDRESS/BITS, in which an endpoint may not be unless one of `allowed_addresses` has it."""
    allowed_addresses: list[str] = msgspec.field(default_factory=list)
    kms_key: str = ""
    """What all objects are encrypted with, as S3 knows it: id, ARN or alias. Empty: as the bucket has it."""


class Plan(Message, frozen=True, kw_only=True, tag_field="version", tag=1):
    """Times are seconds. `hosts` is in numeric order: algo-1, algo-2, ..., algo-10."""

    job: JobIdentity
    hosts: list[Host]
    hyper_parameters: dict[str, str] = msgspec.field(default_factory=dict)
    channels: list[ChannelPlan] = msgspec.field(default_factory=list)
    """Those whose data the agent brings."""
    mounted: list[MountedChannel] = msgspec.field(default_factory=list)
    checkpoints: CheckpointPlan | None = None
    folders: list[FolderPlan] = msgspec.field(default_factory=list)
    config_files: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """Further files of /opt/ml/input/config, by name."""
    s3_output_path: str
    compression: Compression = "GZIP"
    store: StorePlan
    training_credentials: bool = False
    """Training may ask the sidecar for the role's credentials."""
    max_runtime_seconds: int = 86400
    stop_grace_seconds: int = 120
    download_retry_seconds: int = 900
    upload_hold_seconds: int = 1800
    deletion_budget_seconds: int = 300
    volume_bytes: int | None = None

    def host(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)

    def rank(self, name: str) -> int:
        """0 for algo-1, in numeric order."""
        return [host.name for host in self.hosts].index(name)

    def receivers(self, channel: ChannelPlan) -> list[str]:
        """Names of the hosts that get a channel, in numeric order."""
        groups = channel.instance_groups
        return [host.name for host in self.hosts if not groups or host.instance_group in groups]

    def channels_of(self, host: str) -> list[ChannelPlan]:
        return [channel for channel in self.channels if host in self.receivers(channel)]

    def piped(self, host: str) -> list[ChannelPlan]:
        return [channel for channel in self.channels_of(host) if channel.input_mode == "Pipe"]

    @property
    def output_uri(self) -> str:
        return output_uri(self.s3_output_path, self.job.training_job_name)

    @property
    def model_uri(self) -> str:
        return model_uri(self.s3_output_path, self.job.training_job_name, self.compression)

    @property
    def output_data_uri(self) -> str:
        return self.artifact_uri("output", f"{self.output_uri}/output")

    def artifact_uri(self, tree: str, below: str) -> str:
        """Where under `below` the tree `model` or `output` goes: an archive, or a folder, which ends with a slash."""
        return f"{below}/{(_ARCHIVES if self.compression == 'GZIP' else _FOLDERS)[tree]}"

    def archive_uri(self, tree: str) -> str:
        """Where the tree's archive lies, if there ever was one."""
        return f"{self.output_uri}/output/{_ARCHIVES[tree]}"

    @property
    def manifest_uri(self) -> str:
        return f"{self.output_uri}/trainyard-manifest.json"

    @property
    def marker_uri(self) -> str:
        """The attempt marker: who may commit. Carries uid and attempt; the newest attempt of the newest job wins."""
        return f"{self.output_uri}/trainyard-attempt.json"

    @property
    def output_bucket(self) -> str:
        return split_s3_uri(self.s3_output_path)[0]
