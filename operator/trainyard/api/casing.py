"""CreateTrainingJob's names and the manifest's: `S3Uri` <-> `s3URI`, `VolumeKmsKeyId` <-> `volumeKMSKeyID`; and ours: `s3_uri` -> `s3URI`.

A manifest writes names as the AWS controllers for Kubernetes do: the first word in lower case, abbreviations in capitals. The
rule is about words, so it holds for fields that no model has yet; what users name themselves is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

# Words that AWS writes like words and the controllers like abbreviations. What AWS itself has in capitals (GB, ML) stays.
_ABBREVIATIONS: Final = {
    "Arn": "ARN",
    "Arns": "ARNs",
    "Id": "ID",
    "Ids": "IDs",
    "Kms": "KMS",
    "Uri": "URI",
    "Url": "URL",
    "Vpc": "VPC",
}
# The same, as models write them; their capitals are the manifest's.
_CAPITALS: Final = {word.lower(): upper for word, upper in _ABBREVIATIONS.items()} | {"gb": "GB"}
_WORDS: Final = {upper: word for word, upper in _ABBREVIATIONS.items()}
_AWS_WORD: Final = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z0-9]+|.", re.DOTALL)
_MANIFEST_WORD: Final = re.compile(
    # Longest first: IDs before ID. An abbreviation is one only where another word follows, or none.
    rf"(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})(?![a-z0-9])|{_AWS_WORD.pattern}",
    re.DOTALL,
)

# Fields whose content is a map of the user's own names; by the request's name of the field.
USER_KEYED: Final = frozenset(
    {
        "HyperParameters",
        "Environment",
        "HookParameters",
        "CollectionParameters",
        "ProfilingParameters",
        "RuleParameters",
    }
)


def field_name(name: str) -> str:
    """The manifest's name of a model's field: `training_job_arn` -> `trainingJobARN`; a first word stays lower case."""
    first, *rest = name.split("_")
    return first + "".join(_CAPITALS.get(word, word.capitalize()) for word in rest)


def to_manifest_name(aws_name: str) -> str:
    """`RoleArn` -> `roleARN`, `S3Uri` -> `s3URI`, `VolumeSizeInGB` -> `volumeSizeInGB`."""
    first, *rest = _words(_AWS_WORD, aws_name)
    return first.lower() + "".join(_ABBREVIATIONS.get(word, word) for word in rest)


def to_aws_name(manifest_name: str) -> str:
    """The reverse of `to_manifest_name`, for every name of CreateTrainingJob and DescribeTrainingJob."""
    first, *rest = _words(_MANIFEST_WORD, manifest_name)
    return first[:1].upper() + first[1:] + "".join(_WORDS.get(word, word) for word in rest)


def _words(word: re.Pattern[str], name: str) -> list[str]:
    return [found[0] for found in word.finditer(name)] or [""]


def to_manifest(value: Any) -> Any:
    """A value of a request, at any depth, under the manifest's names. Raises ValueError if two names become one."""
    return _renamed(value, to_manifest_name, USER_KEYED)


def to_aws(value: Any) -> Any:
    """A value of a manifest, at any depth, under the request's names. Raises ValueError if two names become one."""
    return _renamed(value, to_aws_name, frozenset(map(to_manifest_name, USER_KEYED)))


def _renamed(value: Any, rename: Callable[[str], str], user_keyed: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, rename, user_keyed) for item in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, inner in value.items():
        new = rename(name)
        if new in made:
            raise ValueError(f"{name} and another field would both become {new}")
        made[new] = inner if name in user_keyed else _renamed(inner, rename, user_keyed)
    return made
