"""InstanceType and ExecutionRole: what an administrator offers, and what a job's instanceType and roleARN name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from trainyard.api.base import DNS_LABEL, DNS_SUBDOMAIN, Model
from trainyard.api.rules import list_keys
from trainyard.api.uris import S3_URI

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
Quantity = Annotated[str, Field(pattern=QUANTITY, max_length=32)]


class SystemReserve(Model):
    """What is kept from training."""

    cpu: Quantity | None = Field(default=None, description="CPU kept for the node and the agent.", examples=["250m"])
    memory: Quantity | None = Field(
        default=None, description="Memory kept for the node and the agent.", examples=["2Gi"]
    )


class InstanceTypeSpec(Model):
    """One ML compute instance type: what it holds, and which nodes carry it."""

    capacity: dict[Annotated[str, Field(max_length=253)], Quantity] = Field(
        description="Nominal size: cpu, memory and any extended resource such as nvidia.com/gpu.",
        examples=[{"cpu": "4", "memory": "16Gi"}],
        max_length=20,
        json_schema_extra={
            "x-kubernetes-validations": [
                {"rule": "'cpu' in self && 'memory' in self", "message": "capacity names at least cpu and memory"}
            ]
        },
    )
    system_reserve: SystemReserve = Field(
        default_factory=SystemReserve,
        description="Kept from training. Default: 0.5 GiB + 30 % of the first 4 GiB, 25 % of the next 4, 20 % of the next 8,"
        " 17 % of the next 112, 7 % of the rest; CPU 0.1 + 0.3 + 0.15 + 0.1 + 0.1 for the first four cores, 0.06 for each more.",
    )
    node_selector: dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict,
        description="Labels of the nodes that carry it.",
        examples=[{"pool": "cpu"}],
        max_length=20,
    )
    tolerations: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Tolerations of its pods, as in a pod's spec.",
        examples=[[{"key": "nvidia.com/gpu", "operator": "Exists"}]],
        max_length=20,
    )

    storage_class_name: str | None = Field(
        default=None,
        pattern=DNS_SUBDOMAIN,
        max_length=253,
        description="StorageClass of the storage volume: each host gets a volume of its own of volumeSizeInGB, which goes with its pod, and"
        " a program that fills it is told so by the file system. Default: a directory on the node's disk, where a host"
        " that writes more than volumeSizeInGB is evicted, and loses its model.",
        examples=["gp3"],
    )


class SecretReference(Model):
    """A Secret of the same namespace."""

    name: str = Field(
        pattern=DNS_SUBDOMAIN,
        max_length=253,
        description="Name of the Secret.",
        examples=["s3-credentials"],
    )


class ConfigMapKey(Model):
    """One entry of a ConfigMap of the same namespace."""

    name: str = Field(
        pattern=DNS_SUBDOMAIN,
        max_length=253,
        description="Name of the ConfigMap.",
        examples=["company-ca"],
    )
    key: str = Field(
        default="ca.crt",
        pattern=r"^[-._a-zA-Z0-9]+$",
        max_length=253,
        description="Its key that holds the certificates, as PEM.",
        examples=["ca.crt"],
    )


class S3Access(Model):
    """How to reach S3."""

    endpoint_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+/?$",
        max_length=1024,
        description="Endpoint of an S3 server other than AWS.",
        examples=["http://s3.storage.svc:9000"],
    )
    region: str = Field(
        default="us-east-1",
        pattern=DNS_LABEL,
        max_length=63,
        description="Region to sign requests for.",
        examples=["eu-central-1"],
    )
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        default="auto",
        description="path: bucket in the path; virtual: bucket in the host name; auto: path for other servers than AWS.",
    )
    ca_bundle_config_map_ref: ConfigMapKey | None = Field(
        default=None,
        description="Certificates of the authorities that the endpoint's certificate is of, beside the public ones.",
    )


class WebIdentity(Model):
    """Credentials of an STS, for a token of the pods' service account."""

    role_arn: str = Field(
        pattern=r"^arn:[!-~]+$",
        max_length=2048,
        description="Role to assume with AssumeRoleWithWebIdentity. Its trust policy must name the cluster's token issuer.",
        examples=["arn:aws:iam::123456789012:role/training-data"],
    )
    audience: str = Field(
        default="sts.amazonaws.com",
        min_length=1,
        max_length=253,
        description="Audience of the token.",
        examples=["sts.amazonaws.com"],
    )
    sts_endpoint_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+/?$",
        max_length=1024,
        description="Endpoint of an STS other than that of AWS in the role's region, as S3 servers of one's own have it.",
        examples=["https://sts.storage.svc:9443"],
    )
    duration_seconds: int = Field(
        default=3600,
        ge=900,
        le=43200,
        description="How long a set of credentials is asked for, in seconds. It is renewed before that ends.",
        examples=[3600],
    )


