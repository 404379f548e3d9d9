"""The base of all models, and the rule for names: lowerCamel, with AWS's capitals as the AWS controllers for Kubernetes write them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

# s3_uri -> s3URI, role_arn -> roleARN: the field names of the AWS controllers' CRDs, so that their manifests fit.
_CAPITALS = {
    "uri": "URI",
    "url": "URL",
    "arn": "ARN",
    "arns": "ARNs",
    "gb": "GB",
    "kms": "KMS",
    "id": "ID",
    "ids": "IDs",
}


def field_name(name: str) -> str:
    """The manifest's name of a field: `training_job_arn` -> `trainingJobARN`; a first word stays lower case."""
    first, *rest = name.split("_")
    return first + "".join(_CAPITALS.get(word, word.capitalize()) for word in rest)


class Model(BaseModel):
    """Frozen; unknown fields are ignored, so that an older program survives a newer resource (the apiserver refuses typos)."""

    model_config = ConfigDict(alias_generator=field_name, populate_by_name=True, frozen=True, extra="ignore")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values under the manifest's names, without what is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)


# A count or a size that a JSON number holds exactly.
Size = Annotated[int, Field(ge=0, le=2**53)]
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
S3_URI = r"^s3://[^/]+(/.*)?$"
S3_URI_PARTS = re.compile(r"^s3://([^/]+)/?(.*)$", re.DOTALL)


def split_s3_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/key/prefix` -> (`bucket`, `key/prefix`); the key may be empty."""
    match = S3_URI_PARTS.match(uri)
    if match is None:
        raise ValueError(f"{uri!r} is not of the form s3://BUCKET/PREFIX")
    return match.group(1), match.group(2)
