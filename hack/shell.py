"""Child processes and files, so that a failure says what was run and an interruption leaves no half-made file."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hack.console import Problem, say
from hack.paths import cache

Argument = str | Path


def run(*argv: Argument, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a command quietly; on failure its output ends up in the Problem."""
    output(*argv, cwd=cwd, env=env, merge=True)


def output(
    *argv: Argument,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    merge: bool = False,
) -> str:
    """What a command prints on stdout."""
    command = [str(a) for a in argv]
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env} if env else None,
        input=stdin if stdin is not None else "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = "\n".join(((done.stdout or "") + (done.stderr or "")).strip().splitlines()[-40:])
        raise Problem(f"{' '.join(command[:6])} ... failed ({done.returncode}):\n{said}")
    return done.stdout


def succeeds(*argv: Argument, timeout: float = 20) -> bool:
    """Whether a command exists, ends in time and exits 0."""
    try:
        done = subprocess.run([str(a) for a in argv], capture_output=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name that becomes `path` (file or directory) only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.partial")
    discard(draft)
    yield draft
    if draft.is_dir():
        discard(path)
    draft.replace(path)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a small file, all or nothing; one that says so already is left alone, as somebody may watch it."""
    if path.exists() and path.read_text() == text:
        return
    with whole(path) as draft:
        draft.touch(mode)
        draft.write_text(text)


def discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def locked(name: str, *, shared: bool = False) -> Iterator[None]:
    """One process at a time, or all that share it; the kernel drops the lock of one that dies."""
    lock = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with (cache() / f"{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, lock | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"  waiting for another {name} that is at work")
            fcntl.flock(handle, lock)
        yield
