"""What jobs ask of an S3 server, and what it means for them where a server differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 - a word, not a secret
    DIFFERS = "differs"  # jobs run, with the consequence that is named
    FAIL = "fail"  # jobs do not run, or not all


@dataclass(frozen=True)
class Check:
    """`meaning`: what a failure means for jobs. `required`: jobs cannot do without."""

    name: str
    what: str
    meaning: str
    required: bool = False


CHECKS = (
    Check("access", "the bucket is there and its objects can be listed", "no job can run with it", required=True),
    Check(
        "objects",
        "an object is read, replaced and deleted, and reads as it was written",
        "no job can run with it",
        required=True,
    ),
    Check(
        "missing",
        "a key without an object answers 404 NoSuchKey",
        "a job cannot tell its first attempt from a later one",
        required=True,
    ),
    Check(
        "prefixes",
        "objects are listed by any beginning of their keys",
        "channels get too few objects, or too many",
        required=True,
    ),
    Check(
        "pages",
        "a listing goes on where its page ended",
        "channels of more than 1,000 objects lose some",
        required=True,
    ),
    Check(
        "ranges",
        "a part of an object is read; one behind its end answers 416",
        "objects over 8 MiB cannot be staged",
        required=True,
    ),
    Check(
        "multipart",
        "parts become visible as one object, and only when they are completed",
        "models over 8 MiB cannot be uploaded",
        required=True,
    ),
    Check(
        "abort",
        "an aborted upload is listed before, and is gone after",
        "uploads that were cut stay there: let a lifecycle rule end them",
    ),
    Check(
        "aborted",
        "an upload that was aborted cannot be completed",
        "none, for the agent reads back what became visible; other programs may lose data",
    ),
    Check(
        "if-match reads",
        "a read for another version answers 412",
        "an object that is replaced while it is staged may arrive as a mixture of both",
    ),
    Check(
        "if-none-match writes",
        "a write for a key that is taken answers 412",
        "two jobs that take one output path at the same moment see it only later",
    ),
    Check(
        "if-match writes",
        "a write over another version answers 412",
        "two attempts that take one output path at the same moment see it only later",
    ),
    Check(
        "etags", "an ETag is the MD5 of the object", "input that is damaged on its way is noticed by its length only"
    ),
    Check(
        "part sizes",
        "the ETag of parts is that of their MD5s, and a HEAD tells their size",
        "input that was uploaded in parts is checked for damage by its length only",
    ),
    Check(
        "damage",
        "a body that is not what was signed is refused",
        "artifacts that are damaged on their way are stored so: use https",
    ),
    Check(
        "checksums",
        "checksums of AWS's SDKs are checked, kept and told",
        "training programs need AWS_REQUEST_CHECKSUM_CALCULATION=when_required",
    ),
    Check(
        "odd keys",
        "keys of any characters keep their names",
        "objects with such keys cannot be channel data, or arrive under another name",
    ),
    Check("key and folder", "there may be both objects, k and k/x", "of two such objects only one can exist"),
    Check("presigned", "presigned links (SigV4) read and write", "none for jobs; links that people make do not work"),
    Check(
        "credentials",
        "an unknown access key answers 403 InvalidAccessKeyId",
        "a job with wrong keys fails with a less exact text",
    ),
)


@dataclass(frozen=True)
class Finding:
    """What came of one check. `detail`: what the server did instead."""

    check: Check
    verdict: Verdict
    detail: str = ""

    def as_dict(self) -> dict[str, object]:
        fields = asdict(self.check)
        if self.verdict is Verdict.PASS:
            del fields["meaning"]
        return fields | {"verdict": self.verdict.value} | ({"detail": self.detail} if self.detail else {})


def finding(check: Check, wrong: str | None) -> Finding:
    """`wrong`: what the server did instead; None: it did as it should."""
    if wrong is None:
        return Finding(check, Verdict.PASS)
    return Finding(check, Verdict.FAIL if check.required else Verdict.DIFFERS, wrong)


def jobs_run(findings: Sequence[Finding]) -> bool:
    return all(found.verdict is not Verdict.FAIL for found in findings)
