"""When a checksum or an ETag is believed, when it says nothing, and when data is refused."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import pytest

from trainyard.agent.app.patience import READINGS, Patience, Refused
from trainyard.agent.app.proofs import Proofs
from trainyard.agent.app.store import Store
from trainyard.agent.core.verdict import Who
from trainyard.agent.ports import About, Body, StoredObject


class Scripted:
    """A store that gives these bodies, one after the other, and the last one for ever."""

    who = Who("arn:role", None, "http://s3", "r")

    def __init__(self, *bodies: bytes, opaque: bool = False, part: int | None = None, second: int = 0) -> None:
        self.bodies = list(bodies)
        self.second = second or part
        self.opaque = opaque
        self.part = part
        self.damaged = 0
        self.reads = 0
        self.heads = 0
        self.etag = ""
        self.checksum = ""

    def head(self, _bucket: str, key: str, _patience: Patience) -> StoredObject:
        self.heads += 1
        return StoredObject(key, 4, self.etag, self.checksum)

    def about(self, _bucket: str, _key: str, *, part: int | None = None) -> About | None:
        size = self.second if part == 2 else self.part
        return About(size or 0, opaque=self.opaque) if part is None or self.part else None

    def came_damaged(self, _uri: str) -> None:
        self.damaged += 1

    def read(self, _bucket: str, _item: StoredObject, _first: int, _length: int, _patience: Patience) -> Body:
        self.reads += 1
        return self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]


def md5(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def fetch(store: Scripted, file: int, etag: str, proofs: Proofs | None = None) -> bytes:
    """What is in the file in the end."""
    proofs = proofs or Proofs(cast("Store", store), Patience(0))
    item = StoredObject("k", 4, etag)
    os.pwrite(file, store.read("b", item, 0, 4, Patience(0)), 0)
    proofs.of_file("b", item, file, lambda get: cast("None", os.pwrite(file, get(0, 4), 0)))
    return os.pread(file, 100, 0)


def test_damaged_bytes_are_fetched_until_they_are_right(file: int) -> None:
    store = Scripted(b"dama", b"damb", b"good")
    assert fetch(store, file, md5(b"good")) == b"good"
    assert (store.reads, store.damaged) == (3, 2)


def test_bytes_that_are_other_ones_each_time_are_refused(file: int) -> None:
    store = Scripted(*(bytes([48 + number]) * 4 for number in range(10)))
    with pytest.raises(Refused, match="s3://b/k arrived damaged: its bytes have ETag "):
        fetch(store, file, md5(b"good"))
    assert store.reads == 1 + READINGS


def test_the_same_damage_each_time_is_refused_where_etags_were_right_before(file: int) -> None:
    proofs = Proofs(cast("Store", store := Scripted(b"dama")), Patience(0))
    assert proofs.of_bytes("b", StoredObject("other", 4, md5(b"fine")), b"fine") == b"fine"
    with pytest.raises(Refused):
        fetch(store, file, md5(b"good"), proofs)


def test_etags_that_never_were_right_are_no_digests(file: int) -> None:
    proofs = Proofs(cast("Store", store := Scripted(b"fine")), Patience(0))
    assert fetch(store, file, md5(b"another"), proofs) == b"fine"
    assert store.reads == 1 + READINGS
    assert (
        proofs.of_bytes("b", StoredObject("next", 4, md5(b"another")), b"next") == b"next"
    )  # asked once for each bucket
    assert store.reads == 1 + READINGS


def test_an_object_encrypted_with_kms_is_not_fetched_again(file: int) -> None:
    store = Scripted(b"fine", opaque=True)
    assert fetch(store, file, md5(b"another")) == b"fine"
    assert store.reads == 1


def test_parts_are_compared_by_the_size_of_the_first(file: int) -> None:
    whole = hashlib.md5(hashlib.md5(b"go").digest() + hashlib.md5(b"od").digest()).hexdigest()
    store = Scripted(b"damb", b"good", part=2)
    assert fetch(store, file, f'"{whole}-2"') == b"good"
    assert store.reads == 2


@pytest.mark.parametrize("part", [None, 4], ids=["nobody says", "does not add up"])
def test_parts_of_unknown_size_are_not_compared(file: int, part: int | None) -> None:
    store = Scripted(b"any!", part=part)
    assert fetch(store, file, f'"{"0" * 32}-2"') == b"any!"
    assert store.reads == 1


def checked(store: Scripted, body: bytes, etag: str) -> StoredObject:
    """An object whose CRC32 is that of `body`, and its listing."""
    store.etag, store.checksum = etag, f"CRC32={base64.b64encode(zlib.crc32(body).to_bytes(4, 'big')).decode()}"
    return StoredObject("k", 4, etag, "CRC32")


def test_a_stored_checksum_is_asked_for_only_if_the_etag_does_not_tell() -> None:
    store = Scripted(b"good")
    item = checked(store, b"good", md5(b"good"))
    assert Proofs(cast("Store", store), Patience(0)).of_bytes("b", item, b"good") == b"good"
    assert (store.heads, store.reads) == (0, 0)


def test_bytes_that_have_neither_their_etag_nor_their_checksum_are_fetched_again() -> None:
    store = Scripted(b"good")
    item = checked(store, b"good", md5(b"good"))
    assert Proofs(cast("Store", store), Patience(0)).of_bytes("b", item, b"dama") == b"good"
    assert (store.heads, store.reads, store.damaged) == (1, 1, 1)


def test_the_same_damage_each_time_is_refused_by_the_checksum() -> None:
    store = Scripted(b"dama")
    item = checked(store, b"good", md5(b"good"))
    with pytest.raises(Refused, match="s3://b/k arrived damaged: its CRC32 is "):
        Proofs(cast("Store", store), Patience(0)).of_bytes("b", item, b"dama")
    assert store.reads == READINGS


def test_bytes_with_their_checksum_but_not_their_etag_are_right_and_etags_are_not_asked_again() -> None:
    store = Scripted(b"fine")
    proofs = Proofs(cast("Store", store), Patience(0))
    assert proofs.of_bytes("b", checked(store, b"good", md5(b"another")), b"good") == b"good"
    assert (store.heads, store.reads) == (1, 0)
    assert proofs.claim("b", StoredObject("other", 4, md5(b"any"))) is None


def test_bytes_of_a_file_are_compared_with_the_checksum_first(file: int) -> None:
    store = Scripted(b"dama", b"good")
    item = checked(store, b"good", md5(b"another"))
    os.pwrite(file, b"damb", 0)
    proofs = Proofs(cast("Store", store), Patience(0))
    proofs.of_file("b", item, file, lambda get: cast("None", os.pwrite(file, get(0, 4), 0)))
    assert (os.pread(file, 100, 0), store.heads) == (b"good", 1)


@pytest.mark.parametrize(
    ("now", "opaque", "refused"),
    [(b"good", False, True), (b"dama", False, False), (b"dama", True, False)],
    ids=["right now", "the same again", "encrypted"],
)
def test_what_was_streamed_and_differs_from_its_etag_is_judged_by_reading_it_again(
    now: bytes, opaque: bool, refused: bool
) -> None:
    store = Scripted(now, opaque=opaque)
    proofs = Proofs(cast("Store", store), Patience(0))
    item = StoredObject("k", 4, md5(b"good"))
    claim = proofs.claim("b", item)
    assert claim is not None
    fault = claim.fault([b"da", b"ma"])
    with pytest.raises(Refused, match="arrived damaged: its bytes") if refused else nullcontext():
        proofs.of_stream("b", item, claim, fault)


def composite(body: bytes, *sizes: int) -> str:
    crcs, first = [], 0
    for size in sizes:
        crcs.append(zlib.crc32(body[first : first + size]).to_bytes(4, "big"))
        first += size
    whole = base64.b64encode(zlib.crc32(b"".join(crcs)).to_bytes(4, "big")).decode()
    return f"CRC32={whole}-{len(crcs)}"


def in_parts(store: Scripted, *sizes: int, body: bytes = b"good") -> tuple[Proofs, StoredObject]:
    """An object of parts of these sizes, whose ETag tells nothing, as under a KMS key."""
    store.etag, store.checksum = '"opaque"', composite(body, *sizes)
    return Proofs(cast("Store", store), Patience(0)), StoredObject("k", len(body), store.etag, "CRC32-")


def test_a_checksum_of_parts_tells_where_the_etag_does_not(file: int) -> None:
    store = Scripted(b"damb", b"good", part=2)
    proofs, item = in_parts(store, 2, 2)
    os.pwrite(file, b"dama", 0)
    proofs.of_file("b", item, file, lambda get: cast("None", os.pwrite(file, get(0, 4), 0)))
    assert os.pread(file, 100, 0) == b"good"
    assert store.damaged == 2


def test_an_object_of_one_request_that_came_in_parts_is_verified_too() -> None:
    proofs, item = in_parts(Scripted(b"good", part=2), 2, 2)
    assert proofs.of_bytes("b", item, b"dama") == b"good"


def test_the_same_damage_each_time_is_refused_where_all_parts_are_of_one_size() -> None:
    proofs, item = in_parts(Scripted(b"dama", part=2), 2, 2)
    with pytest.raises(Refused, match="its CRC32 is"):
        proofs.of_bytes("b", item, b"dama")


def test_parts_of_other_sizes_than_the_first_say_nothing_and_refuse_nothing() -> None:
    store = Scripted(b"goodness", part=3, second=4)
    proofs, item = in_parts(store, 3, 4, 1, body=b"goodness")
    assert proofs.of_bytes("b", item, b"goodness") == b"goodness"
    assert store.reads == READINGS
