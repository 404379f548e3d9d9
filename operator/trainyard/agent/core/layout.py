"""Which objects of a channel a host gets, and under which names: training-data rules without any I/O.

S3Prefix is a plain key-name prefix: `s3://b/data/train` matches `data/train/a` as well as `data/train-extra/b`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from trainyard.agent.errors import ClientFailure
from trainyard.agent.ports import StoredObject
from trainyard.api.plan import ChannelPlan, MountedChannel
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


def key_bytes(key: str) -> bytes:
    """The order in which S3 lists, and in which keys are shared out."""
    return key.encode("utf-8", "surrogateescape")


def bytewise(item: StoredObject) -> bytes:
    return key_bytes(item.key)


@dataclass
class Part:
    """One host's part of a channel's data objects: from the `first` on each `step`-th. `total` counts all that were seen."""

    first: int
    step: int
    total: int = 0

    @staticmethod
    def of(channel: ChannelPlan, rank: int, hosts: int) -> Part:
        return Part(rank, hosts) if channel.sharded else Part(0, 1)

    def of_ordered(self, listed: Iterable[StoredObject]) -> Iterator[StoredObject]:
        """The part's objects as they come: none is kept. Raises Unordered for keys that are not in bytewise order."""
        before = b""
        for item in listed:
            key = bytewise(item)
            if key < before:
                raise Unordered
            if key == before:
                continue  # a page that came twice
            before = key
            if not is_folder_marker(item):
                if self.total % self.step == self.first:
                    yield item
                self.total += 1


def place(prefix: str, listed: Iterable[StoredObject]) -> Iterator[Placement]:
    """Each object with its path, unchecked."""
    return (Placement(item, local_path(prefix, item.key)) for item in listed)


class Check:
    """Refuses a key that cannot be a file, and two that cannot both be. Takes placements in bytewise order of their paths.

    In that order a file is followed at once by all that begin with its name: only what may still be followed so is kept.
    """

    def __init__(self, channel: ChannelPlan, bucket: str) -> None:
        self._channel = channel
        self._bucket = bucket
        self._open: list[tuple[bytes, Placement]] = []

    def add(self, item: Placement) -> None:
        """Raises ClientFailure."""
        if fault := path_fault(item.path):
            raise _refusal(
                f'the object s3://{self._bucket}/{item.source.key} of channel "{self._channel.name}" cannot be a file: as the path '
                f"{item.path!r} {fault}. Rename the object, or choose an S3 URI that does not match it."
            )
        path = _path_bytes(item)
        while self._open and not path.startswith(self._open[-1][0]):
            self._open.pop()
        for other, owner in self._open:
            if other == path:
                why = f'both would be the file "{item.path}"'
            elif path.startswith(other + b"/"):
                why = f'"{owner.path}" would have to be a file and a directory'
            else:
                continue
            raise _clash(self._channel, self._bucket, owner.source.key, item.source.key, why)
        self._open.append((path, item))


def check_mixed(channel: ChannelPlan, bucket: str, prefix: str, listed: Callable[[], Iterable[StoredObject]]) -> None:
    """The same for keys that lie in the prefix's folder and beside it. `listed` gives all in bytewise order, each time anew."""
    check = Check(channel, bucket)
    for item in _by_path(prefix, listed):
        check.add(item)


def in_folder(prefix: str, key: str) -> bool:
    """Does a key of `prefix` lie in the folder of that name? The others lie beside it."""
    return not prefix or prefix.endswith("/") or key.startswith(f"{prefix}/")


def _path_bytes(item: Placement) -> bytes:
    return key_bytes(item.path)


def _by_path(prefix: str, listed: Callable[[], Iterable[StoredObject]]) -> Iterable[Placement]:
    """In bytewise order of paths: that of the keys, separately for those in the prefix's folder and those beside it."""
    inside = (item for item in listed() if in_folder(prefix, item.key))
    beside = (item for item in listed() if not in_folder(prefix, item.key))
    return heapq.merge(place(prefix, inside), place(prefix, beside), key=_path_bytes)


def _clash(channel: ChannelPlan, bucket: str, one: str, other: str, why: str) -> ClientFailure:
    return _refusal(
        f's3://{bucket}/{one} and s3://{bucket}/{other} of channel "{channel.name}" cannot lie side by side: {why}. '
        f"Rename one, or choose an S3 URI that matches only one."
    )


def _refusal(text: str) -> ClientFailure:
    return ClientFailure(Reason.DATA_DOWNLOAD_FAILED, f"Data download failed:{text}")


def no_objects(channel: ChannelPlan, bucket: str, region: str, role: str) -> ClientFailure:
    """SageMaker's own words for a channel that matches nothing."""
    return ClientFailure(
        Reason.NO_DATA,
        f'Data download failed:No S3 objects found under S3 URL "{channel.s3_uri}" given in input data source. '
        f"Please ensure that the bucket exists in the selected region ({region}), that objects exist under that S3 "
        f'prefix, and that the role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".',
    )


def no_directory(channel: MountedChannel, fault: str) -> ClientFailure:
    """`fault` is a verb and what follows it."""
    place = f"the directory {channel.path!r}" if channel.path else "the root"
    where = f"{place} of PersistentVolumeClaim {channel.claim}, which serves it, {fault}"
    if channel.input_mode == "FastFile":
        reason, advice = Reason.NO_DATA, "Write objects there, or give the S3 URI of a folder that has some"
    else:
        reason, advice = Reason.DATA_DOWNLOAD_FAILED, "Create the directory, or correct directoryPath"
    return ClientFailure(
        reason, f'Data download failed:{channel.source} of channel "{channel.name}" cannot be used: {where}. {advice}.'
    )


def partial_prefix(channel: ChannelPlan, bucket: str, key: str) -> ClientFailure:
    """SageMaker's own words for FastFile, with what is not in the folder."""
    return _refusal(
        "Failed to download data. For FastFile mode, partial S3 prefix is not supported. S3 prefix has to end with a full file or "
        f"folder. Add a trailing '/' to the S3 URI {channel.s3_uri} of channel \"{channel.name}\", which also matches "
        f"s3://{bucket}/{key}."
    )


def fifo_taken(channel: ChannelPlan, other: str) -> ClientFailure:
    return _refusal(
        f'channel "{channel.name}" in Pipe mode is read from {channel.name}_0, {channel.name}_1 and so on, and another channel is called '
        f'"{other}"; rename one of them'
    )


def disk_full(needed: int, free: int, host: str) -> ClientFailure:
    """The share does not fit; both numbers in bytes."""
    return ClientFailure(
        Reason.DISK_FULL,
        f"Data download failed:the input data of {host}, checkpoints included, needs at least {needed} bytes and its storage volume "
        f"has {free} free. Ask for more with resourceConfig.volumeSizeInGB, or shard the channels.",
    )
