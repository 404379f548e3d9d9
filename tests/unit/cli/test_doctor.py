"""What `trainyard doctor` makes of a server's answers."""

from __future__ import annotations

import json

import pytest

from tests.support.cli import Cli
from trainyard.cli.app import doctor
from trainyard.cli.core.conformance import CHECKS, finding
from trainyard.cli.errors import Failed


class Scripted:
    """A server that differs in some checks."""

    def __init__(self, **wrong: str) -> None:
        self.wrong = {name.replace("_", " "): text for name, text in wrong.items()}
        self.asked: list[str] = []
        self.cleaned = 0

    def run(self, name: str) -> str | None:
        self.asked.append(name)
        if self.wrong.get(name) == "fall":
            raise Failed("the line is dead")
        return self.wrong.get(name)

    def clean(self) -> None:
        self.cleaned += 1


def test_a_difference_that_jobs_can_live_with_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    server = Scripted(odd_keys="'a//b' is listed as 'a/b'")
    assert doctor.show(*doctor.examine(server), as_json=False) == 0
    said = capsys.readouterr()
    (row,) = [line for line in said.out.splitlines() if line.startswith("odd keys")]
    assert "differs" in row
    assert "'a//b' is listed as 'a/b'. For jobs: objects with such keys cannot be channel data" in row
    assert "none failed, 1 different from S3. Jobs run with this server." in said.err
    assert server.asked == [check.name for check in CHECKS]


def test_what_jobs_cannot_do_without_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.show(*doctor.examine(Scripted(ranges="all of it came")), as_json=False) == 1
    assert "Jobs do not run with this server." in capsys.readouterr().err


def test_json_has_every_check_and_what_a_difference_means(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.show([finding(CHECKS[0], None), finding(CHECKS[-1], "it was accepted")], "", as_json=True)
    document = json.loads(capsys.readouterr().out)
    first, last = document["checks"]
    assert (document["jobsRun"], first["verdict"], last["verdict"]) == (True, "pass", "differs")
    assert (last["detail"], last["meaning"]) == ("it was accepted", CHECKS[-1].meaning)
    assert "meaning" not in first


def test_without_access_nothing_else_is_asked() -> None:
    server = Scripted(access="403 AccessDenied")
    findings, left = doctor.examine(server)
    assert (len(findings), left, server.asked, server.cleaned) == (1, "", ["access"], 0)


def test_what_was_written_is_taken_away_whatever_happens() -> None:
    server = Scripted(ranges="fall")
    with pytest.raises(Failed, match="the line is dead"):
        doctor.examine(server)
    assert server.cleaned == 1


def test_what_stays_is_named_and_the_findings_are_shown_nevertheless(capsys: pytest.CaptureFixture[str]) -> None:
    class Keeping(Scripted):
        def clean(self) -> None:
            raise Failed("these stay: a, b")

    assert doctor.show(*doctor.examine(Keeping()), as_json=False) == 1
    said = capsys.readouterr()
    assert "presigned" in said.out
    assert "error: these stay: a, b" in said.err


def test_each_run_has_a_place_of_its_own() -> None:
    first, second = doctor.new_prefix("/some/where/"), doctor.new_prefix("/some/where/")
    assert first.startswith("some/where/")
    assert first.endswith("/")
    assert first != second
    assert not doctor.new_prefix("").startswith("/")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--endpoint", "no url"], "no S3 client: Invalid endpoint: no url"),
        (["--endpoint", "http://127.0.0.1:1", "--profile", "nobody"], "no S3 client: The config profile (nobody) could not be found"),
        (["--endpoint", "http://127.0.0.1:1"], "no credentials: set AWS_ACCESS_KEY_ID"),
    ],
    ids=["endpoint", "profile", "credentials"],
)  # fmt: skip
def test_what_cannot_be_begun_is_said_in_a_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")
    done = cli("doctor", "s3", "--bucket", "b", *arguments)
    assert (done.code, done.out) == (1, "")
    assert words in done.err
