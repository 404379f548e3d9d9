"""What training finds on this host's disk: its share of each channel, and checkpoints; downloads begin while the listing goes on."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainyard.agent.adapters import files
from trainyard.agent.adapters.placed import Placed
from trainyard.agent.app import fence, mounted, restore
from trainyard.agent.app.coming import Item
from trainyard.agent.app.download import Downloader, Parents
from trainyard.agent.app.fence import download_failure
from trainyard.agent.app.patience import Patience, Refused
from trainyard.agent.app.piped import Piped
from trainyard.agent.app.progress import Progress
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.shares import Share
from trainyard.agent.app.sources import Sources
from trainyard.agent.app.store import Store
from trainyard.agent.core import layout
from trainyard.agent.errors import ClientFailure
from trainyard.api.plan import ChannelPlan, CheckpointPlan, Plan
from trainyard.api.report import Phase

log = logging.getLogger(__name__)
RESTORES = 3
"""So often checkpoints are restored that change meanwhile."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Input:
    """One host's channels and checkpoints. All methods raise AgentError."""

    def __init__(self, settings: Settings, plan: Plan, store: Store, patience: Patience, progress: Progress) -> None:
        self._settings = settings
        self._plan = plan
        self._store = store
        self._patience = patience
        self._progress = progress
        self._sources = Sources(store, settings.fetcher, plan, patience, progress.saw)
        self._piped = Piped(settings, plan, self._sources, progress)
        self._placed = Placed(settings.placed)
        self._downloader = Downloader(
            store,
            settings.fetcher,
            settings.staging,
            patience,
            progress=progress.add,
            came=progress.came,
            placed=self._note,
        )
        self._needed = 0
        """Bytes of all objects that were given out for download."""
        self._free = 0
        self._volume = plan.volume_bytes or 2**63
        """Bytes that the volume may hold, less those that are in place already."""

    def _note(self, items: Sequence[Item]) -> None:
        self._placed.add((item.file, item.source) for item in items)

    def bring(self) -> None:
        """Returns when everything is in place."""
        # All are looked at before anything is downloaded: what is wrong with the last one shows at once.
        channels = self._plan.channels_of(self._settings.host)
        _check_names(channels, [channel.name for channel in self._plan.mounted])
        mounted.check(self._settings, self._plan)
        shares = [
            (self._share(channel), self._settings.ml / "input/data" / channel.name)
            for channel in channels
            if channel.input_mode != "Pipe"
        ]
        kept = self._plan.checkpoints
        checkpoints = restore.share(self._settings, kept, self._sources) if kept is not None else None
        for channel in channels:
            if channel.input_mode == "Pipe":
                self._piped.prepare(channel)
        self._downloader.clean()
        self._free = files.free_bytes(self._settings.ml)
        for share, directory in shares:
            files.make_directory(directory)
            self._fill(share, directory)
            share.remove()
        if kept is not None and checkpoints is not None:
            self._restore(kept, checkpoints)
            restore.record(self._settings, kept)

    def _restore(self, kept: CheckpointPlan, share: Share) -> None:
        """What an earlier attempt that still lives changes in the meantime is restored as it is afterwards."""
        directory = self._settings.checkpoints
        files.make_directory(directory)
        if self._plan.job.attempt > 1:
            fence.settled(self._store, self._plan, self._patience, self._settings.timing, self._waits)
            self._progress.enter(Phase.STAGING)
            share = restore.share(self._settings, kept, self._sources)
        before = self._count()
        for left in reversed(range(RESTORES)):
            try:
                self._fill(share, directory)
                break
            except ClientFailure as failure:
                refused = failure.__cause__
                if not left or not isinstance(refused, Refused) or not refused.fault.moved:
                    raise
                log.warning("checkpoints are restored once more: %s", failure)
                self._begin_anew(directory, before)
                share = restore.share(self._settings, kept, self._sources)
        share.remove()

    def _waits(self) -> None:
        self._progress.enter(Phase.WAITING, f"waiting for {self._plan.hosts[0].name} to begin this attempt")

    def _share(self, channel: ChannelPlan) -> Share:
        if channel.data_type == "ManifestFile":
            name = f"{channel.name}-manifest"
            document = self._sources.document(channel)
            source = self._sources.named(channel, document)
            self._keep_manifest(name, document)
        else:
            source = self._sources.listed(channel)
        hosts = self._plan.receivers(channel)
        rank = hosts.index(self._settings.host)
        return Share(channel, source, self._settings.scratch, rank=rank, hosts=len(hosts))

    def _keep_manifest(self, name: str, document: bytes) -> None:
        """Beside the channel's directory, as on SageMaker. A channel of that name has the place first."""
        taken = {channel.name for channel in self._plan.channels} | {channel.name for channel in self._plan.mounted}
        if name not in taken:
            files.write_whole(self._settings.ml / "input/data" / name, document, 0o666)

    def _fill(self, share: Share, directory: Path) -> None:
        before = self._count()
        try:
            self._download(self._items(share, directory))
        except layout.Unordered:
            # What came before the first key out of order need not be this host's.
            self._begin_anew(directory, before)
            self._download(self._items(share, directory, sort=True))

    def _count(self) -> tuple[int, int, int]:
        """Objects and bytes that are there, and bytes that were given out."""
        return self._progress.objects, self._progress.bytes, self._needed

    def _begin_anew(self, directory: Path, before: tuple[int, int, int]) -> None:
        files.empty(directory)
        self._placed.clear()
        *came, self._needed = before
        self._progress.back_to(*came)

    def _items(self, share: Share, directory: Path, *, sort: bool = False) -> Iterator[Item]:
        """One by one, each when its directories are there and its bytes have room: nobody holds them all."""
        parents = Parents(directory)
        for each in share.files(sort=sort):
            self._check_folder(share, each.source.key)
            item = Item(share.source.bucket, each.source, f"{directory}/{each.path}")
            if self._placed.has(item.file, item.source):
                self._volume -= item.source.size
                self._progress.add(1, item.source.size)
                continue
            self._needed += item.source.size
            if self._needed > (room := min(self._free, self._volume)):
                raise layout.disk_full(self._needed, room, self._settings.host)
            parents.make(each.path)
            yield item

    def _check_folder(self, share: Share, key: str) -> None:
        channel, prefix = share.channel, share.source.prefix
        if channel.input_mode == "FastFile" and key != prefix and not layout.in_folder(prefix, key):
            raise layout.partial_prefix(channel, share.source.bucket, key)

    def _download(self, items: Iterator[Item]) -> None:
        try:
            self._downloader.run(items)
        except Refused as refused:
            raise download_failure(refused) from refused
        except OSError as error:
            if error.errno not in FULL:
                raise
            free = files.free_bytes(self._settings.ml)
            raise layout.disk_full(self._needed, free, self._settings.host) from error


def _check_names(channels: list[ChannelPlan], mounted_names: list[str]) -> None:
    """A Pipe channel's FIFOs must not be another channel's directory."""
    for channel in channels:
        for other in [*(each.name for each in channels), *mounted_names]:
            stem, _, number = other.rpartition("_")
            if channel.input_mode == "Pipe" and stem == channel.name and number.isdecimal():
                raise layout.fifo_taken(channel, other)
