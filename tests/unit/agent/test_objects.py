"""Files as objects of their own: what a place's owner may do there, and what it must not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from trainyard.agent.adapters.inventory import Sent
from trainyard.agent.app.begun import Begun
from trainyard.agent.app.multipart import TAIL, ObjectWriter
from trainyard.agent.app.objects import Folder, Objects
from trainyard.agent.app.patience import Patience, Refused
from trainyard.agent.app.store import Store
from trainyard.agent.core.archive import PartPlan
from trainyard.agent.errors import PlatformFailure, StoreFault
from trainyard.agent.ports import StoredObject
from trainyard.agent.timing import Timing
from trainyard.api.plan import StorePlan
from trainyard.api.reasons import Reason

URI = "s3://b/model/"
BUSY = StoreFault("answer", "later", status=503, code="SlowDown")


class Shelf:
    """Objects in memory. `faults`: of the next writes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults: list[StoreFault] = []
        self.parts: dict[int, bytes] = {}
        self.etags: dict[str, str] = {}

    def put(self, _bucket: str, key: str, body: Any, **_: Any) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.objects[key] = bytes(body)

    def delete(self, _bucket: str, key: str) -> None:
        self.objects.pop(key, None)

    def list_page(self, _bucket: str, prefix: str, _after: str | None) -> tuple[list[StoredObject], None]:
        return [
            StoredObject(key, len(body), "") for key, body in sorted(self.objects.items()) if key.startswith(prefix)
        ], None

    def head(self, _bucket: str, key: str) -> StoredObject:
        if key not in self.objects:
            raise StoreFault("answer", "none", status=404, code="NoSuchKey")
        return StoredObject(key, len(self.objects[key]), self.etags.get(key, ""))

    def start_upload(self, _bucket: str, _key: str) -> str:
        return "upload"

    def complete_upload(self, *_: Any) -> None:
        raise NotImplementedError

    def put_part(self, _bucket: str, _key: str, _upload: str, number: int, body: Any) -> str:
        self.parts[number] = bytes(body)
        return str(number)


class Place:
    def __init__(self, tmp_path: Path) -> None:
        self.shelf = Shelf()
        self.store = Store(
            StorePlan(role="r", endpoint_url="http://s3"), Path("/none"), Timing(backoff_first=0.01, backoff_most=0.02)
        )
        self.store._engines.__dict__["_own"] = {False: self.shelf, True: self.shelf}
        self.sent = Sent(tmp_path / "sent.db")
        self.begun = Begun(self.store, tmp_path / "uploads.json")
        self.pulses = 0
        self.owner = True

    def ask(self, _patience: Patience) -> None:
        if not self.owner:
            raise PlatformFailure(Reason.ARTIFACT_UPLOAD_FAILED, "another attempt has the place")

    def pulse(self) -> None:
        self.pulses += 1

    def fill(self, *names: str) -> int:
        """One round of files that hold their names; how many were sent."""
        patience = Patience(9, stubborn=True)
        objects = Objects(
            self.store, URI, sent=self.sent, ask=self.ask, patience=patience, uploads=self.begun, pulse=self.pulse
        )
        count = 0
        for name in names:
            body, told = name.encode(), b"facts"
            if objects.has(name, len(body), told) is None:
                objects.begin(name, len(body), 0o644, 0)
                objects.write(body)
                objects.end(hashlib.sha256(body).hexdigest(), told)
                count += 1
        objects.finish()
        return count

    def settle(self, *former: tuple[str, int], keep: bool = False) -> list[str]:
        folder = Folder(self.store, URI, self.sent, self.ask, self.pulse)
        return folder.settle(Patience(9), Patience(5), former, keep=keep)

    @property
    def there(self) -> set[str]:
        return {key.removeprefix("model/") for key in self.shelf.objects}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_whose_place_it_is_is_asked_again_before_a_write_is_tried_again(place: Place) -> None:
    asked = 0

    def ask(_patience: Patience) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:  # meanwhile a later attempt has written, and committed
            place.shelf.objects["model/weights"] = b"NEW"
            place.owner = False
        Place.ask(place, _patience)

    place.shelf.faults = [BUSY]
    with pytest.raises(PlatformFailure):
        place.store.put("b", "model/weights", b"OLD", Patience(9, stubborn=True), ask=ask)
    assert place.shelf.objects == {"model/weights": b"NEW"}


