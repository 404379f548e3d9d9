"""`stage`'s part of a Pipe channel: what it streams is worked out, checked and written down; nothing of it is downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from trainyard.agent.adapters import fifo, files
from trainyard.agent.app.catalogue import Catalogue, record, stored
from trainyard.agent.app.progress import Progress
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.shares import Share, Source
from trainyard.agent.app.sources import Sources
from trainyard.agent.core import datamanifest, layout
from trainyard.agent.ports import Reference, StoredObject
from trainyard.api.plan import ChannelPlan, Plan


class Piped:
    """All methods raise AgentError."""

    def __init__(self, settings: Settings, plan: Plan, sources: Sources, progress: Progress) -> None:
        self._settings = settings
        self._plan = plan
        self._sources = sources
        self._progress = progress

    def prepare(self, channel: ChannelPlan) -> None:
        """Returns once the channel's first FIFO is there."""
        files.make_directory(self._settings.pipes, 0o700)
        files.make_directory(self._settings.staging, 0o700)
        hosts = self._plan.receivers(channel)
        rank = hosts.index(self._settings.host)
        # What is shuffled over all hosts before it is shared must be known to all.
        whole = channel.sharded and channel.shuffle_seed is not None and channel.sharding == "objects"
        catalogue = Catalogue(self._settings.pipes, channel)
        part = (0, 1) if whole or not channel.sharded else (rank, len(hosts))
        rest = (rank, len(hosts)) if whole else (0, 1)
        if channel.data_type == "AugmentedManifestFile":
            catalogue.write("", self._lines(channel, *part), rank=rest[0], hosts=rest[1])
            self._progress.add(len(catalogue.order(0)), 0)
        else:
            bucket, objects = self._objects(channel, *part)
            catalogue.write(bucket, map(record, objects), rank=rest[0], hosts=rest[1])
            self._count(catalogue)
        self._try_first(catalogue)
        fifo.make(self._settings.fifo(channel, 0), self._settings.staging)

    def _try_first(self, catalogue: Catalogue) -> None:
        """Objects that may be listed need not be readable: that shows here, and not only when training waits for them."""
        channel, lines = catalogue.channel, catalogue.lines()
        for number in catalogue.order(0)[:1]:
            if channel.data_type != "AugmentedManifestFile":
                self._sources.readable(catalogue.bucket, stored(lines[number]).key)
                continue
            for found in datamanifest.sample(channel, lines[number], number + 1):
                if isinstance(found, Reference):
                    self._sources.readable(found.bucket, found.key)
        lines.close()

    def _count(self, catalogue: Catalogue) -> None:
        lines = catalogue.lines()
        for number in catalogue.order(0):
            self._progress.add(1, stored(lines[number]).size)
        lines.close()

    def _objects(self, channel: ChannelPlan, rank: int, hosts: int) -> tuple[str, Iterable[StoredObject]]:
        """Their bucket, and those of a host in the order in which they are streamed."""
        if channel.data_type == "S3Prefix":
            source = self._sources.listed(channel)
            return source.bucket, self._share(channel, source, rank, hosts)
        named = self._sources.named(channel, self._sources.document(channel))
        # Only sharing by size must know more than keys.
        source = named if channel.sharding == "bytes" else replace(named, look_up=lambda items: items)
        mine = {item.key for item in self._share(channel, source, rank, hosts)}
        return named.bucket, named.look_up(item for item in named.entries() if item.key in mine)

    def _share(self, channel: ChannelPlan, source: Source, rank: int, hosts: int) -> Iterator[StoredObject]:
        """Kept on disk before any is given out: a store that does not list in order is noticed by then."""
        share = Share(channel, source, self._settings.scratch, rank=rank, hosts=hosts)
        try:
            share.keep()
        except layout.Unordered:
            share.keep(sort=True)
        yield from share.kept
        share.remove()

    def _lines(self, channel: ChannelPlan, rank: int, hosts: int) -> Iterator[bytes]:
        """Those of an augmented manifest, each looked at."""
        path = self._settings.scratch / f"{channel.name}.manifest"
        self._sources.fetch(channel, path)
        with path.open("rb") as file:
            lines = datamanifest.samples(channel, iter(lambda: file.readline(datamanifest.MOST_LINE + 1), b""))
            yield from islice(lines, rank, None, hosts)
        path.unlink()
