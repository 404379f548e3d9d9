"""Multipart uploads that were begun and not ended: their ids, kept so that a successor of this process can abort them."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from trainyard.agent.adapters import files
from trainyard.agent.app.patience import Refused
from trainyard.agent.app.store import Store
from trainyard.api.uris import split_s3_uri

log = logging.getLogger(__name__)


def _covers(key: str, name: str) -> bool:
    return name.startswith(key) if key.endswith("/") else name == key


class Begun:
    """Aborting is done as well as it goes: the bucket's lifecycle rule is the last resort."""

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self._path = path
        self._ids: dict[str, list[str]] = files.read_json(path)

    def begin(self, bucket: str, key: str, upload: str) -> None:
        name = f"{bucket}/{key}"
        self._ids[name] = [*self._ids.get(name, []), upload]
        self._save()

    def end(self, bucket: str, key: str, upload: str) -> None:
        """It is over. Others to the same key, which could not be aborted, are not."""
        name = f"{bucket}/{key}"
        left = [known for known in self._ids.get(name, []) if known != upload]
        self._ids = {other: ids for other, ids in self._ids.items() if other != name} | ({name: left} if left else {})
        self._save()

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """One that is refused stays remembered, and so do others to the same key."""
        try:
            self._store.abort_upload(bucket, key, upload)
        except Refused as refused:
            if refused.fault.code != "NoSuchUpload":
                return
        self.end(bucket, key, upload)

    def abort_known(self) -> None:
        """Whatever an earlier process of ours began, under whatever key."""
        for name, uploads in list(self._ids.items()):
            bucket, _, key = name.partition("/")
            for upload in uploads:
                self.abort(bucket, key, upload)

    def abort_all(self, uris: Iterable[str]) -> None:
        """Every upload to exactly these keys, or below those that end with a slash, whoever began it: ask first whether the place is this
        attempt's."""
        for uri in uris:
            bucket, key = split_s3_uri(uri)
            ours = f"{bucket}/"
            left = {
                (name.removeprefix(ours), each)
                for name in self._ids
                if name.startswith(ours)
                for each in self._ids[name]
            }
            with contextlib.suppress(Refused):
                left.update(self._store.list_uploads(bucket, key))
            for name, upload in left:
                if _covers(key, name):
                    self.abort(bucket, name, upload)

    def _save(self) -> None:
        """Only a successor needs it: no upload fails for a disk that is full."""
        try:
            files.write_whole(self._path, json.dumps(self._ids))
        except OSError as error:
            log.warning("uploads that were begun cannot be noted in %s: %s", self._path, error.strerror)
