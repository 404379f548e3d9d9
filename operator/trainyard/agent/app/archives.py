"""The job's archives on their way: every host's files, read and sent to S3, and nothing visible yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from trainyard.agent.adapters.gzipped import Gzip
from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app import peers
from trainyard.agent.app.begun import Begun
from trainyard.agent.app.multipart import ObjectWriter, Prepared
from trainyard.agent.app.pack import Notes, Packer
from trainyard.agent.app.settings import SEEN_AS, Settings
from trainyard.agent.app.store import Patience, Store
from trainyard.agent.core.absence import Absences
from trainyard.agent.core.archive import part_plan
from trainyard.agent.errors import ClientFailure, PeerFault
from trainyard.api.base import split_s3_uri
from trainyard.api.plan import Host
from trainyard.api.reasons import Reason

BUSY_SECONDS = 5.0


class Pulse:
    """Tells now and then that something moves, and how many bytes were sent so far. Safe for threads."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._said = 0.0
        self._sent = 0

    def __call__(self, sent: int = 0) -> None:
        with self._lock:
            self._sent += sent
            now = time.monotonic()
            if now - self._said < BUSY_SECONDS:
                return
            self._said = now
        self._tell("busy", sent=self._sent)


@dataclass
class Built:
    """One archive in S3, not visible yet; None as object if there was nothing to put in."""

    prepared: Prepared | None
    files: int
    listed: Path
    notes: Notes
    fingerprints: dict[str, str] = field(default_factory=dict)


class _Heard:
    """A stream that tells when something came."""

    def __init__(self, stream: IO[bytes], heard: Callable[[], None]) -> None:
        self._stream = stream
        self._heard = heard

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        if data:
            self._heard()
        return data


class Archives:
    """`built` by tree; `lost`: hosts that were given up."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        begun: Begun,
        *,
        patience: Patience,
        hosts: peers.Peers,
        tell: Callable[..., None],
        pulse: Pulse,
    ) -> None:
        self._settings = settings
        self._store = store
        self._begun = begun
        self._patience = patience
        self._peers = hosts
        self._tell = tell
        self._pulse = pulse
        self.built: dict[str, Built] = {}
        self.lost: set[str] = set()

    def fill(self, uris: dict[str, str], hosts: list[Host]) -> None:
        """Builds what is missing, by tree; a host that stays away is given up and everything begun again.

        Raises Refused and ClientFailure.
        """
        absences = Absences(self._settings.timing.peer_lost)
        while True:
            try:
                for tree, uri in uris.items():
                    if tree not in self.built:
                        self.built[tree] = self._build(tree, uri, hosts, absences)
                return
            except PeerFault as fault:
                self.abandon()
                self._tell("waiting", message=f"the files of {fault.host} cannot be fetched ({fault.detail})")
                if absences.failed(fault.host, time.monotonic()) or self._patience.enough.is_set():
                    self.lost.add(fault.host)
                    hosts = [host for host in hosts if host.name != fault.host]
                time.sleep(self._settings.timing.peer_poll)

    def abandon(self) -> None:
        """Takes back whatever is not visible yet."""
        for built in self.built.values():
            if built.prepared and built.prepared.upload:
                self._begun.abort(built.prepared.bucket, built.prepared.key, built.prepared.upload)
        self.built = {}

    def unchanged(self, hosts: list[Host]) -> bool:
        """Is what was built what the hosts have now?"""
        if any({host.name for host in hosts} != set(built.fingerprints) for built in self.built.values()):
            return False
        me = self._settings.host
        try:
            return all(
                built.fingerprints[host.name]
                == (
                    Tree(self._settings.tree(tree), SEEN_AS[tree]).fingerprint()
                    if host.name == me
                    else self._ask(host, tree).get("fingerprint")
                )
                for tree, built in self.built.items()
                for host in hosts
            )
        except PeerFault:
            return False

    def _build(self, tree: str, uri: str, hosts: list[Host], absences: Absences) -> Built:
        bucket, key = split_s3_uri(uri)
        directory = self._settings.tree(tree)
        me = self._settings.host
        listed = self._settings.scratch / f"files-{tree}.jsonl"
        fingerprint, size = Tree(directory, SEEN_AS[tree]).survey()
        fingerprints = {me: fingerprint}
        size += sum(int(self._ask(host, tree)["size"]) for host in hosts if host.name != me)
        plan = part_plan(size)
        if plan is None:
            raise ClientFailure(
                Reason.ARTIFACT_UPLOAD_FAILED,
                f"Artifact upload failed:{SEEN_AS[tree]} is larger than one archive can be (about 1.2 TiB); write less, or to S3 directly.",
            )
        writer = ObjectWriter(
            self._store, bucket, key, plan=plan, patience=self._patience, remember=self._begun.remember
        )
        gzip = Gzip(writer.write)

        def write(data: bytes) -> None:
            gzip.add(data)
            self._pulse()

        try:
            with listed.open("w") as lines:
                packer = Packer(write, lines, tree, merging=len(hosts) > 1)
                packer.add_tree(directory, me)
                for host in hosts:
                    if host.name != me:
                        fingerprints[host.name] = self._fetch(packer, tree, host, absences)
                packer.end()
                gzip.end()
            if not packer.entries:
                writer.abort()
                return Built(None, 0, listed, packer.notes, fingerprints)
            return Built(writer.finish(), packer.files, listed, packer.notes, fingerprints)
        except BaseException:
            gzip.abandon()
            writer.abort()
            raise

    def _ask(self, host: Host, tree: str) -> dict[str, Any]:
        """Fingerprint and size in bytes. A walk over many files takes its time."""
        return self._peers.ask(host, "GET", f"{peers.TREE}?tree={tree}", timeout=self._settings.timing.read)

    def _fetch(self, packer: Packer, tree: str, host: Host, absences: Absences) -> str:
        with self._peers.open(
            host, "GET", f"{peers.ARCHIVE}?tree={tree}", timeout=self._settings.timing.read
        ) as stream:
            heard = _Heard(stream, partial(absences.delivered, host.name))
            print_of_tree = packer.add_stream(cast("IO[bytes]", heard), host.name)  # it is only read from
        absences.came(host.name)
        return print_of_tree
