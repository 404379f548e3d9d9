"""A byte of an answer that is another one must not make another answer of it."""

from __future__ import annotations

import pytest

from trainyard.agent.adapters import s3xml
from trainyard.agent.errors import StoreFault

PAGE = (
    b'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
    b"<KeyCount>1</KeyCount><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    b'<Contents><Key>a+b%2F%C3%BC</Key><Size>12</Size><ETag>"e"</ETag></Contents></ListBucketResult>'
)


def test_a_page_has_its_objects_and_where_the_next_one_begins() -> None:
    (item,), after = s3xml.listing(PAGE)
    assert (item.key, item.size, item.etag, after) == ("a b/ü", 12, '"e"', "t")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b">true<", b">trud<"), (b">true<", b"><"), (b"<KeyCount>1", b"<KeyCount>2"), (b"<Size>12", b"<Size>1x"),
        (b"<Key>a+b%2F%C3%BC</Key>", b""), (b"<NextContinuationToken>t</NextContinuationToken>", b""),
        (b"ListBucketResult", b"ListBuckeuResult"), (b"</Contents>", b"</Contentt>"), (PAGE[-30:], b""), (PAGE, b"<html/>"), (PAGE, b""),
    ],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_a_page_that_contradicts_itself_is_none(old: bytes, new: bytes) -> None:
    with pytest.raises(StoreFault) as caught:
        s3xml.listing(PAGE.replace(old, new))
    assert caught.value.foreign


@pytest.mark.parametrize("name", [b"InitiateMultipartUploadResult", b"InitiateMultipartUpload"], ids=["S3", "rclone"])
def test_an_upload_has_an_id(name: bytes) -> None:
    assert s3xml.upload_id(b"<%b><UploadId>u</UploadId></%b>" % (name, name)) == "u"
    with pytest.raises(StoreFault):
        s3xml.upload_id(b"<%b/>" % name)