def test_what_a_lost_host_has_sent_is_not_taken_away(place: Place) -> None:
    place.fill("own", "of-algo-2")
    place.fill("own")
    (warning,) = place.settle(keep=True)
    assert place.there == {"own", "of-algo-2"}
    assert "of-algo-2" in warning
    assert place.settle() == []
    assert place.there == {"own"}


def test_what_is_taken_away_shows_as_work(place: Place) -> None:
    place.fill("kept", *(f"old-{number}" for number in range(300)))
    place.fill("kept")
    place.pulses = 0
    place.settle()
    assert place.there == {"kept"}
    assert place.pulses >= 300


def test_however_many_objects_vanish_they_are_sent_again(place: Place) -> None:
    names = [f"{number:05}" for number in range(2500)]
    place.fill(*names)
    place.shelf.objects.clear()
    with pytest.raises(Refused):
        place.settle()
    assert place.fill(*names) == len(names)
    assert place.settle() == []
    assert place.there == set(names)


# -- one object of several parts


def writer(place: Place, part: int) -> ObjectWriter:
    return ObjectWriter(
        place.store, "b", "k", plan=PartPlan(size=part, in_flight=2), patience=Patience(9), uploads=place.begun
    )


def test_a_part_that_was_sent_is_not_kept_in_memory(place: Place) -> None:
    made = writer(place, 1000)
    made.write(b"x" * 2999)
    prepared = made.finish()
    assert b"".join(place.shelf.parts[number] for number in sorted(place.shelf.parts)) == b"x" * 2999
    assert prepared.body == b""
    assert prepared.tail == b"x" * TAIL


def test_the_end_that_is_looked_for_is_the_one_that_was_sent(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 3000)
    made = writer(place, 1000)
    put = place.shelf.put_part

    def changes(*arguments: Any) -> str:
        with path.open("r+b") as file:
            file.seek(2900)
            file.write(b"b" * 100)
        return put(*arguments)

    place.shelf.put_part = changes
    with path.open("rb") as file:
        assert made.take(file.fileno(), 3000, [])
    assert made.finish().tail == place.shelf.parts[3][-TAIL:]


def test_files_use_the_memory_of_those_before_them(place: Place, tmp_path: Path) -> None:
    spare: list[bytearray] = []
    memory: set[int] = set()
    for size in (2500, 900, 30, 0, 3100):
        path = tmp_path / f"{size}"
        path.write_bytes(bytes([size % 251]) * size)
        made = writer(place, 1000)
        place.shelf.parts.clear()
        with path.open("rb") as file:
            assert made.take(file.fileno(), size, spare)
        sent = made.finish()
        memory |= {id(buffer) for buffer in spare}
        parts = b"".join(place.shelf.parts[number] for number in sorted(place.shelf.parts))
        assert parts + bytes(sent.body) == path.read_bytes()
    assert len(memory) <= 3
    made = writer(place, 2000)
    with path.open("rb") as file:
        assert made.take(file.fileno(), 3100, spare)
    assert {len(buffer) for buffer in spare} == {2000}, "parts of another size are let go"


@pytest.mark.parametrize("became", [True, False], ids=["it was done before", "an older object is there"])
def test_of_an_upload_that_is_gone_its_parts_tell_whether_it_became_the_object(place: Place, became: bool) -> None:
    def put(_bucket: str, _key: str, _upload: str, number: int, body: Any) -> str:
        return f'"{hashlib.md5(body).hexdigest()}"'

    def complete(_bucket: str, key: str, _upload: str, etags: list[str]) -> None:
        older = hashlib.md5(b"older" + b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)).hexdigest()
        newer = hashlib.md5(b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)).hexdigest()
        place.shelf.etags[key] = f'"{newer if became else older}-{len(etags)}"'
        place.shelf.objects[key] = b"x" * 2500
        raise StoreFault("answer", "gone", status=404, code="NoSuchUpload")

    place.shelf.put_part, place.shelf.complete_upload = put, complete
    made = writer(place, 1000)
    made.write(b"x" * 2500)
    prepared = made.finish()
    if became:
        prepared.commit(place.store, Patience(0), place.begun)
        return
    with pytest.raises(Refused, match="it is gone"):
        prepared.commit(place.store, Patience(0), place.begun)
