"""Which objects of a channel a host gets, and under which names: training-data rules without any I/O.

S3Prefix is a plain key-name prefix: `s3://b/data/train` matches `data/train/a` as well as `data/train-extra/b`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from trainyard.agent.errors import ClientFailure
from trainyard.agent.ports import StoredObject
from trainyard.api.plan import ChannelPlan
from trainyard.api.reasons import Reason

NAME_BYTES = 255  # the longest file name of every common file system


@dataclass(frozen=True, slots=True)
class Placement:
    """One object and the path, relative to the channel's directory, where it belongs."""

    source: StoredObject
    path: str


def is_folder_marker(item: StoredObject) -> bool:
    """The empty `name/` objects that consoles make; they are not data and do not count when sharing."""
    return item.size == 0 and item.key.endswith("/")


def written_by_job(key: str, prefix: str, output: str) -> bool:
    """Does `key` lie where the job itself writes (below `output`/), and not because the channel asks for just that?

    Such keys come and go while hosts list, so that each would share out other ones. Of a channel that points into the job's
    output only the agent's own documents are left out.
    """
    below = f"{output}/"
    if not key.startswith(below):
        return False
    return not prefix.startswith(below) or key.startswith(f"{below}trainyard-")


def local_path(prefix: str, key: str) -> str:
    """The path of `key` under its channel, unchecked: below `prefix/` if that is a folder, else from its last part on."""
    folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    if key.startswith(folder):
        return key[len(folder) :]
    return key[prefix.rfind("/") + 1 :]


def path_fault(path: str) -> str | None:
    """Why `path` cannot be a file below the channel's directory, or None."""
    parts = path.split("/")
    if path.startswith("/"):
        return 'it would start with "/"'
    if "" in parts:
        return "it has an empty part"
    if ".." in parts or "." in parts:
        return 'it has a "." or ".." part'
    if "\0" in path:
        return "it has a NUL character"
    if any(len(part.encode("utf-8", "surrogateescape")) > NAME_BYTES for part in parts):
        return f"a part of it is longer than {NAME_BYTES} bytes"
    return None


class Unordered(Exception):  # noqa: N818 - not an error
    """A listing that is not in key order: nobody's share can be told before its end."""


def _bytewise(item: StoredObject) -> bytes:
    return item.key.encode("utf-8", "surrogateescape")


def _every(listed: Iterable[StoredObject], rank: int, hosts: int, count: list[int]) -> Iterator[StoredObject]:
    """Each `hosts`-th data object. Raises Unordered."""
    before = b""
    for item in listed:
        key = _bytewise(item)
        if key < before:
            raise Unordered
        before = key
        if not is_folder_marker(item):
            if count[0] % hosts == rank:
                yield item
            count[0] += 1


def place_share(
    channel: ChannelPlan,
    bucket: str,
    prefix: str,
    listing: Callable[[], Iterable[StoredObject]],
    *,
    rank: int,
    hosts: int,
) -> tuple[list[Placement], int]:
    """One host's share and the number of all objects, without the others' in memory if the listing is in order."""
    if channel.distribution != "FullyReplicated":
        count = [0]
        try:
            return place(channel, bucket, prefix, _every(listing(), rank, hosts, count)), count[0]
        except Unordered:
            pass  # once more
    placed = place(channel, bucket, prefix, listing())
    return share(channel, placed, rank, hosts), len(placed)


def place(channel: ChannelPlan, bucket: str, prefix: str, listed: Iterable[StoredObject]) -> list[Placement]:
    """All data objects of a channel in bytewise key order, each with a checked path.

    Raises ClientFailure for a key that cannot be a file, and for two that cannot both be.
    """
    data = sorted((item for item in listed if not is_folder_marker(item)), key=_bytewise)
    placed = []
    for item in data:
        path = local_path(prefix, item.key)
        if fault := path_fault(path):
            raise _refusal(
                f'the object s3://{bucket}/{item.key} of channel "{channel.name}" cannot be a file: as the path {path!r} {fault}. '
                f"Rename the object, or choose an S3 URI that does not match it."
            )
        placed.append(Placement(item, path))
    _refuse_clashes(channel, bucket, placed)
    return placed


def _refuse_clashes(channel: ChannelPlan, bucket: str, placed: Sequence[Placement]) -> None:
    owner: dict[str, str] = {}
    for item in placed:
        if (other := owner.get(item.path)) is not None:
            raise _clash(channel, bucket, other, item.source.key, f'both would be the file "{item.path}"')
        owner[item.path] = item.source.key
    for item in placed:
        end = item.path.rfind("/")
        while end > 0:
            if other := owner.get(item.path[:end]):
                why = f'"{item.path[:end]}" would have to be a file and a directory'
                raise _clash(channel, bucket, other, item.source.key, why)
            end = item.path.rfind("/", 0, end)


def _clash(channel: ChannelPlan, bucket: str, one: str, other: str, why: str) -> ClientFailure:
    return _refusal(
        f's3://{bucket}/{one} and s3://{bucket}/{other} of channel "{channel.name}" cannot lie side by side: {why}. '
        f"Rename one, or choose an S3 URI that matches only one."
    )


def _refusal(text: str) -> ClientFailure:
    return ClientFailure(Reason.DATA_DOWNLOAD_FAILED, f"Data download failed:{text}")


def share(channel: ChannelPlan, placed: Sequence[Placement], rank: int, hosts: int) -> list[Placement]:
    """What the host of that rank gets: everything, or every `hosts`-th object. May be nothing."""
    if channel.distribution == "FullyReplicated":
        return list(placed)
    return list(placed[rank::hosts])


def no_objects(channel: ChannelPlan, bucket: str, region: str, role: str) -> ClientFailure:
    """SageMaker's own words for a channel that matches nothing."""
    return ClientFailure(
        Reason.NO_DATA,
        f'Data download failed:No S3 objects found under S3 URL "{channel.s3_uri}" given in input data source. '
        f"Please ensure that the bucket exists in the selected region ({region}), that objects exist under that S3 "
        f'prefix, and that the role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".',
    )


def disk_full(needed: int, free: int, host: str) -> ClientFailure:
    """The share does not fit; both numbers in bytes."""
    return ClientFailure(
        Reason.DISK_FULL,
        f"Data download failed:the input data of {host} needs {needed} bytes and its storage volume has {free} free. "
        f"Ask for more with resourceConfig.volumeSizeInGB, or shard the channels.",
    )
