"""OutputDataConfig and CheckpointConfig: where results and checkpoints go."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from trainyard.api.rules import FieldRule, Rule, SpecModel, matches
from trainyard.api.uris import S3_URI

DEFAULT_CHECKPOINT_PATH = "/opt/ml/checkpoints"
# A full path of at least one part, none of them `.` or `..`, and not a directory that has a meaning of its own, nor one above.
# It is mounted over whatever the image has there; no mount's path may have a colon.
_FULL_PATH = r"^(/[^/:\x00-\x1f\x7f]+)+/?$"
_DOTS = "/[.][.]?(/|$)"
_SYSTEM = (
    "(dev|proc|sys|etc|bin|sbin|lib|lib64|trainyard|usr/(bin|sbin|lib|lib64|local/bin|local/lib))(/.*)?|usr|usr/local|var|var/(lib|run)|run"
    "|home|root"
)
_RESERVED = f"^/(opt|opt/ml|tmp|opt/ml/(input|model|output|code)(/.*)?|{_SYSTEM})/?$"
# What goes up and never comes down may lie below the job's own directories, and does so by default.
_RESERVED_ABOVE = (
    f"^/(opt|opt/ml|tmp|opt/ml/(input|output|code)|opt/ml/(input|output/failure)/.*|opt/ml/output/failure|{_SYSTEM})/?$"
)


def _free(path: str, reserved: str = _RESERVED) -> bool:
    return matches(_FULL_PATH, path) and not matches(_DOTS, path) and not matches(reserved, path)


def folder_path(name: str, default: str) -> Rule:
    """Of the member `localPath` of the field `name`: a directory whose files are sent to S3."""
    return FieldRule(
        f"self.matches(r'{_FULL_PATH}') && !self.matches('{_DOTS}') && !self.matches('{_RESERVED_ABOVE}')",
        lambda config: config.local_path is None or _free(config.local_path, _RESERVED_ABOVE),
        f"{name}.localPath must be a full path without `:` and control characters, and no directory that has another meaning,"
        f" such as /tmp; use {default}",
        "local_path",
        refuses=False,
    )


class OutputDataConfig(SpecModel):
    """Where results go."""

    s3_output_path: str = Field(
        pattern=S3_URI,
        max_length=1024,
        description="The model goes to <s3OutputPath>/<trainingJobName>/output/model.tar.gz, or below output/model/ there.",
        examples=["s3://models/diamonds"],
    )
    kms_key_id: str = Field(
        default="",
        pattern="^[a-zA-Z0-9:/_-]*$",
        max_length=2048,
        description="KMS key (id, ARN or alias) with which S3 encrypts all that the job writes but checkpoints. Empty: as the bucket has it.",
        examples=["alias/models"],
    )
    compression_type: Literal["GZIP", "NONE"] = Field(
        default="GZIP",
        description="GZIP: one model.tar.gz, and one output.tar.gz. NONE: each file is an object below output/model/ or output/data/.",
    )


class CheckpointConfig(SpecModel):
    """Where checkpoints are kept. Files that change below localPath are copied to s3URI, and those that vanish are deleted there."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        FieldRule(
            f"self.matches(r'{_FULL_PATH}') && !self.matches('{_DOTS}') && !self.matches('{_RESERVED}')",
            lambda config: _free(config.local_path),
            "checkpointConfig.localPath must be a full path without `:` and control characters, and no directory that has another meaning,"
            f" such as /opt/ml/model; use {DEFAULT_CHECKPOINT_PATH}",
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
