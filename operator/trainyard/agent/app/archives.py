"""The job's artifacts on their way: every host's files, read and sent to S3. An archive is not visible yet; files without one are."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from trainyard.agent.adapters.gzipped import Gzip
from trainyard.agent.adapters.inventory import Sent, Taken
from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app import peers
from trainyard.agent.app.begun import Begun
from trainyard.agent.app.fence import Guard
from trainyard.agent.app.multipart import ObjectWriter, Prepared
from trainyard.agent.app.objects import Folder, Objects
from trainyard.agent.app.pack import Notes, Packer, Sink, TarStream
from trainyard.agent.app.patience import Ask, Patience
from trainyard.agent.app.settings import SEEN_AS, Settings
from trainyard.agent.app.store import Store
from trainyard.agent.core.absence import Absences
from trainyard.agent.core.archive import part_plan
from trainyard.agent.errors import ClientFailure, PeerFault
from trainyard.agent.ports import Body
from trainyard.api.plan import Host
from trainyard.api.reasons import Reason
from trainyard.api.report import Artifact
from trainyard.api.uris import split_s3_uri

BUSY_SECONDS = 5.0


class Pulse:
    """Tells now and then that something moves, how many bytes were sent so far, and in how many seconds, those of each connection. Safe for
    threads."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._said = 0.0
        self._sent = 0
        self._seconds = 0.0

    def __call__(self, sent: int = 0, seconds: float = 0.0) -> None:
        with self._lock:
            self._sent += sent
            self._seconds += seconds
            now = time.monotonic()
            if now - self._said < BUSY_SECONDS:
                return
            self._said = now
        self._tell("busy", sent=self._sent, seconds=self._seconds)


@dataclass
class Built:
    """One tree in S3: an archive that is not visible yet, or a folder. Neither: there was nothing to put in an archive."""

    packer: Packer
    listed: Path
    prepared: Prepared | None = None
    sha256: str | None = None
    """Of the archive, in hex."""
    folder: Folder | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> Notes:
        return self.packer.notes

    @property
    def artifact(self) -> Artifact | None:
        """None: nothing was written."""
        if self.prepared:
            made = self.prepared
            return Artifact(uri=made.uri, size=made.size, sha256=self.sha256, files=self.packer.files)
        if self.folder and self.packer.files:
            return Artifact(uri=self.folder.uri, size=self.packer.bytes, files=self.packer.files)
        return None


class _Heard:
    """A stream that tells when something came."""

    def __init__(self, stream: IO[bytes], heard: Callable[[], None]) -> None:
        self._stream = stream
        self._heard = heard

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if data:
            self._heard()
        return data


def _free(_patience: Patience) -> None:
    """Of a place that nobody else writes to."""


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
        guard: Guard,
    ) -> None:
        self._settings = settings
        self._store = store
        self._begun = begun
        self._patience = patience
        self._peers = hosts
        self._tell = tell
        self._pulse = pulse
        self._guard = guard
        self._sent: dict[str, Sent] = {}
        self.built: dict[str, Built] = {}
        self.lost: set[str] = set()

    def fill(self, uris: dict[str, str], hosts: list[Host], *, fenced: bool = True) -> None:
        """Builds what is missing, by tree: at a URI that ends with a slash as objects below it, else as an archive. A host that stays away is
        given up and everything begun again.

        `fenced`: others may write there. Raises Refused and AgentError.
        """
        absences = Absences(self._settings.timing.peer_lost)
        while True:
            try:
                for tree, uri in uris.items():
                    if tree not in self.built:
                        self.built[tree] = self._build(tree, uri, hosts, absences, fenced=fenced)
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

    def _build(self, tree: str, uri: str, hosts: list[Host], absences: Absences, *, fenced: bool) -> Built:
        own, size = Tree(self._settings.tree(tree), SEEN_AS[tree]).survey()
        if uri.endswith("/"):
            built = self._build_folder(tree, uri, hosts, absences, self._guard.check if fenced else _free)
        else:
            built = self._build_archive(tree, uri, hosts, absences, size)
        built.fingerprints[self._settings.host] = own
        return built

    def _build_folder(self, tree: str, uri: str, hosts: list[Host], absences: Absences, ask: Ask) -> Built:
        sent = self._sent.get(uri)
        if sent is None:
            sent = self._sent[uri] = Sent(self._settings.sent(uri))
        sink = Objects(
            self._store,
            uri,
            sent=sent,
            ask=ask,
            patience=self._patience,
            uploads=self._begun,
            pulse=self._pulse,
        )
        try:
            built = self._pack(sink, tree, hosts, absences)
            sink.finish()
        except BaseException:
            sink.abort()
            raise
        built.folder = Folder(self._store, uri, sent, ask, self._pulse)
        return built

    def _build_archive(self, tree: str, uri: str, hosts: list[Host], absences: Absences, size: int) -> Built:
        """`size`: bytes of this host's files."""
        bucket, key = split_s3_uri(uri)
        size += sum(int(self._ask(host, tree)["size"]) for host in hosts if host.name != self._settings.host)
        plan = part_plan(size)
        if plan is None:
            raise ClientFailure(
                Reason.ARTIFACT_UPLOAD_FAILED,
                f"Artifact upload failed:{SEEN_AS[tree]} is larger than one archive can be (about 1.2 TiB); write less,"
                " or leave files as they are with outputDataConfig.compressionType NONE.",
            )
        writer = ObjectWriter(self._store, bucket, key, plan=plan, patience=self._patience, uploads=self._begun)
        digest = hashlib.sha256()

        def send(data: bytes) -> None:
            digest.update(data)
            writer.write(data)

        gzip = Gzip(send)

        def write(data: Body) -> None:
            gzip.add(data)
            self._pulse()

        try:
            sink = TarStream(write)
            built = self._pack(sink, tree, hosts, absences)
            sink.close()
            gzip.end()
            if built.packer.entries:
                built.prepared, built.sha256 = writer.finish(), digest.hexdigest()
            else:
                writer.abort()
            return built
        except BaseException:
            gzip.abandon()
            writer.abort()
            raise

    def _pack(self, sink: Sink, tree: str, hosts: list[Host], absences: Absences) -> Built:
        """All hosts' files into the sink; the others' fingerprints as they were read."""
        listed = self._settings.scratch / f"files-{tree}.jsonl"
        taken = Taken() if len(hosts) > 1 else None
        fingerprints = {}
        try:
            with listed.open("w") as lines:
                packer = Packer(sink, lines, tree, taken=taken)
                packer.add_tree(self._settings.tree(tree), self._settings.host)
                for host in hosts:
                    if host.name != self._settings.host:
                        fingerprints[host.name] = self._fetch(packer, tree, host, absences)
        finally:
            if taken is not None:
                taken.close()
        return Built(packer, listed, fingerprints=fingerprints)

    def _ask(self, host: Host, tree: str) -> dict[str, Any]:
        """Fingerprint and size in bytes. A walk over many files takes its time."""
        return self._peers.ask(host, "GET", f"{peers.TREE}?tree={tree}", timeout=self._settings.timing.read)

    def _fetch(self, packer: Packer, tree: str, host: Host, absences: Absences) -> str:
        with self._peers.open(
            host, "GET", f"{peers.ARCHIVE}?tree={tree}", timeout=self._settings.timing.read
        ) as stream:
            heard = _Heard(stream, partial(absences.delivered, host.name))
            print_of_tree = packer.add_stream(heard.read, host.name)
        absences.came(host.name)
        return print_of_tree
