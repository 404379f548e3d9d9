"""What this host gets of each channel, worked out and checked before any download, and kept on disk: there may be millions."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from trainyard.agent.adapters.spool import Spool
from trainyard.agent.core import layout
from trainyard.agent.ports import StoredObject
from trainyard.api.plan import ChannelPlan

IN_MEMORY = 50_000
"""Objects that are sorted at once, where a store does not list in order."""


@dataclass(frozen=True)
class Share:
    """One host's objects of a channel. `total`: how many data objects all hosts have of it."""

    channel: ChannelPlan
    bucket: str
    prefix: str
    total: int
    _objects: Spool

    @property
    def bytes(self) -> int:
        return self._objects.bytes

    def placed(self) -> Iterator[layout.Placement]:
        """In bytewise order of keys; read anew each time."""
        return layout.place(self.prefix, self._objects)

    def remove(self) -> None:
        self._objects.remove()


class Shares:
    """Takes shares for the host of that rank. Files go to `directory`, one for each channel."""

    def __init__(self, directory: Path, rank: int, hosts: int) -> None:
        self._directory = directory
        self._rank = rank
        self._hosts = hosts

    def take(
        self, channel: ChannelPlan, bucket: str, prefix: str, listing: Callable[[], Iterable[StoredObject]]
    ) -> Share:
        """Raises what `listing` raises, and ClientFailure for keys that cannot be files."""
        kept = Spool(self._directory / f"objects-{channel.name}.jsonl")
        part = layout.Part.of(channel, self._rank, self._hosts)
        try:
            kept.write(part.of_ordered(listing()))
        except layout.Unordered:
            part = layout.Part.of(channel, self._rank, self._hosts)
            kept.write(part.of_ordered(self._sorted(listing(), channel.name)))
        share = Share(channel, bucket, prefix, part.total, kept)
        mixed = kept.ends is not None and layout.beside_its_folder(prefix, *kept.ends)
        layout.check(channel, bucket, prefix, share.placed, mixed=mixed)
        return share

    def _sorted(self, items: Iterable[StoredObject], name: str) -> Iterator[StoredObject]:
        runs: list[Spool] = []
        following = iter(items)
        while batch := sorted(islice(following, IN_MEMORY), key=layout.bytewise):
            run = Spool(self._directory / f"unordered-{name}-{len(runs)}.jsonl")
            run.write(batch)
            runs.append(run)
        yield from heapq.merge(*runs, key=layout.bytewise)
        for run in runs:
            run.remove()
