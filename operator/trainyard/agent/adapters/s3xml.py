"""The few XML documents of S3's API."""

from __future__ import annotations

from urllib.parse import unquote_plus
from xml.etree import ElementTree

from trainyard.agent.adapters import checksums
from trainyard.agent.ports import StoredObject


def _parse(content: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(content)  # noqa: S314 - expat resolves no external entities; the endpoint is the administrator's
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
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
    root = _parse(content)
    encoded = root.findtext("EncodingType") == "url"
    objects = []
    for item in root.iter("Contents"):
        key = item.findtext("Key") or ""
        objects.append(
            StoredObject(
                unquote_plus(key, errors="surrogateescape") if encoded else key,
                int(item.findtext("Size") or 0),
                item.findtext("ETag") or "",
                checksums.listed(
                    [found.text or "" for found in item.iter("ChecksumAlgorithm")], item.findtext("ChecksumType") or ""
                ),
            )
        )
    more = root.findtext("IsTruncated") == "true"
    return objects, (root.findtext("NextContinuationToken") if more else None)


def upload_id(content: bytes) -> str:
    return _parse(content).findtext("UploadId") or ""


def uploads(content: bytes) -> list[tuple[str, str]]:
    """(key, upload id) of unfinished uploads."""
    return [(item.findtext("Key") or "", item.findtext("UploadId") or "") for item in _parse(content).iter("Upload")]


def completion(etags: list[str]) -> bytes:
    root = ElementTree.Element("CompleteMultipartUpload")
    for number, etag in enumerate(etags, 1):
        part = ElementTree.SubElement(root, "Part")
        ElementTree.SubElement(part, "PartNumber").text = str(number)
        ElementTree.SubElement(part, "ETag").text = etag
    return ElementTree.tostring(root)
