"""The objects of a channel, listed by a prefix or named by a document, and the checkpoints that are in S3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from trainyard.agent.app.ahead import ahead, in_order
from trainyard.agent.app.coming import Item
from trainyard.agent.app.download import Downloader
from trainyard.agent.app.fence import download_failure
from trainyard.agent.app.patience import Patience, Refused
from trainyard.agent.app.shares import Source
from trainyard.agent.app.store import Store
from trainyard.agent.core import datamanifest, layout, mirror
from trainyard.agent.errors import ClientFailure
from trainyard.agent.ports import UNKNOWN, StoredObject
from trainyard.api.plan import ChannelPlan, CheckpointPlan, Plan
from trainyard.api.uris import split_s3_uri

PAGES_AHEAD = 4
LOOK_UPS = 16
LOOK_UPS_AHEAD = 1_000


class Sources:
    """All methods raise AgentError. `saw` is called for each object that was listed or named."""

    def __init__(self, store: Store, fetcher: Path, plan: Plan, patience: Patience, saw: Callable[[], None]) -> None:
        """`fetcher`: s3fetch."""
        self._store = store
        self._fetcher = fetcher
        self._plan = plan
        self._patience = patience
        self._saw = saw

    def document(self, channel: ChannelPlan) -> bytes:
        """The channel's manifest as it is in S3."""
        bucket, key = split_s3_uri(channel.s3_uri)
        try:
            size = self._store.head(bucket, key, self._patience).size
            if size > datamanifest.MOST_BYTES:
                raise datamanifest.too_large(channel, size)
            found = self._store.read_small(bucket, key, self._patience)
        except Refused as refused:
            if not refused.fault.missing:
                raise download_failure(refused) from refused
            found = None
        if found is None:
            raise self._missing(channel)
        return found[0]

    def fetch(self, channel: ChannelPlan, path: Path) -> None:
        """The channel's augmented manifest into a file; it may be of any size."""
        bucket, key = split_s3_uri(channel.s3_uri)
        try:
            found = self._store.head(bucket, key, self._patience)
            parts = path.parent / "parts"
            Downloader(self._store, self._fetcher, parts, self._patience).run([Item(bucket, found, str(path))])
        except Refused as refused:
            raise self._missing(channel) if refused.fault.missing else download_failure(refused) from refused

    @staticmethod
    def _missing(channel: ChannelPlan) -> ClientFailure:
        return datamanifest.refusal(channel, "does not exist; correct the S3 URI, or write the manifest first")

    def readable(self, bucket: str, key: str) -> None:
        """Returns if a byte of the object can be had, or it is empty."""
        try:
            self._store.read_start(bucket, key, 1, self._patience)
        except Refused as refused:
            raise download_failure(refused) from refused

    def listed(self, channel: ChannelPlan) -> Source:
        """The objects of an S3Prefix. Returns once it is certain that there are any."""
        bucket, prefix = split_s3_uri(channel.s3_uri)
        found, listing = _begun(lambda: self._below(bucket, prefix))
        if not found:
            raise layout.no_objects(channel, bucket, self._plan.store.region, self._plan.store.role)
        return Source(bucket, prefix, listing)

    def kept(self, checkpoints: CheckpointPlan) -> Source:
        """What is to be restored, which may be nothing. Returns once it is certain that it can be listed."""
        bucket, key = split_s3_uri(checkpoints.s3_uri)
        prefix = mirror.prefix_of(key)
        _, listing = _begun(lambda: (item for item in self._below(bucket, prefix) if not mirror.local(item.key)))
        return Source(bucket, prefix, listing)

    def _below(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """All with that prefix, except what the job itself writes there."""
        output_bucket, output = split_s3_uri(self._plan.output_uri)
        try:
            for page in ahead(self._store.pages(bucket, prefix, self._patience), PAGES_AHEAD):
                for item in page:
                    self._saw()
                    if bucket != output_bucket or not layout.written_by_job(item.key, prefix, output):
                        yield item
        except Refused as refused:
            raise download_failure(refused) from refused

    def named(self, channel: ChannelPlan, document: bytes) -> Source:
        """The objects of a ManifestFile; in bytewise order of their keys, each once."""
        named = datamanifest.manifest_file(channel, document)

        def listing() -> Iterator[StoredObject]:
            for key in named.all_keys(ordered=True):
                self._saw()
                yield StoredObject(key, UNKNOWN, "")

        def entries() -> Iterator[StoredObject]:
            return (StoredObject(key, UNKNOWN, "") for key in named.all_keys())

        def look_up(items: Iterable[StoredObject]) -> Iterator[StoredObject]:
            with ThreadPoolExecutor(LOOK_UPS) as pool:
                yield from in_order(pool, self._sized(channel, named.bucket), items, LOOK_UPS_AHEAD)

        return Source(
            named.bucket, named.folder if channel.manifest_paths == "relative" else "", listing, look_up, entries
        )

    def _sized(self, channel: ChannelPlan, bucket: str) -> Callable[[StoredObject], StoredObject]:
        def head(item: StoredObject) -> StoredObject:
            try:
                return self._store.head(bucket, item.key, self._patience)
            except Refused as refused:
                if refused.fault.missing:
                    raise datamanifest.refusal(
                        channel,
                        f"names s3://{bucket}/{item.key}, which does not exist; write the object, or remove the entry",
                    ) from refused
                raise download_failure(refused) from refused

        return head


def _begun(listing: Callable[[], Iterator[StoredObject]]) -> tuple[bool, Callable[[], Iterable[StoredObject]]]:
    """Whether a listing has any data, and the same listing.

    The one that this begins is the first that is read; only a store that lists out of order needs another.
    """
    following = listing()
    first = [*_up_to_data(following)]
    begun = [chain(first, following)]
    return bool(first) and not layout.is_folder_marker(first[-1]), lambda: begun.pop() if begun else listing()


def _up_to_data(items: Iterator[StoredObject]) -> Iterator[StoredObject]:
    """The items up to the first that is data."""
    for item in items:
        yield item
        if not layout.is_folder_marker(item):
            return
