"""OutputDataConfig and CheckpointConfig: where results and checkpoints go."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from trainyard.api.base import S3_URI
from trainyard.api.rules import FieldRule, Rule, SpecModel, matches, off, only

DEFAULT_CHECKPOINT_PATH = "/opt/ml/checkpoints"
# A full path of at least one part, none of them `.` or `..`, and not a directory that has a meaning of its own, nor one above.
# It is mounted over whatever the image has there; no mount's path may have a colon.
_FULL_PATH = "^(/[^/:]+)+/?$"
_DOTS = "/[.][.]?(/|$)"
_RESERVED = (
    "^/(opt|opt/ml|tmp|(dev|proc|sys|etc)(/.*)?|opt/ml/(input|model|output|code)(/.*)?"
    "|bin|lib|lib64|sbin|usr|usr/(bin|lib|lib64|local|local/bin|local/lib|sbin)|var|var/run|run|home|root)/?$"
)


def _free(path: str) -> bool:
    return matches(_FULL_PATH, path) and not matches(_DOTS, path) and not matches(_RESERVED, path)


class OutputDataConfig(SpecModel):
    """Where results go."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        off(
            "kms_key_id",
            "encryption with a KMS key is not supported yet; leave it out, and let the bucket's default encryption do it",
            at="''",
        ),
        only("compression_type", "GZIP", "NONE is not supported yet; use GZIP, which makes one model.tar.gz"),
    )

    s3_output_path: str = Field(
        pattern=S3_URI,
        max_length=1024,
        description="The model goes to <s3OutputPath>/<trainingJobName>/output/model.tar.gz.",
        examples=["s3://models/diamonds"],
    )
    kms_key_id: str = Field(
        default="",
        pattern="^[a-zA-Z0-9:/_-]*$",
        max_length=2048,
        description="KMS key to encrypt the artifacts with. Only an empty one is supported yet: the bucket's own encryption.",
        examples=["alias/models"],
    )
    compression_type: Literal["GZIP", "NONE"] = Field(
        default="GZIP", description="GZIP: one model.tar.gz. NONE: not supported yet."
    )


class CheckpointConfig(SpecModel):
    """Where checkpoints are kept. Files that change below localPath are copied to s3URI, and those that vanish are deleted there."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        FieldRule(
            f"self.matches('{_FULL_PATH}') && !self.matches('{_DOTS}') && !self.matches('{_RESERVED}')",
            lambda config: _free(config.local_path),
            "checkpointConfig.localPath must be a full path without `:` and no directory that has another meaning, such as /opt/ml/model;"
            f" use {DEFAULT_CHECKPOINT_PATH}",
            "local_path",
            refuses=False,
        ),
    )

    s3_uri: str = Field(
        pattern=S3_URI,
        max_length=1024,
        description="Where checkpoints are kept, as s3://BUCKET/PREFIX: a folder, to which neither the job's nor a host's name is"
        " added.",
        examples=["s3://models/diamonds/checkpoints"],
    )
    local_path: str = Field(
        default=DEFAULT_CHECKPOINT_PATH,
        max_length=4096,
        description="Directory in the container that is kept in step with s3URI.",
        examples=[DEFAULT_CHECKPOINT_PATH],
    )
