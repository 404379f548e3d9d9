"""InputDataConfig: the channels, where their data is and how it reaches the program."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from trainyard.api.algorithm import InputMode
from trainyard.api.rules import FieldRule, Rule, SpecModel, absent, but
from trainyard.api.uris import S3_URI

CONVERSE = "Converse is for SageMaker's own fine-tuning; use S3Prefix or ManifestFile"


class ModelAccessConfig(SpecModel):
    """Consent to the licence of a model of AWS's hub."""

    accept_eula: bool = Field(
        description="true or false: whether the licence of the model is accepted. Nobody asks here."
    )


class HubAccessConfig(SpecModel):
    """A model of AWS's hub that the data belongs to."""

    hub_content_arn: str = Field(
        max_length=255,
        description="ARN of the hub's content. The data is read from s3URI.",
        examples=["arn:aws:sagemaker:eu-central-1:aws:hub-content/Hub/Model/name"],
    )


class S3DataSource(SpecModel):
    """Objects in S3."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        but("s3_data_type", "Converse", CONVERSE),
        Rule(
            "!(has(self.s3DataType) && self.s3DataType == 'AugmentedManifestFile')"
            " || (has(self.attributeNames) && size(self.attributeNames) > 0)",
            lambda source: source.s3_data_type != "AugmentedManifestFile" or bool(source.attribute_names),
            "s3DataType AugmentedManifestFile needs attributeNames; name the attributes of each line, in the order to stream them",
        ),
        Rule(
            "!has(self.attributeNames) || size(self.attributeNames) == 0"
            " || (has(self.s3DataType) && self.s3DataType == 'AugmentedManifestFile')",
            lambda source: not source.attribute_names or source.s3_data_type == "AugmentedManifestFile",
            "attributeNames belongs to s3DataType AugmentedManifestFile; leave it out or change s3DataType",
        ),
    )

    s3_data_type: Literal["ManifestFile", "S3Prefix", "AugmentedManifestFile", "Converse"] = Field(
        default="S3Prefix",
        description="S3Prefix: every object whose key begins with the key in s3URI. ManifestFile: the objects that the JSON document"
        " at s3URI names. AugmentedManifestFile: attributes of the lines of the document at s3URI, in Pipe mode. Converse: not supported.",
    )
    s3_uri: str = Field(
        pattern=S3_URI,
        max_length=1024,
        description="A key-name prefix, as s3://BUCKET/PREFIX; no slash is needed at its end, and it may be one exact key. Of a"
        " manifest the object's URI.",
        examples=["s3://datasets/diamonds/train/"],
    )
    s3_data_distribution_type: Literal["FullyReplicated", "ShardedByS3Key"] = Field(
        default="FullyReplicated",
        description="FullyReplicated: every host gets every object. ShardedByS3Key: each host gets its share of the objects.",
    )
    attribute_names: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default_factory=list,
        max_length=16,
        description="Attributes of an augmented manifest's lines to stream, in this order. One whose name ends with -ref is an S3 URI: the"
        " object is streamed.",
        examples=[["source-ref", "class"]],
    )
    instance_group_names: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default_factory=list,
        max_length=5,
        description="Names of the instance groups that get the channel; all hosts if left out.",
        examples=[["workers"]],
    )
    model_access_config: ModelAccessConfig | None = Field(
        default=None, description="Consent to the licence of a model of AWS's hub. Nobody asks here."
    )
    hub_access_config: HubAccessConfig | None = Field(
        default=None, description="A model of AWS's hub that the data belongs to. The data is read from s3URI."
    )


class FileSystemDataSource(SpecModel):
    """A directory of an EFS or FSx for Lustre file system, which a PersistentVolumeClaim stands for here."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        FieldRule(
            "!self.matches('(^|/)[.][.](/|$)')",
            lambda source: ".." not in source.directory_path.split("/"),
            "directoryPath is a full path in the file system: write it without '..'",
            "directory_path",
            refuses=False,
        ),
        Rule(
            "self.fileSystemType != 'FSxLustre' || self.directoryPath.matches('^/+[^/]')",
            lambda source: source.file_system_type != "FSxLustre" or bool(source.directory_path.strip("/")),
            "directoryPath of an FSxLustre file system begins with its mount name; write /MOUNTNAME or /MOUNTNAME/DIRECTORY",
        ),
    )

    file_system_id: str = Field(
        pattern=r"^fs-[0-9a-f]{8,}$",
        min_length=11,
        max_length=21,
        description="ID of the file system.",
        examples=["fs-0123456789abcdef0"],
    )
    file_system_access_mode: Literal["rw", "ro"] = Field(description="rw: it may be written. ro: it may only be read.")
    file_system_type: Literal["EFS", "FSxLustre"] = Field(description="EFS or FSxLustre.")
    directory_path: str = Field(
        pattern=r"^/[^\x00-\x1f\x7f]*$",
        max_length=4096,
        description="Full path of the directory in it, which must exist. Of FSxLustre its first part is the file system's mount name.",
        examples=["/datasets/diamonds"],
    )


