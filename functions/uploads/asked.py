"""What may be uploaded: the body of `POST /uploads`, read and judged."""

from __future__ import annotations

from typing import NamedTuple

from hotplate.errors import MalformedRequestError, PayloadTooLargeError
from hotplate.limits import MAX_UPLOAD_BYTES
from hotplate.protocol.json_document import excerpt, fields, parse
from hotplate.tenants.uploads import CONTENT_TYPES

__all__ = ["Upload", "read_upload"]


class Upload(NamedTuple):
    """An object that is to be put: its length in bytes, and its type."""

    size: int
    content_type: str


def read_upload(body: bytes) -> Upload:
    """Return what a body asks for.

    Raises:
        MalformedRequestError: It is no such body, or of a type that nobody may upload.
        PayloadTooLargeError: Over `MAX_UPLOAD_BYTES`.
    """
    asked = fields(parse(body), ("size", "content_type"), what="the request")
    size, content_type = asked.get("size"), asked.get("content_type")
    if type(size) is not int or size < 1:
        expected = f"the length in bytes, 1 to {MAX_UPLOAD_BYTES}"
        raise MalformedRequestError("size", expected=expected, received=excerpt(size))
    if size > MAX_UPLOAD_BYTES:
        raise PayloadTooLargeError(
            "size", expected=f"at most {MAX_UPLOAD_BYTES} bytes", received=f"{size} bytes"
        )
    if content_type not in CONTENT_TYPES:
        raise MalformedRequestError(
            "content_type", expected=f"one of {', '.join(CONTENT_TYPES)}", received=excerpt(content_type)
        )
    return Upload(size, content_type)
