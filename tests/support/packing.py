"""Packs a tree as the upload process does, within its memory, into a sink that counts: `python -m tests.support.packing HOW ML`.

HOW: `archive`; `merge` (the same tree as if from two hosts); `objects` (into a store that keeps nothing). Prints a line of JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from trainyard.agent.adapters.gzipped import Gzip
from trainyard.agent.adapters.inventory import Sent, Taken
from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app.begun import Begun
from trainyard.agent.app.objects import Objects
from trainyard.agent.app.pack import Packer, TarStream
from trainyard.agent.app.patience import Patience
from trainyard.agent.app.settings import SEEN_AS, Settings


class Nowhere:
    """A store that takes everything and keeps nothing."""

    def __init__(self) -> None:
        self.size = 0
        self._lock = threading.Lock()

    def put(self, _bucket: str, _key: str, body: bytes, _patience: Patience, **_: Any) -> None:
        with self._lock:
            self.size += len(body)


def _peak() -> int:
    """Bytes of this program alone: ru_maxrss has also what the process was before its exec, a copy of a large one."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def main() -> None:
    how, ml = sys.argv[1], Path(sys.argv[2])
    settings = Settings("algo-1", ml=ml, state=ml.parent / "state")
    settings.scratch.mkdir(parents=True, exist_ok=True)
    threading.stack_size(512 * 1024)
    resource.setrlimit(resource.RLIMIT_DATA, (settings.memory, settings.memory))
    began = time.monotonic()
    Tree(settings.tree("model"), SEEN_AS["model"]).survey()
    store: Any = Nowhere()

    def count(data: bytes) -> None:
        store.size += len(data)

    gzip = Gzip(count)

    objects = None
    if how == "objects":
        sent = Sent(settings.sent("model"))
        objects = Objects(
            store,
            "s3://b/model/",
            sent=sent,
            ask=lambda _patience: None,
            patience=Patience(1),
            uploads=Begun(store, settings.uploads),
            pulse=lambda: None,
        )  # fmt: skip
    taken = Taken() if how == "merge" else None
    with (settings.scratch / "files.jsonl").open("w") as listed:
        packer = Packer(objects or TarStream(gzip.add), listed, "model", taken=taken)
        packer.add_tree(settings.tree("model"), "algo-1")
        if how == "merge":
            command = [sys.executable, "-m", "trainyard.agent", "archive", "model", *settings.arguments()]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
                assert other.stdout is not None
                packer.add_stream(other.stdout.read, "algo-2")
    if objects is not None:
        objects.finish()
    gzip.end()
    found = {
        "files": packer.files,
        "bytes": packer.bytes,
        "written": store.size,
        "skips": packer.notes.skips,
        "seconds": round(time.monotonic() - began, 1),
        "peak": max(_peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
