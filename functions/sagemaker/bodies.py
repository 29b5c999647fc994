"""Reads the body of an HTTP request, by its length or in chunks, and never more of it than is allowed.

Source: RFC 9112, sections 6 and 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.errors import MalformedRequestError, PayloadTooLargeError

if TYPE_CHECKING:
    from email.message import Message
    from io import BufferedIOBase

__all__ = ["read_body"]

# Longest line of a chunk's size or of a trailer, in bytes; and how many trailers there may be. Ours.
_LINE = 256
_TRAILERS = 16


def read_body(stream: BufferedIOBase, headers: Message, at_most: int) -> bytes:
    """Return the body.

    Raises:
        PayloadTooLargeError: It is longer than `at_most` bytes; no more of it was read.
        MalformedRequestError: How long it is cannot be told, or it ended before that.
    """
    coding = headers.get("transfer-encoding", "")
    if coding and "content-length" in headers:
        raise MalformedRequestError(
            "body", expected="Content-Length or Transfer-Encoding", received="both of them"
        )
    if coding.lower() == "chunked":
        return _chunks(stream, at_most)
    lengths = headers.get_all("content-length") or []
    # isdigit alone would let the digits of other scripts in.
    if coding or len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
        raise MalformedRequestError(
            "Content-Length",
            expected="one number of bytes",
            received=f"Transfer-Encoding {coding[:40]!r}" if coding else ", ".join(lengths)[:80] or "none",
        )
    length = int(lengths[0])
    if length > at_most:
        raise _too_large(at_most, f"{length} bytes")
    return _exactly(stream, length)


def _chunks(stream: BufferedIOBase, at_most: int) -> bytes:
    body = bytearray()
    while size := _size(stream.readline(_LINE)):
        if len(body) + size > at_most:
            raise _too_large(at_most, "more")
        body += _exactly(stream, size)
        if stream.readline(_LINE) != b"\r\n":
            raise _broken("a chunk of another size than it says")
    for _ in range(_TRAILERS):
        if stream.readline(_LINE) in (b"\r\n", b"\n"):
            return bytes(body)
    raise _broken("no end of the trailers")


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not line.endswith(b"\n") or not digits or len(digits) > 8 or digits.strip(b"0123456789abcdefABCDEF"):
        raise _broken("no size of a chunk")
    return int(digits, 16)


def _exactly(stream: BufferedIOBase, length: int) -> bytes:
    body = stream.read(length)
    if len(body) < length:
        raise _broken(f"{len(body)} of {length} bytes")
    return body


def _broken(received: str) -> MalformedRequestError:
    return MalformedRequestError("body", expected="a whole body", received=received)


def _too_large(at_most: int, received: str) -> PayloadTooLargeError:
    return PayloadTooLargeError("body", expected=f"at most {at_most} bytes", received=received)
