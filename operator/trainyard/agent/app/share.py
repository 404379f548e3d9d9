"""`archive TREE`: this host's files as a tar stream in frames on standard output, for algo-1's sidecar. A helper process: its memory is its own."""

from __future__ import annotations

import json
import sys

from trainyard.agent.adapters.frames import Framed
from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app.pack import TRAILER, TarStream, copy_file
from trainyard.agent.app.settings import SEEN_AS, Settings


def main(settings: Settings, tree_name: str) -> int:
    """The last member is a trailer with what was left out: it also shows that the stream is complete."""
    frames = Framed(sys.stdout.buffer.write)
    tree = Tree(settings.tree(tree_name), SEEN_AS[tree_name])
    fingerprint = tree.fingerprint()
    sink = TarStream(frames.write)
    for entry, descriptor in tree.walk():
        if entry.directory:
            sink.directory(entry.path, entry.mode, entry.mtime)
            continue
        sink.begin(entry.path, entry.size, entry.mode, entry.mtime)
        digest, changed = copy_file(descriptor, entry.size, frames.write)
        sink.end(digest, b"")
        if changed:
            tree.remarks.skip(entry.path, changed)
    remarks = tree.remarks
    said = {
        "fingerprint": fingerprint,
        "skipped": remarks.skipped,
        "skips": remarks.count,
        "unreadable": remarks.unreadable,
    }
    trailer = json.dumps(said).encode()
    sink.begin(TRAILER, len(trailer), 0o600, 0)
    frames.write(trailer)
    sink.end("", b"")
    sink.close()
    frames.end()
    sys.stdout.buffer.flush()
    return 0
