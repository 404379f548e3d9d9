"""Pure: SageMaker's name of a field -> the manifest's, as the AWS controllers for Kubernetes write it."""

from __future__ import annotations

import re

# Upper case as a whole word of a name, never at its beginning: KmsKeyId -> kmsKeyID, TrainingPlanArns -> trainingPlanARNs.
_ACRONYM = re.compile(r"(?<=[a-z0-9])(Uri|Url|Arn|Kms|Id)(s?)(?=[A-Z0-9]|$)")
_FIRST_WORD = re.compile(r"^[A-Z]+(?=[A-Z][a-z]|$)|^[A-Z]")


def to_manifest_name(aws_name: str) -> str:
    """`S3Uri` -> `s3URI`, `VpcConfig` -> `vpcConfig`, `VolumeSizeInGB` -> `volumeSizeInGB`; one name, not a path."""
    lowered = _FIRST_WORD.sub(lambda word: word[0].lower(), aws_name)
    return _ACRONYM.sub(lambda word: word[1].upper() + word[2], lowered)