class DataSource(SpecModel):
    """Where a channel's data is."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.s3DataSource) ? 1 : 0) + (has(self.fileSystemDataSource) ? 1 : 0) + (has(self.datasetSource) ? 1 : 0) == 1",
            lambda source: (
                [source.s3_data_source, source.file_system_data_source, source.dataset_source].count(None) == 2
            ),
            "give exactly one of dataSource.s3DataSource, dataSource.fileSystemDataSource and dataSource.datasetSource",
        ),
        absent(
            "dataset_source",
            "data sets of AWS's hub cannot be reached from here; copy the data to S3 and give s3DataSource",
        ),
    )

    s3_data_source: S3DataSource | None = Field(default=None, description="Objects in S3.")
    file_system_data_source: FileSystemDataSource | None = Field(
        default=None,
        description="A directory of an EFS or FSx for Lustre file system: of the PersistentVolumeClaim that the ExecutionRole's"
        " fileSystems names for it, or that has its ID in the label trainyard.dev/file-system-id.",
    )
    dataset_source: dict[str, Any] | None = Field(
        default=None, description="A data set of AWS's hub. Not supported.", examples=[{"datasetARN": "arn:aws:..."}]
    )


class ShuffleConfig(SpecModel):
    """The order of a stream."""

    seed: int = Field(
        ge=-(2**63),
        le=2**63 - 1,
        description="What the order is drawn from, a number without unit. Files have none, so it acts in Pipe mode only.",
        examples=[7],
        json_schema_extra={"format": "int64"},
    )


class Channel(SpecModel):
    """One named input, found by the training program under /opt/ml/input/data/<channelName>."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        FieldRule(
            "self != '.' && self != '..'",
            lambda channel: channel.channel_name not in (".", ".."),
            "channelName is a directory's name: '.' and '..' cannot be one",
            "channel_name",
            refuses=False,
        ),
    )

    channel_name: str = Field(
        pattern=r"^[A-Za-z0-9\.\-_]+$",
        min_length=1,
        max_length=64,
        description="Name of the channel and of its directory.",
        examples=["train"],
    )
    data_source: DataSource = Field(description="Where the data is.")
    content_type: str | None = Field(
        default=None, max_length=256, description="MIME type, handed to the program as it is.", examples=["text/csv"]
    )
    compression_type: Literal["None", "Gzip"] = Field(
        default="None",
        description="None: objects reach the program as they are. Gzip: they are decompressed on the way, in Pipe mode only.",
    )
    record_wrapper_type: Literal["None", "RecordIO"] = Field(
        default="None",
        description="None: objects are not wrapped. RecordIO: each is wrapped in one record, in Pipe mode only.",
    )
    input_mode: InputMode | None = Field(
        default=None,
        description="Overrides algorithmSpecification.trainingInputMode for this channel. File: copied before training starts."
        " Pipe: streamed through FIFOs. FastFile: files that cannot be written to; copies, or a volume where the ExecutionRole's"
        " fastFile names one.",
    )
    shuffle_config: ShuffleConfig | None = Field(
        default=None,
        description="The order of a stream: another one in each epoch. Files have none, so it acts in Pipe mode only.",
    )
