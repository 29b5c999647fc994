"""`application/vnd.amazon.eventstream`, written: messages as Lambda's InvokeWithResponseStream sends them."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence

__all__ = ["completed", "part", "written"]

type Header = tuple[int, bytes]
# Types of values whose length is written before them.
_LONG = (6, 7)


def written(
    headers: Mapping[str, str | Header] | Sequence[tuple[str, Header]], payload: bytes = b""
) -> bytes:
    """Return a message; a header is a text, or a type with the bytes of its value."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    head = b""
    for name, value in pairs:
        kind, raw = (7, value.encode()) if isinstance(value, str) else value
        size = struct.pack("!H", len(raw)) if kind in _LONG else b""
        head += bytes([len(name.encode())]) + name.encode() + bytes([kind]) + size + raw
    lengths = struct.pack("!II", len(head) + len(payload) + 16, len(head))
    begun = lengths + struct.pack("!I", zlib.crc32(lengths)) + head + payload
    return begun + struct.pack("!I", zlib.crc32(begun))


def part(payload: bytes) -> bytes:
    """Return the message of a part of a function's answer."""
    kind = "application/octet-stream"
    return written({":message-type": "event", ":event-type": "PayloadChunk", ":content-type": kind}, payload)


def completed(code: str = "", details: str = "") -> bytes:
    """Return the message that ends an answer; with a code, it says what went wrong."""
    told = {"ErrorCode": code, "ErrorDetails": details} if code else {}
    kind = "application/json"
    return written(
        {":message-type": "event", ":event-type": "InvokeComplete", ":content-type": kind},
        json.dumps(told).encode(),
    )