FILE_SYSTEM_ID = r"^fs-[0-9a-f]{8,}$"
ClaimName = Annotated[str, Field(pattern=DNS_SUBDOMAIN, max_length=253)]


class FileSystem(Model):
    """The claim that a file system is reached by."""

    file_system_id: str = Field(
        pattern=FILE_SYSTEM_ID,
        min_length=11,
        max_length=21,
        description="ID of the file system, as jobs have it.",
        examples=["fs-0123456789abcdef0"],
    )
    claim_name: ClaimName = Field(
        description="PersistentVolumeClaim of the role's namespace that holds the whole file system.",
        examples=["shared-data"],
    )


class FastFile(Model):
    """The claim that objects of S3 are seen by."""

    s3_uri: str = Field(
        pattern=S3_URI,
        max_length=1024,
        description="Bucket, or folder of a bucket, that the claim shows at its root.",
        examples=["s3://datasets"],
    )
    claim_name: ClaimName = Field(
        description="PersistentVolumeClaim of the role's namespace, of a CSI driver that shows objects as files.",
        examples=["datasets-s3"],
    )


class ExecutionRoleSpec(Model):
    """The identity with which a job's data is moved, and which its program has, unless trainingCredentials is none."""

    role_arn: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$",
        max_length=2048,
        description="A job whose roleARN equals this uses this role. Jobs without roleARN use the role named `default`.",
        examples=["arn:aws:iam::123456789012:role/training"],
    )
    s3: S3Access = Field(default_factory=S3Access, description="How to reach S3.")
    credentials_secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret with the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if need be, AWS_SESSION_TOKEN."
        " Without it the agent uses the service account's web identity.",
    )
    web_identity: WebIdentity | None = Field(
        default=None,
        description="In place of credentialsSecretRef: credentials of an STS, for a token of the service account that is mounted into"
        " the agent's containers alone, and renewed.",
    )
    instance_metadata_credentials: bool = Field(
        default=False,
        description="true: where there is neither credentialsSecretRef nor webIdentity and the service account brings nothing, the"
        " node's own credentials are used, of its instance metadata service (IMDSv2). The operator's setting"
        " allowInstanceMetadataCredentials must allow it.",
    )
    service_account_name: str | None = Field(
        default=None,
        pattern=DNS_LABEL,
        max_length=63,
        description="Service account of the pods. Default: default.",
        examples=["training"],
    )
    training_credentials: Literal["role", "none"] = Field(
        default="role",
        description="What the training program gets. role: the credentials of this role, as on SageMaker, where AWS's SDKs look for"
        " them (AWS_CONTAINER_CREDENTIALS_FULL_URI). none: no credentials, and no S3 endpoint.",
    )
    security_mode: Literal["baseline", "restricted"] | None = Field(
        default=None,
        description="baseline: training runs as its image says. restricted: every container runs as one non-root user without"
        " capabilities. Default: the operator's setting.",
    )
    download_retry_seconds: int = Field(
        default=900,
        ge=0,
        le=86400,
        description="How long a passing error of S3 is retried while staging, in seconds from a request's first failure.",
        examples=[300],
    )
    upload_hold_seconds: int = Field(
        default=1800,
        ge=0,
        le=604800,
        description="How long a refused or failing upload is retried before the job fails, in seconds without progress.",
        examples=[7200],
    )
    checkpoint_interval_seconds: int = Field(
        default=60,
        ge=2,
        le=3600,
        description="How many seconds of checkpoints a host that dies at once may lose, besides the file that was being written or"
        " copied: the directory is looked at twice in that time. So are those of TensorBoard's and the debugger's files.",
        examples=[30],
    )
    file_systems: list[FileSystem] = Field(
        default_factory=list,
        max_length=50,
        description="Claims for jobs' fileSystemDataSource. A file system that is not in the list is looked for by the label"
        " trainyard.dev/file-system-id of claims.",
        json_schema_extra=list_keys("fileSystemID"),
    )
    fast_file: list[FastFile] = Field(
        default_factory=list,
        max_length=50,
        description="Claims for jobs' FastFile channels that are FullyReplicated and name a folder, with a / at its end, below s3URI;"
        " the longest that fits counts. All others are copied.",
        json_schema_extra=list_keys("s3URI"),
    )
