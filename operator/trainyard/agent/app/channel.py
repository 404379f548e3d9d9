"""A helper process's end of the line to the sidecar: commands in on standard input, events out on standard output, lines of JSON."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import Any


class Channel:
    """Safe for threads. The end of standard input is the end of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.enough = threading.Event()
        """The command "enough" came after the last other one: what is refused now is tried no more."""
        self.commands: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, event: str, **fields: object) -> None:
        with self._lock:
            sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
            sys.stdout.flush()

    def _listen(self) -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if command["do"] == "enough":
                self.enough.set()
            else:
                self.enough.clear()
                self.commands.put(command)
        os._exit(0)  # the supervisor is gone: what was begun is aborted by its successor
