"""Progress for people, on stderr: stdout belongs to what a command was asked to print."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Problem(Exception):  # noqa: N818 - it is told to people, not to programs
    """Something the user can put right; its text is one line that says how."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(what: str, expect: str = "") -> Iterator[None]:
    """Say what is going on and how long it took; `expect` warns of a long wait."""
    say(f"  {what} ..." + (f" (about {expect})" if expect else ""))
    began = time.monotonic()
    yield
    say(f"  {what}: done in {time.monotonic() - began:.1f} s")


def guarded(main: Callable[[], None]) -> None:
    """Run a command line tool: a Problem becomes its text and exit 1, Ctrl-C exit 130."""
    try:
        main()
    except Problem as problem:
        say(f"error: {problem}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
