"""The few XML documents of S3's API, and of its STS."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from trainyard.agent.adapters import checksums
from trainyard.agent.errors import NOT_S3, StoreFault
from trainyard.agent.ports import Credentials, StoredObject


def _parse(content: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(content)  # noqa: S314 - expat resolves no external entities; the endpoint is the administrator's
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _answer(content: bytes, name: str, *others: str) -> ElementTree.Element:
    """The document `name` of an answer that was good. Raises StoreFault: a byte more or less must not pass for another answer.

    `others`: what servers other than S3 call it.
    """
    try:
        root = _parse(content)
    except ElementTree.ParseError as error:
        raise StoreFault("answer", f"no {name}, but {error}", status=200, code=NOT_S3) from error
    if root.tag not in {name, *others}:
        raise StoreFault("answer", f"no {name}, but {root.tag[:40]}", status=200, code=NOT_S3)
    return root


def error_of(content: bytes) -> tuple[str, str]:
    """Code and message of an error document; empty for anything else."""
    try:
        root = _parse(content)
    except ElementTree.ParseError:
        return "", ""
    if root.tag != "Error":
        return "", ""
    return root.findtext("Code") or "", (root.findtext("Message") or "").strip()


def listing(content: bytes) -> tuple[list[StoredObject], str | None]:
    """Objects of a ListObjectsV2 page that was asked for with encoding-type=url, and the next page's token."""
    root = _answer(content, "ListBucketResult")
    encoded = root.findtext("EncodingType") == "url"
    objects = []
    for item in root.iter("Contents"):
        key, size = item.findtext("Key"), item.findtext("Size") or ""
        if not key or not size.isdecimal():
            raise StoreFault("answer", "an object without a key or a size", status=200, code=NOT_S3)
        objects.append(
            StoredObject(
                unquote_plus(key, errors="surrogateescape") if encoded else key,
                int(size),
                item.findtext("ETag") or "",
                checksums.listed(
                    [found.text or "" for found in item.iter("ChecksumAlgorithm")], item.findtext("ChecksumType") or ""
                ),
            )
        )
    # Objects that are not seen are data that is not trained on: whatever tells of more must be what S3 says.
    more, after = root.findtext("IsTruncated"), root.findtext("NextContinuationToken")
    count = root.findtext("KeyCount")
    if more not in {"true", "false"} or (more == "true" and not after) or count not in {None, str(len(objects))}:
        raise StoreFault("answer", "a listing that contradicts itself", status=200, code=NOT_S3)
    return objects, (after if more == "true" else None)


def upload_id(content: bytes) -> str:
    # rclone, and whatever else is made of gofakes3, calls it as the request is called.
    found = _answer(content, "InitiateMultipartUploadResult", "InitiateMultipartUpload").findtext("UploadId")
    if not found:
        raise StoreFault("answer", "an upload without an id", status=200, code=NOT_S3)
    return found


def uploads(content: bytes) -> list[tuple[str, str]]:
    """(key, upload id) of unfinished uploads."""
    root = _answer(content, "ListMultipartUploadsResult")
    return [(item.findtext("Key") or "", item.findtext("UploadId") or "") for item in root.iter("Upload")]


def completed(content: bytes) -> str:
    """The ETag of an object whose upload was completed."""
    return _answer(content, "CompleteMultipartUploadResult").findtext("ETag") or ""


def session(content: bytes) -> Credentials:
    """What AssumeRoleWithWebIdentity gave."""
    root = _answer(content, "AssumeRoleWithWebIdentityResponse")
    found = {element.tag: (element.text or "").strip() for element in root.iter()}
    try:
        expires = datetime.fromisoformat(found["Expiration"]).timestamp()
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], expires)
    except (KeyError, ValueError) as error:
        raise StoreFault("answer", f"a session without {error}", status=200, code=NOT_S3) from error


def session_error(content: bytes) -> str:
    """Code and message of an STS's error document, or what else it says."""
    try:
        found = {element.tag: (element.text or "").strip() for element in _parse(content).iter()}
    except ElementTree.ParseError:
        return content[:100].decode("utf-8", "replace")
    return f"{found.get('Code', '')}: {found.get('Message', '')}"


def completion(etags: list[str]) -> bytes:
    root = ElementTree.Element("CompleteMultipartUpload")
    for number, etag in enumerate(etags, 1):
        part = ElementTree.SubElement(root, "Part")
        ElementTree.SubElement(part, "PartNumber").text = str(number)
        ElementTree.SubElement(part, "ETag").text = etag
    return ElementTree.tostring(root)
