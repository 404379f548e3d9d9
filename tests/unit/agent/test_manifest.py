"""Who may train, who may commit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.agent.builders import job, plan
from trainyard.agent.core import manifest

ME = job(attempt=2)


@pytest.mark.parametrize(
    ("found", "train", "commit"),
    [
        ({}, True, True),
        ({"jobID": ME.digest, "attempt": 2}, True, True),
        ({"jobID": ME.digest, "attempt": 1}, True, True),
        ({"jobID": ME.digest, "attempt": 3}, False, False),
        ({"jobID": "other", "attempt": 9}, True, False),
    ],
)
def test_a_later_attempt_fences_and_a_later_job_of_the_name_too(
    found: dict[str, Any], train: bool, commit: bool
) -> None:
    assert manifest.newer_attempt(found, ME) is not train
    assert manifest.superseded(found, ME) is not commit


@pytest.mark.parametrize("outcome", ["Completed", "Stopped", "Failed", "Unknown"])
def test_only_a_known_good_outcome_of_this_very_job_spares_training(outcome: str) -> None:
    known = outcome in {"Completed", "Stopped"}
    assert manifest.committed({"jobID": ME.digest, "outcome": outcome}, ME) is known
    assert not manifest.committed({"jobID": "u2", "outcome": outcome}, ME)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ({"jobID": ME.digest, "attempt": 2, "missingHosts": []}, True),
        ({"jobID": ME.digest, "attempt": 2, "missingHosts": ["algo-3"]}, True),
        ({"jobID": ME.digest, "attempt": 2, "missingHosts": ["algo-2"]}, False),
        ({"jobID": ME.digest, "attempt": 2}, False),
        ({"jobID": ME.digest, "attempt": 1, "missingHosts": []}, False),
        ({"jobID": "other", "attempt": 2, "missingHosts": []}, False),
        ({}, False),
    ],
)
def test_only_this_attempts_manifest_shows_that_a_hosts_files_are_kept(found: dict[str, Any], kept: bool) -> None:
    assert manifest.has_files_of(found, ME, "algo-2") is kept


def test_documents_that_are_not_ours_count_as_none() -> None:
    assert manifest.parse(b"<html>") == manifest.parse(b"[1]") == {}
    assert manifest.parse(manifest.marker(ME)) == {
        "version": 1,
        "jobID": ME.digest,
        "attempt": 2,
        "namespace": "ns",
        "name": "job",
    }


def test_the_manifests_head_names_all_hosts_and_those_that_are_missing() -> None:
    head = manifest.head(plan(hosts=2), "Failed", ["algo-2"], ["w"])
    assert json.loads(json.dumps(head))["missingHosts"] == ["algo-2"]
    assert (
        manifest.share_uri(plan(hosts=2), "algo-2", "model")
        == f"s3://out/prefix/Job/trainyard-shares/{ME.digest}-2/algo-2/model.tar.gz"
    )


def composed(uid: str = "u1") -> str:
    """A manifest as the agent writes it."""
    files = {
        "s3://o/p/model/": [("a", 1), ('odd "uri": "s3://x", "artifacts": [\n', 2), ("caf\udce9", 3)],
        "s3://o/p/data/": [("b", 4)],
    }
    text = json.dumps(manifest.head(plan(job=job(uid=uid)), "Failed", [], ['"artifacts": [']))[:-1] + ', "artifacts": ['
    for number, (uri, entries) in enumerate(files.items()):
        lines = [json.dumps({"path": path, "size": size, "sha256": "0", "host": "algo-1"}) for path, size in entries]
        text += (
            (", " if number else "")
            + json.dumps({"uri": uri, "size": 0})[:-1]
            + ', "files": [\n'
            + ",\n".join(lines)
            + "]}"
        )
    return text + '], "skipped": [{"path": "{\\"uri\\": \\"s3://o/p/model/\\"}"}]}'


@pytest.mark.parametrize(
    ("uri", "files"),
    [
        ("s3://o/p/model/", [("a", 1), ('odd "uri": "s3://x", "artifacts": [\n', 2), ("caf\udce9", 3)]),
        ("s3://o/p/data/", [("b", 4)]),
        ("s3://o/p/other/", []),
    ],
)
def test_a_manifest_is_read_line_by_line(uri: str, files: list[tuple[str, int]]) -> None:
    assert json.loads(composed())["artifacts"][0]["files"][0]["path"] == "a"
    listing = manifest.Listing(ME, uri)
    assert [found for line in composed().split("\n") if (found := listing.file(line))] == files


def test_the_beginning_of_a_manifest_tells_whose_it_is_and_how_it_ended() -> None:
    text = composed().encode()
    for length in (len(text), text.index(b'"artifacts"'), text.index(b'"warnings"') + 20):
        found = manifest.beginning(text[:length])
        assert (found["jobID"], found["outcome"], found["missingHosts"]) == (job().digest, "Failed", [])
    assert manifest.beginning(text[:20]) == manifest.beginning(b"<html>") == manifest.beginning(b"") == {}


@pytest.mark.parametrize("text", [composed("other"), "[]", "", '{"jobID": ME.digest}', "<Error/>"])
def test_what_is_not_this_jobs_manifest_has_no_files(text: str) -> None:
    with pytest.raises(ValueError, match="not this job's"):
        manifest.Listing(ME, "s3://o/p/model/").file(text.split("\n", maxsplit=1)[0])
