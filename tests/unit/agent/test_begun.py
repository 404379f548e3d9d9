"""What is remembered of uploads that were begun: until each is ended, and no shorter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainyard.agent.app.begun import Begun
from trainyard.agent.app.patience import Refused
from trainyard.agent.core.verdict import Verdict
from trainyard.agent.errors import StoreFault
from trainyard.api.reasons import Reason


class Stubborn:
    """A store that will not abort one upload."""

    def __init__(self, kept: str, listed: list[tuple[str, str]] | None = None) -> None:
        self.kept = kept
        self.listed = listed or []
        self.aborted: list[str] = []

    def abort_upload(self, _bucket: str, _key: str, upload: str) -> None:
        if upload == self.kept:
            raise Refused(
                Verdict(False, Reason.ARTIFACT_UPLOAD_FAILED, "slow down"), StoreFault("answer", "", status=503)
            )
        self.aborted.append(upload)

    def list_uploads(self, _bucket: str, _prefix: str) -> list[tuple[str, str]]:
        return self.listed


def test_an_upload_that_could_not_be_aborted_is_remembered_for_the_next_time(tmp_path: Path) -> None:
    store: Any = Stubborn("two")
    begun = Begun(store, tmp_path / "uploads")
    for upload in ("one", "two", "three"):
        begun.begin("b", "model", upload)
    begun.begin("b", "share", "four")
    begun.abort_all(["s3://b/model"])
    assert sorted(store.aborted) == ["one", "three"]
    assert json.loads((tmp_path / "uploads").read_text()) == {"b/model": ["two"], "b/share": ["four"]}
    store.kept = ""
    Begun(store, tmp_path / "uploads").abort_known()
    assert sorted(store.aborted) == ["four", "one", "three", "two"]
    assert json.loads((tmp_path / "uploads").read_text()) == {}


def test_below_a_folder_every_upload_is_aborted_and_beside_it_none(tmp_path: Path) -> None:
    store: Any = Stubborn("", [("model/a", "listed"), ("model/b/c", "deep"), ("model-2/a", "beside")])
    begun = Begun(store, tmp_path / "uploads")
    begun.begin("b", "model/known", "known")
    begun.begin("b", "model.tar.gz", "archive")
    begun.begin("other", "model/known", "elsewhere")
    begun.abort_all(["s3://b/model/"])
    assert sorted(store.aborted) == ["deep", "known", "listed"]
    assert json.loads((tmp_path / "uploads").read_text()) == {
        "b/model.tar.gz": ["archive"],
        "other/model/known": ["elsewhere"],
    }


def test_what_is_over_is_that_upload_and_no_other_to_the_same_key(tmp_path: Path) -> None:
    store: Any = Stubborn("")
    begun = Begun(store, tmp_path / "uploads")
    begun.begin("b", "ck/last.pt", "left")
    begun.begin("b", "ck/last.pt", "done")
    begun.end("b", "ck/last.pt", "done")
    Begun(store, tmp_path / "uploads").abort_known()
    assert store.aborted == ["left"]


def test_an_upload_goes_on_though_its_id_cannot_be_noted(tmp_path: Path) -> None:
    store: Any = Stubborn("")
    begun = Begun(store, tmp_path / "a file" / "uploads")
    (tmp_path / "a file").touch()
    begun.begin("b", "k", "one")
    begun.abort_known()
    assert store.aborted == ["one"]
