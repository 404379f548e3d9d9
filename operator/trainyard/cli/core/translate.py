"""All documents of a file into one of the forms: what `trainyard convert` computes, without its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trainyard.cli.core import convert, documents
from trainyard.cli.core.documents import Document
from trainyard.cli.core.recognise import EXPECTED, KIND, Form, items, recognise, title
from trainyard.cli.errors import Failed, Misused


class Target(StrEnum):
    """`--to`."""

    MANIFEST = "manifest"
    REQUEST = "request"
    ACK = "ack"


@dataclass(frozen=True)
class Translated:
    """`text` is the result; each note is a line that names what was left out or written differently."""

    text: str
    notes: list[str]


_WRITERS: Final[dict[Target, Callable[[convert.Job], Document]]] = {
    Target.MANIFEST: convert.to_manifest,
    Target.REQUEST: convert.to_request,
    Target.ACK: convert.to_ack,
}


def translate(
    text: str, source: str, target: Target, name: str | None = None, namespace: str | None = None
) -> Translated:
    """Raises Failed, saying where in `source`; nothing is translated by halves."""
    found = [item for document in documents.read(text, source) for item in items(document)]
    if not found:
        raise Failed(f"{source}: expected {EXPECTED}; found nothing")
    places = [source if len(found) == 1 else f"{source}: document {index + 1}" for index in range(len(found))]
    forms: list[Form] = []
    for item, place in zip(found, places, strict=True):
        with _in(place):
            forms.append(recognise(item))
    jobs = sum(form is not Form.OTHER for form in forms)
    if not jobs:
        raise Failed(f"{source}: expected {EXPECTED}; found {', '.join(map(title, found))}")
    if name and jobs > 1:
        raise Misused(f"--name is for one job, and {source} has {jobs}")
    notes: list[str] = []
    written: list[Document] = []
    for item, form, place in zip(found, forms, places, strict=True):
        if form is not Form.OTHER:
            with _in(place):
                job = convert.read(item, form)
                convert.rename(job, name, namespace)
                written.append(_write(job, target))
            notes += [f"{place}: {note}" for note in job.notes]
        elif target is Target.REQUEST:
            notes.append(f"{place}: {title(item)} is no training job, left out")
        else:
            written.append(item)
            notes.append(f"{place}: {title(item)} is no training job, kept as it is")
    if target is not Target.REQUEST:
        _all_different(written, source)
    return Translated(documents.to_json(written) if target is Target.REQUEST else documents.to_yaml(written), notes)


def _write(job: convert.Job, target: Target) -> Document:
    if target is not Target.REQUEST and not (job.metadata.get("name") or job.metadata.get("generateName")):
        raise Failed("the job has no name that a TrainingJob could have; give one with --name")
    return _WRITERS[target](job)


@contextmanager
def _in(place: str) -> Iterator[None]:
    """Says where it was that something failed."""
    try:
        yield
    except Failed as failed:
        raise type(failed)(f"{place}: {failed}") from None


def _all_different(written: list[Document], source: str) -> None:
    names = [
        (item["metadata"].get("namespace"), item["metadata"]["name"])
        for item in written
        if item["kind"] == KIND and item["metadata"].get("name")
    ]
    if twice := [name for name in names if names.count(name) > 1]:
        raise Failed(f"{source}: two jobs would have the name {twice[0][1]}; convert them one by one, with --name")
