"""One directory of a host and its mirror in S3: a look at it, and what follows from it there. The fence is asked before every change.

What is uploaded goes in the order in which it was written, so that a file that names others never comes before them; what has
vanished is deleted after that. A file counts as closed when nobody has it open for writing, or, where the kernel does not
tell, when it was the same at the look before.

Checkpoints are kept like this. Of a folder that only goes up, such as TensorBoard's, files are sent as far as they are written, for a
program has them open all the time; nothing is deleted in S3, and there are no markers.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from trainyard.agent.adapters import marks
from trainyard.agent.adapters.ledger import Ledger, Note
from trainyard.agent.adapters.trail import Skip
from trainyard.agent.adapters.tree import RootError, Tree
from trainyard.agent.app import fence, filelook
from trainyard.agent.app.begun import Begun
from trainyard.agent.app.mirrored import Mirrored
from trainyard.agent.app.multipart import ObjectWriter
from trainyard.agent.app.patience import Patience, Refused
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.store import Store
from trainyard.agent.core import mirror
from trainyard.agent.core.archive import part_plan
from trainyard.agent.core.mirror import Kind, Known
from trainyard.agent.errors import ClientFailure
from trainyard.api.plan import Plan
from trainyard.api.reasons import Reason
from trainyard.api.uris import split_s3_uri

log = logging.getLogger(__name__)
MOST_REFUSED = 3
"""Files that are refused before a pass gives up: one may have an impossible name, three mean the place."""


@dataclass(frozen=True)
class _Look:
    """One look at the directory. `last`: nobody writes any more, and what is there is kept as it is. `spare`: memory for what is sent."""

    tree: Tree
    root: int
    last: bool
    patience: Patience
    spare: list[bytearray] = field(default_factory=list)


class Keeper:
    """`tell` is safe for threads. `enough`, once set: what is refused then is tried no more."""

    def __init__(
        self, settings: Settings, plan: Plan, kept: Mirrored, tell: Callable[..., None], enough: threading.Event
    ) -> None:
        self._kept = kept
        self._tell = tell
        self._enough = enough
        self._bucket, key = split_s3_uri(kept.s3_uri)
        self._prefix = mirror.prefix_of(key)
        output_bucket, output = split_s3_uri(plan.output_uri)
        self._output = output if output_bucket == self._bucket else None
        # outputDataConfig's key is for what a job puts out: checkpoints are encrypted as their bucket has it.
        place = plan.store if kept.one_way else plan.store.but(kms_key="")
        self._store = Store(place, settings.credentials, settings.timing, identity=settings.identity)
        self._guard = fence.Guard(
            self._store, plan, settings.timing.fence_age, f"before the last {kept.what} were kept"
        )
        self._begun = Begun(self._store, kept.uploads)
        self._alone = len(plan.hosts) == 1
        self._ledger = Ledger(kept.ledger)
        self._uploaded = self._bytes = self._deleted = self._open = self._left_out = 0
        self._refused: list[Refused] = []
        self._unreadable: str | None = None

    def take_back(self) -> None:
        self._begun.abort_known()

    def keep(self, *, last: bool, stubborn: bool = False) -> dict[str, Any]:
        """One pass; what it found. Raises AgentError if the place is another attempt's, and of a last one that is `stubborn` (all the
        time there is), or has no time left, whatever is in the way."""
        began = time.monotonic()
        try:
            seconds = self._pass(last, self._patience(stubborn=stubborn))
        except RootError as fault:
            if self._kept.one_way and fault.errno == errno.ENOENT:
                return self._said(time.monotonic() - began)  # training has no use for it
            text = f"{self._kept.local_path} cannot be opened ({fault.strerror}): let training leave the directory in place"
            if last:
                raise ClientFailure(Reason.ARTIFACT_UPLOAD_FAILED, f"Artifact upload failed:{text}") from fault
            return {"refused": text, "seconds": time.monotonic() - began}
        final = last and (stubborn or self._enough.is_set())
        if final and self._refused:
            raise fence.upload_failure(self._refused[0])
        if final and self._unreadable:
            raise ClientFailure(Reason.ARTIFACT_UPLOAD_FAILED, f"Artifact upload failed:{self._unreadable}")
        return self._said(seconds)

    def _said(self, seconds: float) -> dict[str, Any]:
        return {
            "files": self._ledger.count(),
            "uploaded": self._uploaded,
            "bytes": self._bytes,
            "deleted": self._deleted,
            "leftOut": self._left_out,
            "open": self._open,
            "refused": self._refused[0].verdict.text if self._refused else self._unreadable,
            "seconds": seconds,
        }

    def _patience(self, *, stubborn: bool = False) -> Patience:
        seconds = math.inf if stubborn else self._kept.interval_seconds
        return Patience(seconds, stubborn=stubborn, notify=self._notify, enough=self._enough)

    def _notify(self, text: str | None) -> None:
        self._tell("going") if text is None else self._tell("refused", message=text, what=self._kept.what)

    def _pass(self, last: bool, patience: Patience) -> float:
        """How long the look took, in seconds. What was refused is in `_refused`. Raises RootError."""
        self._open = 0
        self._refused = []
        began = time.monotonic()
        self._tidy()
        tree = self._kept.tree()
        with tree.root() as root:
            try:
                self._ledger.note(self._notes(tree, root))
            except OSError as error:
                raise RootError(error.errno, error.strerror) from error
            seconds = time.monotonic() - began
            look = _Look(tree, root, last, patience)
            try:
                self._follow(look)
            except Refused as refused:
                self._refused.append(refused)
            self._remark(tree)
        if last:
            self._tidy()  # no other look does it
        return seconds

    def _tidy(self) -> None:
        """Aborts uploads that could not be aborted when they were given up. Those whose ids nobody knows only where no other host may
        be uploading to the same key."""
        self._begun.abort_known()
        if self._alone and self._store.doubtful:
            with suppress(Refused):
                self._guard.check(Patience(0))
                self._begun.abort_all(self._store.doubtful)
                self._store.doubtful.clear()

    def _notes(self, tree: Tree, root: int) -> Iterator[Note]:
        known = (Known(*row) for row in self._ledger.rows())
        for change in mirror.compare(known, self._found(tree, root)):
            position = mirror.mtime_of(change.signature) if change.kind is Kind.WRITTEN else 0
            yield change.key, change.kind.value, change.signature, change.steady, position

    def _found(self, tree: Tree, root: int) -> Iterator[tuple[bytes, bytes | None]]:
        for path, status in tree.glance(root):
            if mirror.local(path) and not self._kept.one_way:
                continue
            if status is None:
                yield mirror.to_key(path), None
            elif why := mirror.unfit(path, self._prefix, self._output):
                tree.remarks.skip(path, why)
            else:
                yield mirror.to_key(path), filelook.signature(status)

    def _remark(self, tree: Tree) -> None:
        remarks = tree.remarks
        if remarks.count != self._left_out:
            self._left_out = remarks.count
            for path, why in remarks.skipped[:10]:
                log.warning("%r of %s is not kept: it %s", path, self._kept.local_path, why)
        some = ", ".join(remarks.unreadable[:5])
        self._unreadable = (
            f"{len(remarks.unreadable)} entries of {self._kept.local_path} cannot be read by the agent (such as {some}); all"
            f" others are kept. Let training create them readable for its group and others, or use the baseline security mode."
            if remarks.unreadable
            else None
        )

    def _follow(self, look: _Look) -> None:
        """Raises Refused when there is no use in going on with this pass."""
        ledger = self._ledger
        with ledger.together():
            for kind in (Kind.WRITTEN, Kind.REMOVED):
                for key, facts, steady in ledger.noted(kind):
                    if not steady:
                        ledger.pend(key, facts)
            for key, facts, _ in ledger.noted(Kind.SETTLED):
                ledger.forget(key) if facts == mirror.GONE else ledger.pend(key, None)
        if self._kept.one_way:
            for key, facts, _ in ledger.noted(Kind.WRITTEN):
                self._tolerate(look, self._upload, key, facts, True)
            return
        # First those in whose place something else is: S3 would have a file and a directory of one name, which no disk can.
        self._delete(look, (key for key, _, _ in ledger.noted(Kind.REMOVED) if self._replaced(look, key)))
        for key, facts, steady in ledger.noted(Kind.WRITTEN):
            self._tolerate(look, self._upload, key, facts, steady)
        gone = (key for key, _, steady in ledger.noted(Kind.REMOVED) if steady or look.last)
        self._delete(look, (key for key in gone if self._replaced(look, key) is False))

    def _tolerate(self, look: _Look, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(look, *arguments)
        except Refused as refused:
            if len(self._refused) + 1 >= MOST_REFUSED or self._enough.is_set():
                raise
            self._refused.append(refused)

    def _replaced(self, look: _Look, key: bytes) -> bool | None:
        """Of a file that was not there: is a directory in its place, or a file in that of its directory? None: it is back."""
        path = mirror.to_path(key)
        try:
            with look.tree.beside(look.root, path) as directory:
                mode = os.stat(path.rpartition("/")[2], dir_fd=directory, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            return True
        except OSError:
            return None
        return None if stat.S_ISREG(mode) else stat.S_ISDIR(mode)

    def _delete(self, look: _Look, keys: Iterable[bytes]) -> None:
        """Is never worth a failure: S3 has more then than it should. A few refusals are enough."""
        patience = self._patience()
        refusals = 0
        for key in keys:
            path = mirror.to_path(key)
            try:
                self._guard.check(patience)
                self._store.delete(self._bucket, self._prefix + path, patience)
            except Refused as refused:
                log.warning("%s", refused)
                self._refused += [] if look.last else [refused]
                refusals += 1
                if refusals >= MOST_REFUSED:
                    return
            else:
                self._ledger.forget(key)
                self._deleted += 1
                self._tell("going")
                self._unmark(look, path)

    def _unmark(self, look: _Look, path: str) -> None:
        with suppress(OSError), look.tree.beside(look.root, path) as directory:
            for mark in (mirror.UPLOADING, mirror.UPLOADED):
                marks.drop(directory, path.rpartition("/")[2] + mark)

    def _upload(self, look: _Look, key: bytes, facts: bytes, steady: bool) -> None:
        path = mirror.to_path(key)
        name = path.rpartition("/")[2]
        try:
            with look.tree.opened(look.root, path) as (directory, descriptor, status):
                if self._kept.one_way:
                    told = filelook.told(status)  # of the bytes that are read now
                    self._guard.check(look.patience)
                    if self._send(look, self._prefix + path, descriptor, status):
                        self._ledger.store(key, filelook.signature(status) if told else mirror.GONE)
                    return
                if filelook.signature(status) != facts or not filelook.closed(
                    descriptor, status, steady=steady, last=look.last
                ):
                    self._open += 1
                    return
                self._guard.check(look.patience)
                marks.drop(directory, name + mirror.UPLOADED)
                marks.put(directory, name + mirror.UPLOADING)
                try:
                    if self._send(look, self._prefix + path, descriptor, status):
                        marks.put(directory, name + mirror.UPLOADED)
                        self._ledger.store(key, facts)
                    else:
                        self._open += 1
                finally:
                    marks.drop(directory, name + mirror.UPLOADING)
        except (FileNotFoundError, NotADirectoryError, Skip) as error:
            log.info("%r of %s went while it was looked at: %s", path, self._kept.local_path, error)
        except OSError as error:
            look.tree.remarks.refuse(path, f"cannot be read: {error.strerror}")

    def _send(self, look: _Look, key: str, descriptor: int, status: os.stat_result) -> bool:
        """False: the file has changed meanwhile, and nothing of it is in S3."""
        size = status.st_size
        plan = part_plan(size)
        if plan is None:
            look.tree.remarks.skip(key, f"has {size} bytes, too many for one object")
            return False
        writer = ObjectWriter(self._store, self._bucket, key, plan=plan, patience=look.patience, uploads=self._begun)
        done = False
        try:
            if writer.take(descriptor, size, look.spare) and (
                self._kept.one_way or filelook.signature(os.fstat(descriptor)) == filelook.signature(status)
            ):
                prepared = writer.finish()
                self._guard.check(look.patience)
                prepared.commit(self._store, look.patience, self._begun, self._guard.check)
                done = True
        finally:
            if not done:
                writer.abort()
        if done:
            self._uploaded += 1
            self._bytes += size
            self._tell("going")
        return done
