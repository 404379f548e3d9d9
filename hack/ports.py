"""Ports of this machine."""

import contextlib
import socket


def several(count: int) -> list[int]:
    """So many on 127.0.0.1, all different, that nobody listens on."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


def free() -> int:
    return several(1)[0]
