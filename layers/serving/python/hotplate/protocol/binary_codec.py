"""Tensors as binary data: the bytes that follow the JSON part of a body.

Rules kept here:

1. `Inference-Header-Content-Length` says how long the JSON part is: ASCII digits, nothing else.
2. Binary tensors follow in the order of their JSON entries, without gaps; the last one ends the body.
3. Elements are row-major and little endian; BOOL is one byte, 0 or 1; each element of BYTES is
   preceded by its length in four bytes.
4. What is decoded is a read-only view of the body, not a copy, and so need not be aligned in memory
   (BYTES excepted).
5. NaN and infinity are ordinary values here.

Source: Open Inference Protocol v2, "Binary Tensor Data Extension".
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import MalformedRequestError, ShapeMismatchError, ValueRangeError
from hotplate.protocol.json_codec import objects
from hotplate.protocol.json_document import excerpt

if TYPE_CHECKING:
    from hotplate.protocol.datatypes import Datatype

__all__ = ["BinarySection", "decode_elements", "encode_elements", "split"]

type Array = np.ndarray[Any, Any]
type Shape = tuple[int, ...]

_LENGTH = struct.Struct("<I")
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)


class BinarySection:
    """The binary part of a body, handed out tensor by tensor."""

    def __init__(self, body: bytes, start: int | None) -> None:
        """Begin at byte `start` of `body`; None when no header said that there is a binary part."""
        self._body = body
        self._at = start

    def take(self, size: int, *, what: str) -> memoryview:
        """Return the next `size` bytes.

        Raises:
            MalformedRequestError: No header, or fewer bytes are left.
        """
        if self._at is None:
            raise MalformedRequestError(
                f"binary data of {what}",
                expected="the header Inference-Header-Content-Length beside it",
                received="no such header",
            )
        left = len(self._body) - self._at
        if size > left:
            raise MalformedRequestError(
                f"binary data of {what}", expected=f"{size} bytes", received=f"{left} bytes left in the body"
            )
        self._at += size
        return memoryview(self._body)[self._at - size : self._at]

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            MalformedRequestError: Bytes follow the last tensor.
        """
        left = len(self._body) - self._at if self._at is not None else 0
        if left:
            raise MalformedRequestError(
                "the body", expected="its end after the last binary tensor", received=f"{left} bytes more"
            )


def split(body: bytes, header_length: str | None) -> tuple[bytes, BinarySection]:
    """Return the JSON part of a body and the binary part behind it.

    Args:
        body: As received.
        header_length: The header `Inference-Header-Content-Length` as received; None if it did not come.

    Raises:
        MalformedRequestError: The header is no plain number, or larger than the body.
    """
    if header_length is None:
        return body, BinarySection(body, None)
    header = "the header Inference-Header-Content-Length"
    if not _DIGITS.fullmatch(header_length):
        raise MalformedRequestError(header, expected="a number in digits", received=excerpt(header_length))
    length = int(header_length)
    if length > len(body):
        raise MalformedRequestError(
            header, expected=f"at most the {len(body)} bytes of the body", received=str(length)
        )
    return body[:length], BinarySection(body, length)


def decode_elements(raw: memoryview, datatype: Datatype, shape: Shape, *, what: str) -> Array:
    """Return the elements as one array of `shape`: a view of `raw`, except for BYTES.

    Raises:
        ShapeMismatchError: Not the number of bytes, or of BYTES elements, that the shape asks for.
        ValueRangeError: A BOOL that is neither 0 nor 1.
        MalformedRequestError: A BYTES element runs past the end.
    """
    what = f"binary data of {what}"
    count = math.prod(shape)
    if datatype.item_bytes is None:
        return objects(_decode_bytes(raw, count, what), shape)
    if len(raw) != count * datatype.item_bytes:
        expected = f"{count * datatype.item_bytes} bytes for {datatype.name} of shape {list(shape)}"
        raise ShapeMismatchError(what, expected=expected, received=f"{len(raw)} bytes")
    if count == 0:
        return np.empty(shape, datatype.dtype)
    if datatype.name == "BOOL" and (largest := np.frombuffer(raw, np.uint8).max()) > 1:
        raise ValueRangeError(what, expected="bytes 0 and 1 for BOOL", received=str(largest))
    return np.frombuffer(raw, datatype.dtype).reshape(shape)


def encode_elements(array: Array, datatype: Datatype) -> bytes | memoryview:
    """Return the elements as the extension sends them: a view of the array, except for BYTES."""
    if array.size == 0:
        return b""
    if datatype.item_bytes is not None:
        return memoryview(np.ascontiguousarray(array)).cast("B")
    return b"".join(_LENGTH.pack(len(element)) + element for element in array.reshape(-1))


def _decode_bytes(raw: memoryview, count: int, what: str) -> list[bytes]:
    if len(raw) < count * _LENGTH.size:
        expected = f"{count} elements, each with its length in {_LENGTH.size} bytes"
        raise ShapeMismatchError(what, expected=expected, received=f"{len(raw)} bytes")
    elements, at = [], 0
    for _ in range(count):
        start = at + _LENGTH.size
        if start > len(raw):
            raise MalformedRequestError(what, expected="a length in 4 bytes", received="the tensor's end")
        at = start + _LENGTH.unpack_from(raw, at)[0]
        if at > len(raw):
            expected, received = f"{at - start} bytes in an element", f"{len(raw) - start} bytes left"
            raise MalformedRequestError(what, expected=expected, received=received)
        elements.append(bytes(raw[start:at]))
    if at != len(raw):
        received = f"{len(raw) - at} bytes more"
        raise ShapeMismatchError(what, expected=f"the end after {count} elements", received=received)
    return elements
