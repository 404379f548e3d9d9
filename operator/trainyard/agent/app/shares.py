"""What this host gets of each channel: given out while it is worked out, and kept on disk, as there may be millions."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from trainyard.agent.adapters.spool import Spool
from trainyard.agent.core import balance, layout
from trainyard.agent.ports import StoredObject
from trainyard.api.plan import ChannelPlan

IN_MEMORY = 50_000
"""Objects that are sorted at once, by size or where a store does not list in order."""


def _as_it_is(items: Iterable[StoredObject]) -> Iterable[StoredObject]:
    return items


@dataclass(frozen=True)
class Source:
    """Where a channel's objects come from. `listing` gives all of them, each time anew; `look_up` sizes those that were only
    named. `prefix`: what decides on local paths."""

    bucket: str
    prefix: str
    listing: Callable[[], Iterable[StoredObject]]
    look_up: Callable[[Iterable[StoredObject]], Iterable[StoredObject]] = _as_it_is
    entries: Callable[[], Iterable[StoredObject]] = tuple
    """Of a document that names objects: as it names them, in its order."""


class Share:
    """One host's objects of a channel, in bytewise order of their keys. `rank`: the host's among the `hosts` that get the channel."""

    def __init__(self, channel: ChannelPlan, source: Source, directory: Path, *, rank: int = 0, hosts: int = 1) -> None:
        self.channel = channel
        self.source = source
        self.total = 0
        """How many data objects all hosts have of the channel; known once all were given out."""
        self._directory = directory
        self._rank = rank
        self._hosts = hosts
        self._kept = Spool(directory / f"objects-{channel.name}.jsonl")

    @property
    def bytes(self) -> int:
        """Of what was given out so far."""
        return self._kept.bytes

    def objects(self, *, sort: bool = False) -> Iterator[StoredObject]:
        """Each as soon as it is known. Raises Unordered if the store does not list in order: then `sort`, which takes longer.
        Of objects that are shared by size none is known before all are."""
        if self.channel.sharded and self.channel.sharding == "bytes":
            yield from self._kept.recorded(self._sorted(self._balanced(), layout.bytewise))
            return
        part = layout.Part.of(self.channel, self._rank, self._hosts)
        listed = self.source.listing()
        mine = part.of_ordered(self._sorted(listed, layout.bytewise) if sort else listed)
        yield from self._kept.recorded(self.source.look_up(mine))
        self.total = part.total

    def keep(self, *, sort: bool = False) -> None:
        """Works them out without giving them out; `kept` has them then."""
        for _ in self.objects(sort=sort):
            pass

    @property
    def kept(self) -> Iterable[StoredObject]:
        return self._kept

    def _balanced(self) -> Iterator[StoredObject]:
        """This host's, by size: of all objects the sizes must be known first."""
        data = (item for item in self.source.listing() if not layout.is_folder_marker(item))
        ordered = self._sorted(self.source.look_up(data), balance.by_size)
        # Of a page that came twice its objects follow each other here.
        once = (next(same) for _, same in groupby(ordered, balance.by_size))
        for item, rank in balance.shared(once, self._hosts):
            self.total += 1
            if rank == self._rank:
                yield item

    def files(self, *, sort: bool = False) -> Iterator[layout.Placement]:
        """The same with their paths, none before it is sure that it can lie beside all that came before it. Raises ClientFailure."""
        bucket, prefix = self.source.bucket, self.source.prefix
        check = layout.Check(self.channel, bucket)
        folder: bool | None = None
        following = self.objects(sort=sort)
        for number, item in enumerate(following):
            inside = layout.in_folder(prefix, item.key)
            if folder is not None and folder is not inside:
                # From here on the paths are not in the order of the keys: nothing more is given out before all are known.
                for _ in following:
                    pass
                layout.check_mixed(self.channel, bucket, prefix, lambda: self._kept)
                yield from layout.place(prefix, islice(self._kept, number, None))
                return
            folder = inside
            (placed,) = layout.place(prefix, [item])
            check.add(placed)
            yield placed

    def remove(self) -> None:
        self._kept.remove()

    def _sorted(self, items: Iterable[StoredObject], order: Callable[[StoredObject], Any]) -> Iterator[StoredObject]:
        runs: list[Spool] = []
        following = iter(items)
        while batch := sorted(islice(following, IN_MEMORY), key=order):
            run = Spool(self._directory / f"sorted-{order.__name__}-{self.channel.name}-{len(runs)}.jsonl")
            run.write(batch)
            runs.append(run)
        yield from heapq.merge(*runs, key=order)
        for run in runs:
            run.remove()
