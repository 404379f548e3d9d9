"""What the upload process does: archives to S3, then the fence, then the commit, then the manifest, read back."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainyard.agent.adapters import files
from trainyard.agent.adapters.gzipped import Gzip
from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app import fence, peers
from trainyard.agent.app.multipart import ObjectWriter, Prepared
from trainyard.agent.app.pack import Notes, Packer
from trainyard.agent.app.settings import SEEN_AS, Settings
from trainyard.agent.app.store import Patience, Refused, Store
from trainyard.agent.core import manifest
from trainyard.agent.core.archive import part_plan
from trainyard.agent.errors import ClientFailure, PeerFault, PlatformFailure
from trainyard.agent.ports import FileBody
from trainyard.api.base import split_s3_uri
from trainyard.api.plan import Host, Plan
from trainyard.api.reasons import Reason

TREES = ("model", "output")
BUSY_SECONDS = 5.0


@dataclass(frozen=True)
class Job:
    """One command. `missing`: hosts to do without."""

    outcome: str = "Unknown"
    missing: tuple[str, ...] = ()

    @staticmethod
    def parse(command: dict[str, Any]) -> Job:
        return Job(str(command.get("outcome", "Unknown")), tuple(command.get("missing", ())))


@dataclass
class Built:
    """One archive in S3, not visible yet; None as object if there was nothing to put in."""

    prepared: Prepared | None
    files: int
    listed: Path
    notes: Notes
    fingerprints: dict[str, str] = field(default_factory=dict)


class Publisher:
    """Keeps what is prepared between commands. Methods raise AgentError; `tell` is safe for threads."""

    def __init__(
        self, settings: Settings, plan: Plan, tell: Callable[..., None], enough: threading.Event | None = None
    ) -> None:
        """`enough`, once set: whatever is refused then is tried no more."""
        self._settings = settings
        self._plan = plan
        self._tell = tell
        self._store = Store(plan.store, settings.credentials, settings.timing)
        self._patience = Patience(math.inf, stubborn=True, notify=self._notify, enough=enough or threading.Event())
        self._said = 0.0
        self._peers = peers.Peers(plan, settings.port, settings.timing.connect)
        self._uploads: dict[str, list[str]] = files.read_json(settings.uploads)
        self._built: dict[str, Built] = {}
        self._lost: set[str] = set()
        self._clean = False
        settings.scratch.mkdir(parents=True, exist_ok=True)

    def prepare(self, job: Job) -> None:
        self._fill({"model": self._plan.model_uri, "output": self._plan.output_data_uri}, self._hosts(job))
        self._tell("prepared")

    def commit(self, job: Job) -> None:
        hosts = self._hosts(job)
        if self._built and not self._unchanged(hosts):
            self.abandon()
        self._fill({"model": self._plan.model_uri, "output": self._plan.output_data_uri}, hosts)
        patience = self._patience
        try:
            if not fence.may_commit(self._store, self._plan, patience):
                raise fence.superseded(self._plan, "before its artifacts were complete")
            self._show(patience)
            self._write_manifest(job, patience)
        except Refused as refused:
            raise fence.upload_failure(refused) from refused
        self._committed(job)

    def share(self, job: Job) -> None:
        """This host's files alone, under keys of their own."""
        self.abandon()
        uris = {tree: manifest.share_uri(self._plan, self._settings.host, tree) for tree in TREES}
        self._fill(uris, [self._plan.host(self._settings.host)])
        try:
            self._show(self._patience)
        except Refused as refused:
            raise fence.upload_failure(refused) from refused
        self._committed(job)

    def abandon(self) -> None:
        """Takes back whatever is not visible yet."""
        for built in self._built.values():
            if built.prepared and built.prepared.upload:
                self._abort(built.prepared.bucket, built.prepared.key, built.prepared.upload)
        self._built = {}

    def _hosts(self, job: Job) -> list[Host]:
        return [host for host in self._plan.hosts if host.name not in job.missing and host.name not in self._lost]

    def take_back(self, _job: Job) -> None:
        """Aborts what an earlier process began, under whatever key."""
        for name, uploads in list(self._uploads.items()):
            bucket, _, key = name.partition("/")
            for upload in uploads:
                self._abort(bucket, key, upload)
        self._tell("taken_back")

    def _busy(self) -> None:
        """A sign of life while files are read, now and then."""
        now = time.monotonic()
        if now - self._said >= BUSY_SECONDS:
            self._said = now
            self._tell("busy")

    def _notify(self, text: str | None) -> None:
        self._tell("going") if text is None else self._tell("refused", message=text)

    # Preparing

    def _fill(self, uris: dict[str, str], hosts: list[Host]) -> None:
        """Builds what is missing of the archives; a host that stays away is given up and everything begun again."""
        if not self._clean:
            self._take_back(uris)
            self._clean = True
        failing_since: float | None = None
        while True:
            try:
                for tree, uri in uris.items():
                    if tree not in self._built:
                        self._built[tree] = self._build(tree, uri, hosts)
                return
            except PeerFault as fault:
                self.abandon()
                now = time.monotonic()
                failing_since = failing_since or now
                self._tell("waiting", message=f"the files of {fault.host} cannot be fetched ({fault.detail})")
                if now - failing_since >= self._settings.timing.peer_lost or self._patience.enough.is_set():
                    self._lost.add(fault.host)
                    hosts = [host for host in hosts if host.name != fault.host]
                    failing_since = None
                time.sleep(self._settings.timing.peer_poll)
            except Refused as refused:
                raise fence.upload_failure(refused) from refused

    def _build(self, tree: str, uri: str, hosts: list[Host]) -> Built:
        bucket, key = split_s3_uri(uri)
        directory = self._settings.tree(tree)
        own = Tree(directory, SEEN_AS[tree])
        me = self._settings.host
        listed = self._settings.scratch / f"files-{tree}.jsonl"
        fingerprints = {me: own.fingerprint()}
        # What the others bring is not known before: plan for as much from each.
        plan = part_plan(own.size() * len(hosts))
        if plan is None:
            raise ClientFailure(
                Reason.ARTIFACT_UPLOAD_FAILED,
                f"Artifact upload failed:{SEEN_AS[tree]} is larger than one archive can be (about 1.2 TiB); write less, or to S3 directly.",
            )
        writer = ObjectWriter(self._store, bucket, key, plan=plan, patience=self._patience, remember=self._remember)
        gzip = Gzip()

        def write(data: bytes) -> None:
            writer.write(gzip.add(data))
            self._busy()

        try:
            with listed.open("w") as lines:
                packer = Packer(write, lines, tree, merging=len(hosts) > 1)
                packer.add_tree(directory, me)
                for host in hosts:
                    if host.name != me:
                        fingerprints[host.name] = self._fetch(packer, tree, host)
                packer.end()
                writer.write(gzip.end())
            if not packer.entries:
                writer.abort()
                return Built(None, 0, listed, packer.notes, fingerprints)
            return Built(writer.finish(), packer.files, listed, packer.notes, fingerprints)
        except BaseException:
            writer.abort()
            raise

    def _fetch(self, packer: Packer, tree: str, host: Host) -> str:
        with self._peers.open(
            host, "GET", f"{peers.ARCHIVE}?tree={tree}", timeout=self._settings.timing.read
        ) as stream:
            return packer.add_stream(stream, host.name)

    def _unchanged(self, hosts: list[Host]) -> bool:
        """Is what was prepared what the hosts have now?"""
        if {host.name for host in hosts} != set(self._built[TREES[0]].fingerprints):
            return False
        me = self._settings.host
        try:
            return all(
                built.fingerprints[host.name]
                == (
                    Tree(self._settings.tree(tree), SEEN_AS[tree]).fingerprint()
                    if host.name == me
                    else self._peers.ask(host, "GET", f"{peers.TREE}?tree={tree}").get("fingerprint")
                )
                for tree, built in self._built.items()
                for host in hosts
            )
        except PeerFault:
            return False

    # Uploads that were begun

    def _remember(self, bucket: str, key: str, upload: str) -> None:
        """Keeps the ids of unfinished uploads, so that a successor of this process can abort them."""
        name = f"{bucket}/{key}"
        if upload:
            self._uploads[name] = [*self._uploads.get(name, []), upload]
        else:
            self._uploads.pop(name, None)
        files.write_whole(self._settings.uploads, json.dumps(self._uploads))

    def _take_back(self, uris: dict[str, str]) -> None:
        """Aborts what an earlier process of ours left at exactly these keys."""
        for uri in uris.values():
            bucket, key = split_s3_uri(uri)
            left = set(self._uploads.get(f"{bucket}/{key}", []))
            with contextlib.suppress(Refused):
                left.update(self._store.list_uploads(bucket, key))
            for upload in left:
                self._abort(bucket, key, upload)
        if self._uploads:
            self._uploads = {}
            files.write_whole(self._settings.uploads, "{}")

    def _abort(self, bucket: str, key: str, upload: str) -> None:
        with contextlib.suppress(Refused):
            self._store.abort_upload(bucket, key, upload)
            self._remember(bucket, key, "")

    # Committing

    def _show(self, patience: Patience) -> None:
        for built in self._built.values():
            if built.prepared:
                built.prepared.commit(self._store, patience, self._remember)

    def _missing(self, job: Job) -> list[str]:
        return sorted({*job.missing, *self._lost})

    def _write_manifest(self, job: Job, patience: Patience) -> None:
        path = self._settings.scratch / "manifest.json"
        with path.open("w") as file:
            self._compose(job, file.write)
        body = FileBody.of(path)
        bucket, key = split_s3_uri(self._plan.manifest_uri)
        self._store.put(bucket, key, body, patience)
        if not self._store.same(bucket, key, body, patience):
            raise PlatformFailure(
                Reason.ARTIFACT_UPLOAD_FAILED,
                f"{self._plan.manifest_uri} was written but reads differently: another writer, or a faulty store.",
            )

    def _compose(self, job: Job, write: Callable[[str], object]) -> None:
        """The manifest piece by piece: its list of files may be longer than memory should hold."""
        failed = any(built.notes.unreadable for built in self._built.values()) or self._missing(job)
        outcome = "Failed" if failed and job.outcome == "Completed" else job.outcome
        warnings = [text for built in self._built.values() for text in built.notes.warnings]
        write(json.dumps(manifest.head(self._plan, outcome, self._missing(job), warnings))[:-1])
        write(', "artifacts": [')
        comma = ""
        for built in self._built.values():
            if built.prepared:
                artifact = {"uri": built.prepared.uri, "size": built.prepared.size, "sha256": built.prepared.sha256}
                write(f'{comma}{json.dumps(artifact)[:-1]}, "files": [')
                with built.listed.open() as lines:
                    for number, line in enumerate(lines):
                        write(("," if number else "") + "\n" + line.rstrip("\n"))
                write("]}")
                comma = ", "
        skipped = [entry for built in self._built.values() for entry in built.notes.skipped]
        write(f'], "skipped": {json.dumps(skipped)}}}')

    def _committed(self, job: Job) -> None:
        self._tell(
            "committed",
            missing=self._missing(job),
            warnings=[text for built in self._built.values() for text in built.notes.warnings],
            unreadable=[path for built in self._built.values() for path in built.notes.unreadable],
            skipped=sum(len(built.notes.skipped) for built in self._built.values()),
            artifacts=[
                {
                    "uri": built.prepared.uri,
                    "size": built.prepared.size,
                    "sha256": built.prepared.sha256,
                    "files": built.files,
                }
                for built in self._built.values()
                if built.prepared
            ],
        )
        self._built = {}
