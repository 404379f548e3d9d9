"""`archive TREE`: this host's files as a tar stream on standard output, for algo-1's sidecar. A helper process: its memory is its own."""

from __future__ import annotations

import json
import sys

from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app.pack import TRAILER, copy_file
from trainyard.agent.app.settings import SEEN_AS, Settings
from trainyard.agent.core.archive import END_OF_ARCHIVE, header, padding


def main(settings: Settings, tree_name: str) -> int:
    """The last member is a trailer with what was left out: it also shows that the stream is complete."""
    write = sys.stdout.buffer.write
    tree = Tree(settings.tree(tree_name), SEEN_AS[tree_name])
    fingerprint = tree.fingerprint()
    for entry, descriptor in tree.walk():
        write(header(entry.path, size=entry.size, mode=entry.mode, mtime=entry.mtime, directory=entry.directory))
        if not entry.directory and not copy_file(descriptor, entry.size, write)[1]:
            tree.remarks.skip(entry.path, f"changed its size while it was read; kept as {entry.size} bytes")
    remarks = tree.remarks
    trailer = json.dumps(
        {"fingerprint": fingerprint, "skipped": remarks.skipped, "unreadable": remarks.unreadable}
    ).encode()
    write(header(TRAILER, size=len(trailer), mode=0o600, mtime=0) + trailer + padding(len(trailer)) + END_OF_ARCHIVE)
    sys.stdout.buffer.flush()
    return 0
