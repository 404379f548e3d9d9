"""The documents that name a channel's objects one by one, in place of a prefix: read, or refused by line and word.

Not the manifest that the job itself writes, which is in `manifest`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from trainyard.agent.errors import ClientFailure
from trainyard.api.base import split_s3_uri
from trainyard.api.plan import ChannelPlan
from trainyard.api.reasons import Reason

MOST_BYTES = 64 * 1024 * 1024
SHAPE = 'it must be a JSON array: first {"prefix": "s3://BUCKET/..."}, then one string for each object'


@dataclass(frozen=True)
class Named:
    """The objects of a ManifestFile, in its order. `folder`: what local paths leave out of the keys."""

    bucket: str
    folder: str
    keys: list[str]


def refusal(channel: ChannelPlan, why: str) -> ClientFailure:
    return ClientFailure(
        Reason.DATA_DOWNLOAD_FAILED,
        f'Data download failed:the manifest {channel.s3_uri} of channel "{channel.name}" {why}',
    )


def manifest_file(channel: ChannelPlan, content: bytes) -> Named:
    """What a ManifestFile names. An object's URI is the prefix and the string, put together letter by letter."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise refusal(channel, f"is no JSON ({error}); {SHAPE}") from error
    if not isinstance(document, list) or not document:
        raise refusal(channel, f"is no array with a prefix; {SHAPE}")
    first, *entries = document
    prefix = first.get("prefix") if isinstance(first, dict) else None
    if not isinstance(prefix, str) or not prefix.removeprefix("s3://") or not prefix.startswith("s3://"):
        raise refusal(
            channel, f'does not begin with an object that has a "prefix" of the form s3://BUCKET/...; {SHAPE}'
        )
    named = [_object(channel, prefix, entry, number) for number, entry in enumerate(entries, 1)]
    if not named:
        raise ClientFailure(
            Reason.NO_DATA,
            f'Data download failed:No S3 objects are named by the manifest "{channel.s3_uri}" of channel "{channel.name}".',
        )
    buckets = sorted({bucket for bucket, _ in named})
    if len(buckets) > 1:
        raise refusal(channel, f"names objects in several buckets ({', '.join(buckets[:3])}); use one")
    below = split_s3_uri(prefix)[1]
    return Named(buckets[0], below[: below.rfind("/") + 1], [key for _, key in named])


def _object(channel: ChannelPlan, prefix: str, entry: object, number: int) -> tuple[str, str]:
    """Bucket and key."""
    if not isinstance(entry, str):
        raise refusal(channel, f"has no string as entry {number} ({json.dumps(entry)[:80]}); {SHAPE}")
    try:
        bucket, key = split_s3_uri(prefix + entry)
    except ValueError:
        bucket, key = "", ""
    if not key:
        raise refusal(channel, f"has an entry {number} that names no object: {prefix + entry!r}")
    return bucket, key


def too_large(channel: ChannelPlan, size: int) -> ClientFailure:
    return refusal(
        channel,
        f"has {size} bytes, and {MOST_BYTES} are read at most: divide it among several channels, or give a prefix",
    )
