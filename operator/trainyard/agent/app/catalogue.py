"""What a Pipe channel streams on this host, worked out by `stage` and kept in the state directory for the sidecar's `pipe` process.

Also how far the stream is: a FIFO's reader cannot tell a writer that has died from one that is done, so somebody must know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from trainyard.agent.adapters import files
from trainyard.agent.adapters.lines import Lines, OpenLines
from trainyard.agent.core import epochs
from trainyard.agent.ports import StoredObject
from trainyard.api.plan import ChannelPlan


class Catalogue:
    """One channel's records: objects of one bucket, or lines of an augmented manifest."""

    def __init__(self, directory: Path, channel: ChannelPlan) -> None:
        self.channel = channel
        self._records = directory / f"{channel.name}.records"
        self._facts = directory / f"{channel.name}.json"
        self._state = directory / f"{channel.name}.state.json"

    def write(self, bucket: str, records: Iterable[bytes], *, rank: int = 0, hosts: int = 1) -> None:
        """`rank` and `hosts`: the records are those of all hosts, and only a part of them is this one's, in each epoch another."""
        count = Lines(self._records).write(records)
        files.write_whole(self._facts, json.dumps({"count": count, "bucket": bucket, "first": rank, "step": hosts}))

    @property
    def bucket(self) -> str:
        return str(files.read_json(self._facts)["bucket"])

    def order(self, epoch: int) -> Sequence[int]:
        """The numbers of this host's records in that epoch (from 0), in the order in which they are streamed."""
        facts = files.read_json(self._facts)
        return epochs.order(facts["count"], epoch, self.channel.shuffle_seed, facts["first"], facts["step"])

    def lines(self) -> OpenLines:
        return Lines(self._records).open()

    # How far it is

    def enter(self, epoch: int, *, streaming: bool) -> None:
        """`streaming`: somebody reads, and has not been given everything."""
        files.write_whole(self._state, json.dumps({"epoch": epoch, "streaming": streaming}))

    @property
    def epoch(self) -> int:
        """The first whose FIFO nobody has had to its end."""
        return int(files.read_json(self._state).get("epoch", 0))

    @property
    def streaming(self) -> bool:
        return bool(files.read_json(self._state).get("streaming"))


def record(item: StoredObject) -> bytes:
    """An object as a record."""
    return json.dumps([item.key, item.size, item.etag, item.checksum]).encode()


def stored(line: bytes) -> StoredObject:
    """A record that is an object."""
    return StoredObject(*json.loads(line))
