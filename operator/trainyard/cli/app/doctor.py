"""`trainyard doctor`: asks a server for all that jobs will ask of it, and says what it means for them."""

from __future__ import annotations

import json
import secrets
from typing import Protocol

from rich.table import Table

from trainyard.cli.app import console
from trainyard.cli.core.conformance import CHECKS, Check, Finding, Verdict, finding, jobs_run
from trainyard.cli.errors import Failed

STYLES = {Verdict.PASS: "green", Verdict.DIFFERS: "yellow", Verdict.FAIL: "bold red"}


class Checks(Protocol):
    """A server, asked; raises `cli.errors`."""

    def run(self, name: str) -> str | None: ...
    def clean(self) -> None: ...


def new_prefix(below: str) -> str:
    """A place of its own for each run: several may use one bucket."""
    return f"{below.strip('/')}/{secrets.token_hex(6)}/".lstrip("/")


def examine(checks: Checks) -> tuple[list[Finding], str]:
    """All findings, or one if the bucket cannot be reached; and what stays there, in a sentence, if it could not be taken away."""
    access, *others = CHECKS
    first = finding(access, checks.run(access.name))
    if first.verdict is Verdict.FAIL:
        return [first], ""
    left = ""
    try:
        findings = [first, *(finding(check, checks.run(check.name)) for check in others)]
    finally:
        try:
            checks.clean()
        except Failed as failed:
            left = str(failed)
    return findings, left


def show(findings: list[Finding], left: str, *, as_json: bool) -> int:
    """The exit code: 1 if jobs do not run, or something stays."""
    good = jobs_run(findings)
    if as_json:
        document = {"jobsRun": good, "checks": [found.as_dict() for found in findings]}
        console.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        console.table(_table(findings))
        different = sum(found.verdict is Verdict.DIFFERS for found in findings)
        failed = sum(found.verdict is Verdict.FAIL for found in findings)
        console.say(
            f"{len(findings)} checks: {failed or 'none'} failed, {different or 'none'} different from S3. "
            + ("Jobs run with this server." if good else "Jobs do not run with this server."),
            "" if good else "bold red",
        )
    if left:
        console.error(left)
    return 0 if good and not left else 1


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("CHECK", "RESULT", "WHAT IS ASKED, AND WHAT A DIFFERENCE MEANS FOR JOBS"):
        table.add_column(title, overflow="fold")
    for found in findings:
        table.add_row(
            found.check.name, console.text(found.verdict.value, STYLES[found.verdict]), console.text(_told(found))
        )
    return table


def _told(found: Finding) -> str:
    check: Check = found.check
    if found.verdict is Verdict.PASS:
        return check.what
    return f"{check.what}; but {found.detail}. For jobs: {check.meaning}"
