"""What is known of files that were sent, from one process to the next."""

from __future__ import annotations

import os
from pathlib import Path

from trainyard.agent.adapters.inventory import Sent


def test_a_successor_knows_what_was_sent_and_what_is_of_an_earlier_round(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9/\n")
    sent = Sent(tmp_path / "sent.db")
    sent.begin()
    sent.add("a", 1, "digest", b"facts")
    sent.add(odd, 2, "other", b"")
    again = Sent(tmp_path / "sent.db")
    assert again.found("a") == (1, "digest", b"facts")
    again.begin()
    assert sorted(again.left()) == sorted(["a", odd])
    again.add("a", 1, "digest", b"facts")
    assert list(again.left()) == [odd]
    again.forget(odd)
    assert again.found(odd) is None


def test_files_may_be_forgotten_while_those_of_earlier_rounds_are_gone_through(tmp_path: Path) -> None:
    sent = Sent(tmp_path / "sent.db")
    sent.begin()
    names = [f"{number:05}" for number in range(2500)]
    for name in names:
        sent.add(name, 0, "", b"")
    sent.begin()
    found = []
    for name in sent.left():
        found.append(name)
        sent.forget(name)
    assert found == names


def test_a_listing_shows_what_is_missing_and_what_is_foreign(tmp_path: Path) -> None:
    sent = Sent(tmp_path / "sent.db")
    sent.begin()
    sent.add("former", 1, "", b"")
    sent.begin()
    for name in ("there", "other size", "missing"):
        sent.add(name, 1, "", b"")
    for _ in range(2):
        sent.look()
        assert sent.seen([("there", 1), ("other size", 2), ("foreign", 1), ("former", 1)]) == [
            "other size",
            "foreign",
            "former",
        ]
        assert sorted(sent.unseen()) == [("missing", 1), ("other size", 1)]


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "sent.db").write_bytes(b"no database at all" * 100)
    sent = Sent(tmp_path / "sent.db")
    sent.begin()
    sent.add("a", 1, "", b"")
    assert Sent(tmp_path / "sent.db").found("a") == (1, "", b"")
