"""Long-running processes that outlive us, and the certainty that a pid we signal is still the one we started."""

import hashlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")


def started(pid: int) -> int | None:
    """When a live process started, in ticks since boot; None when there is no such process or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in brackets and may itself hold blanks and brackets.
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] in "ZX" else int(after_name[19])


@dataclass(frozen=True)
class Identity:
    """A process that no other can be taken for: pids are reused, a (boot, start time, pid) is not."""

    pid: int
    start: int
    boot: str
    key: str

    @classmethod
    def of(cls, pid: int, key: str = "") -> "Identity":
        return cls(pid, started(pid) or 0, BOOT.read_text().strip(), key)

    @classmethod
    def read(cls, path: Path) -> "Identity | None":
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        draft = path.with_suffix(".partial")
        draft.write_text(json.dumps(self.__dict__))
        draft.rename(path)

    @property
    def alive(self) -> bool:
        return self.boot == BOOT.read_text().strip() and started(self.pid) == self.start

    def signal(self, number: signal.Signals, wait: float = 0) -> bool:
        """Signal it if it still lives, and wait for its end; True when it is gone."""
        with suppress(ProcessLookupError):
            # The descriptor is taken first: from then on it means this process, whatever happens to the number.
            handle = os.pidfd_open(self.pid)
            try:
                if self.alive:
                    signal.pidfd_send_signal(handle, number)
                    select.select([handle], [], [], wait)
            finally:
                os.close(handle)
        return not self.alive


def stop(identities: Iterable[Identity], grace: float = 5) -> None:
    """SIGTERM to all, then SIGKILL to those still there after the grace."""
    found = [i for i in identities if i.alive]
    for identity in found:
        identity.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(i.alive for i in found):
        time.sleep(0.02)
    for identity in found:
        identity.signal(signal.SIGKILL, wait=5)


@dataclass(frozen=True)
class Daemon:
    """One component: its command line and the files whose change asks for a restart."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[Path, ...] = ()

    @property
    def key(self) -> str:
        content = hashlib.sha256("\0".join([*self.argv, *map("=".join, sorted(self.env.items()))]).encode())
        for path in self.reads:
            content.update(path.read_bytes())
        return content.hexdigest()[:16]


class Supervisor:
    """Starts and stops daemons; what it knows is in the pid files of one directory."""

    def __init__(self, directory: Path, logs: Path) -> None:
        self.directory = directory
        self.logs = logs

    def identity(self, name: str) -> Identity | None:
        found = Identity.read(self.directory / f"{name}.pid")
        return found if found and found.alive else None

    def current(self, daemon: Daemon) -> bool:
        """Whether it runs, and with this very configuration."""
        found = self.identity(daemon.name)
        return found is not None and found.key == daemon.key

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def start(self, daemon: Daemon) -> bool:
        """Start a daemon unless it runs already with this configuration; True when it was (re)started."""
        if self.current(daemon):
            return False
        self.stop([daemon.name])
        for directory in (self.directory, self.logs):
            directory.mkdir(parents=True, exist_ok=True)
        pidfile, key = self.directory / f"{daemon.name}.pid", daemon.key
        with self.log(daemon.name).open("ab") as log:
            subprocess.Popen(
                daemon.argv,
                env=dict(daemon.env),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # The child records itself before it becomes the daemon: being killed here leaves no unknown process.
                preexec_fn=lambda: Identity.of(os.getpid(), key).write(pidfile),  # noqa: PLW1509 - no threads here
            )
        return True

    def stop(self, names: Iterable[str], grace: float = 5) -> None:
        names = list(names)
        stop([found for name in names if (found := self.identity(name))], grace)
        for name in names:
            (self.directory / f"{name}.pid").unlink(missing_ok=True)
