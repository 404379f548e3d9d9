"""The documents that name a channel's objects one by one, in place of a prefix: read, or refused by line and word.

Not the manifest that the job itself writes, which is in `manifest`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from trainyard.agent.core.layout import key_bytes
from trainyard.agent.errors import ClientFailure
from trainyard.agent.ports import Reference
from trainyard.api.plan import ChannelPlan
from trainyard.api.reasons import Reason
from trainyard.api.uris import split_s3_uri

MOST_BYTES = 40 * 1024 * 1024
"""Of a ManifestFile: its entries are in memory, five times as large, or ten times where they are very short."""
MOST_LINE = 1024 * 1024
SHAPE = 'it must be a JSON array: first {"prefix": "s3://BUCKET/..."}, then one string for each object'


@dataclass(frozen=True)
class Named:
    """The objects of a ManifestFile, in its order. `folder`: what local paths leave out of the keys. All keys begin with `head`."""

    bucket: str
    folder: str
    head: str
    tails: list[str]

    def all_keys(self, *, ordered: bool = False) -> Iterator[str]:
        """As they are named; or `ordered` bytewise, each once."""
        if not ordered:
            return (self.head + tail for tail in self.tails)
        # Of ASCII the order is the same, and the bytes need not be in memory a second time.
        plain = all(map(str.isascii, self.tails))
        in_order = sorted(self.tails) if plain else sorted(self.tails, key=key_bytes)
        return (self.head + tail for tail, _ in groupby(in_order))


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
    buckets: set[str] = set()
    _, slash, head = prefix.removeprefix("s3://").partition("/")
    for index, entry in enumerate(entries):
        bucket, key = _object(channel, prefix, entry, index + 1)
        buckets.add(bucket)
        if not slash:  # only together they have a bucket's name
            entries[index] = key
    if not entries:
        raise _nothing(channel)
    if len(buckets) > 1:
        raise refusal(channel, f"names objects in several buckets ({', '.join(sorted(buckets)[:3])}); use one")
    return Named(buckets.pop(), head[: head.rfind("/") + 1], head, entries)


def _nothing(channel: ChannelPlan) -> ClientFailure:
    return ClientFailure(
        Reason.NO_DATA,
        f'Data download failed:No S3 objects are named by the manifest "{channel.s3_uri}" of channel "{channel.name}".',
    )


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


def samples(channel: ChannelPlan, lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of an augmented manifest that are not empty, without their line breaks, each one that `sample` takes."""
    none = True
    for number, line in enumerate(lines, 1):
        if len(line) > MOST_LINE:
            raise refusal(channel, f"has a line {number} of more than {MOST_LINE} bytes; each sample must be one line")
        if found := line.strip():
            sample(channel, found, number)
            none = False
            yield found
    if none:
        raise _nothing(channel)


def sample(channel: ChannelPlan, line: bytes, number: int) -> list[Reference | bytes]:
    """The named attributes of one line (from 1) of an augmented manifest, in the order of their names: objects, or the text of a value."""
    where = f"has in line {number}"
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise refusal(channel, f"{where} no JSON ({error}); each line must be a JSON object") from error
    if not isinstance(values, dict):
        raise refusal(channel, f"{where} no JSON object; each line must be one")
    return [_attribute(channel, values, name, where) for name in channel.attribute_names]


def _attribute(channel: ChannelPlan, values: dict[str, object], name: str, where: str) -> Reference | bytes:
    if name not in values:
        raise refusal(channel, f'{where} no attribute "{name}"; add it, or take it out of attributeNames')
    value = values[name]
    if not name.endswith("-ref"):
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        bucket, key = split_s3_uri(value) if isinstance(value, str) else ("", "")
    except ValueError:
        key = ""
    if not key:
        raise refusal(
            channel,
            f'{where} as "{name}" no object ({json.dumps(value)[:80]}); write s3://BUCKET/KEY, as its name ends with -ref',
        )
    return Reference(bucket, key)
