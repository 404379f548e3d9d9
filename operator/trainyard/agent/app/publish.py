"""What the upload process does: artifacts to S3, then the fence, then the commit, then the manifest, read back."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from trainyard.agent.app import fence, former
from trainyard.agent.app.archives import Archives, Built, Pulse
from trainyard.agent.app.begun import Begun
from trainyard.agent.app.patience import READINGS, SPOILT, Ask, Patience, Refused, nobody
from trainyard.agent.app.peers import Peers
from trainyard.agent.app.settings import SEEN_AS, Settings
from trainyard.agent.app.store import Store
from trainyard.agent.core import manifest
from trainyard.agent.errors import ClientFailure, PlatformFailure
from trainyard.agent.ports import FileBody
from trainyard.api.plan import Host, Plan
from trainyard.api.reasons import Reason
from trainyard.api.uris import split_s3_uri

log = logging.getLogger(__name__)
TREES = ("model", "output")
_LATE = "before its artifacts were complete"
TRIES = 5
"""So often the artifacts are sent before an upload that others abort fails the job."""


@dataclass(frozen=True)
class Job:
    """One command. `missing`: hosts to do without."""

    outcome: str = "Unknown"
    missing: tuple[str, ...] = ()

    @staticmethod
    def parse(command: dict[str, Any]) -> Job:
        return Job(str(command.get("outcome", "Unknown")), tuple(command.get("missing", ())))


class Publisher:
    """Keeps what is prepared between commands. Methods raise AgentError; `tell` is safe for threads."""

    def __init__(
        self, settings: Settings, plan: Plan, tell: Callable[..., None], enough: threading.Event | None = None
    ) -> None:
        """`enough`, once set: whatever is refused then is tried no more."""
        self._settings = settings
        self._plan = plan
        self._tell = tell
        pulse = Pulse(tell)
        self._store = Store(plan.store, settings.credentials, settings.timing, identity=settings.identity, moved=pulse)
        self._patience = Patience(math.inf, stubborn=True, notify=self._notify, enough=enough or threading.Event())
        self._begun = Begun(self._store, settings.uploads)
        hosts = Peers(plan, settings.port, settings.timing.connect)
        self._guard = fence.Guard(self._store, plan, settings.timing.fence_age, _LATE)
        self._archives = Archives(
            settings,
            self._store,
            self._begun,
            patience=self._patience,
            hosts=hosts,
            tell=tell,
            pulse=pulse,
            guard=self._guard,
        )
        self._clean = False
        settings.scratch.mkdir(parents=True, exist_ok=True)

    def prepare(self, job: Job) -> None:
        try:
            self._fill_final(job)
        except Refused as refused:
            raise fence.upload_failure(refused) from refused
        self._tell("prepared")

    def commit(self, job: Job) -> None:
        if job.missing and (found := self._found_with(job.missing)) is not None:
            # An earlier process of this host has committed and could not say so; those hosts have seen that, and gone.
            self.abandon()
            if found.get("outcome") == "Failed" and job.outcome == "Completed":
                text = f"Artifact upload failed:not all files could be uploaded; {self._plan.manifest_uri} has those that are there"
                raise ClientFailure(Reason.ARTIFACT_UPLOAD_FAILED, text)
            self._committed(Job(job.outcome), joint=True)
            return
        self._send(lambda: self._commit(job))
        self._committed(job, joint=True)

    def _send(self, send: Callable[[], None]) -> None:
        """Once more from the beginning where an upload is spoilt. Raises AgentError."""
        for left in reversed(range(TRIES)):
            try:
                send()
                break
            except Refused as refused:
                if refused.fault.code not in SPOILT or not left:
                    raise fence.upload_failure(refused) from refused
                # A lifecycle rule, or another job on its way out, has aborted it; or a part's ETag came damaged.
                log.warning("%s; once more from the beginning", refused)
                self.abandon()

    def _found_with(self, hosts: Iterable[str]) -> dict[str, object] | None:
        """This attempt's manifest, if it has the files of these hosts. One that cannot be read shows nothing, and is not waited for."""
        with contextlib.suppress(Refused):
            return fence.committed_with(self._store, self._plan, hosts, self._brief)
        return None

    def _commit(self, job: Job) -> None:
        if self._built and not self._archives.unchanged(self._hosts(job)):
            self.abandon()
        self._fill_final(job)
        fence.ensure(self._store, self._plan, self._patience, _LATE)
        self._show(self._uris, self._guard.check, job)
        self._begun.abort_all(self._store.doubtful)
        self._write_manifest(job)

    def share(self, job: Job) -> None:
        """This host's files alone, under keys of their own; nothing where algo-1 has committed them and only its word was missed."""
        self.abandon()
        host = self._plan.host(self._settings.host)
        joint = self._found_with([host.name]) is not None
        if not joint:
            self._send(lambda: self._share(host, job))
        self._committed(job, joint=joint)

    def _share(self, host: Host, job: Job) -> None:
        uris = {tree: manifest.share_uri(self._plan, host.name, tree) for tree in TREES}
        self._fill(uris, [host], fenced=False)
        self._show(uris, nobody, job)
        self._begun.abort_all(self._store.doubtful)

    def abandon(self) -> None:
        """Takes back whatever is not visible yet."""
        self._archives.abandon()
        self._begun.abort_known()

    def take_back(self, _job: Job) -> None:
        """Aborts what an earlier process began, under whatever key."""
        self._begun.abort_known()
        self._tell("taken_back")

    @property
    def _uris(self) -> dict[str, str]:
        return {"model": self._plan.model_uri, "output": self._plan.output_data_uri}

    @property
    def _built(self) -> dict[str, Built]:
        return self._archives.built

    def _hosts(self, job: Job) -> list[Host]:
        return [host for host in self._plan.hosts if host.name not in self._missing(job)]

    def _missing(self, job: Job) -> list[str]:
        return sorted({*job.missing, *self._archives.lost})

    def _notify(self, text: str | None) -> None:
        self._tell("going") if text is None else self._tell("refused", message=text)

    def _fill_final(self, job: Job) -> None:
        # First of all: the uploads that are aborted next may be those of the place's new owner.
        fence.ensure(self._store, self._plan, self._patience, "before its artifacts were uploaded")
        self._fill(self._uris, self._hosts(job))

    def _fill(self, uris: dict[str, str], hosts: list[Host], *, fenced: bool = True) -> None:
        if not self._clean:
            self._begun.abort_all(uris.values())
            self._clean = True
        self._archives.fill(uris, hosts, fenced=fenced)

    def _show(self, uris: dict[str, str], ask: Ask, job: Job) -> None:
        """What was sent before and is not there now stays if it may be all that there is: of a host that was lost since, or of an
        earlier attempt where this one has come to nothing."""
        for tree, built in self._built.items():
            if built.prepared:
                built.prepared.commit(self._store, self._patience, self._begun, ask)
            elif built.folder:
                final = built.folder.uri == self._uris[tree]
                warnings = built.folder.settle(
                    self._patience,
                    self._brief,
                    former.files(self._store, self._plan, built.folder.uri, self._brief) if final else (),
                    keep=bool(self._missing(job)) or (job.outcome != "Completed" and not built.packer.files),
                )
                built.notes.warnings[:0] = warnings
                if final:
                    self._remark_older(self._plan.archive_uri(tree), built, "for its compressionType is NONE")
            else:
                self._remark_older(uris[tree], built, f"for it left nothing in {SEEN_AS[tree]}")

    @property
    def _brief(self) -> Patience:
        """For what can be done without."""
        return Patience(self._settings.timing.brief, enough=self._patience.enough)

    def _remark_older(self, uri: str, built: Built, why: str) -> None:
        """What lies at the key of an archive that this job has not is not removed: it is not ours. But it must not be taken for ours."""
        bucket, key = split_s3_uri(uri)
        # Not stubborn: those who may not list are refused a key that is missing.
        patience = Patience(self._plan.download_retry_seconds, notify=self._notify, enough=self._patience.enough)
        with contextlib.suppress(Refused):
            if self._store.there(bucket, key, patience):
                built.notes.warnings.insert(0, f"an older object lies at {uri}; this run did not write it, {why}")

    def _write_manifest(self, job: Job) -> None:
        path = self._settings.scratch / "manifest.json"
        with path.open("w") as file:
            self._compose(job, file.write)
        body = FileBody.of(path)
        bucket, key = split_s3_uri(self._plan.manifest_uri)
        for _ in range(READINGS):
            self._store.put(bucket, key, body, self._patience, ask=self._guard.check)
            if self._store.same(bucket, key, body, self._patience):
                return
        raise PlatformFailure(
            Reason.ARTIFACT_UPLOAD_FAILED,
            f"{self._plan.manifest_uri} was written {READINGS} times but reads differently: another writer, or a faulty store.",
        )

    def _compose(self, job: Job, write: Callable[[str], object]) -> None:
        """The manifest piece by piece: its list of files may be longer than memory should hold."""
        failed = any(built.notes.incomplete for built in self._built.values()) or self._missing(job)
        outcome = "Failed" if failed and job.outcome == "Completed" else job.outcome
        warnings = [text for built in self._built.values() for text in built.notes.warnings]
        write(json.dumps(manifest.head(self._plan, outcome, self._missing(job), warnings))[:-1])
        write(', "artifacts": [')
        comma = ""
        for built in self._built.values():
            if artifact := built.artifact:
                head = {name: value for name, value in artifact.to_dict().items() if name != "files"}
                write(f'{comma}{json.dumps(head)[:-1]}, "files": [')
                with built.listed.open() as lines:
                    for number, line in enumerate(lines):
                        write(("," if number else "") + "\n" + line.rstrip("\n"))
                write("]}")
                comma = ", "
        skipped = [entry for built in self._built.values() for entry in built.notes.skipped]
        write(f'], "skipped": {json.dumps(skipped)}}}')

    def _committed(self, job: Job, *, joint: bool) -> None:
        """`joint`: this host's files are among the job's, and not apart."""
        self._tell(
            "committed",
            joint=joint,
            missing=self._missing(job),
            warnings=[text for built in self._built.values() for text in built.notes.warnings],
            unreadable=[path for built in self._built.values() for path in built.notes.unreadable],
            unfit=[path for built in self._built.values() for path in built.notes.unfit],
            skipped=sum(built.notes.skips for built in self._built.values()),
            artifacts=[artifact.to_dict() for built in self._built.values() if (artifact := built.artifact)],
        )
        self._archives.built = {}
