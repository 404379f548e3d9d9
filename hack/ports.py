"""Ports of this machine."""

import contextlib
import os
import random
import socket
from collections.abc import Iterator

# Below those that a kernel gives to whoever connects or asks for any (32768 on), and node ports (30000 on): between this look at a port
# and its use, nobody is given it.
FIRST, LAST = 18_000, 30_000
SHARES = 16


def _share() -> Iterator[int]:
    """Round and round. Processes that test side by side have ports of their own; each begins somewhere."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    share = int(worker) % (SHARES - 1) if worker.isdigit() else SHARES - 1
    ports = range(FIRST, LAST)[share::SHARES]
    position = random.SystemRandom().randrange(len(ports))
    while True:
        yield ports[position % len(ports)]
        position += 1


_ports = _share()


def several(count: int) -> list[int]:
    """So many, all different, that nobody listens on, at no address of this machine."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            listener = stack.enter_context(socket.socket())
            port = next(_ports)
            with contextlib.suppress(OSError):
                listener.bind(("", port))
                found.append(port)
    return found


def free() -> int:
    return several(1)[0]
