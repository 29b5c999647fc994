"""Messages of Lambda's InvokeWithResponseStream: the parts of an answer, and how it ended.

Standard library only.

Source: Smithy, "Amazon Event Stream"; AWS Lambda API Reference, "InvokeWithResponseStreamResponseEvent".
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

__all__ = ["CONTENT_TYPE", "completed", "part"]

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_TEXT = 7


def part(payload: bytes) -> bytes:
    """Return the message of a part of an answer."""
    return _event("PayloadChunk", "application/octet-stream", payload)


def completed(error: Mapping[str, object] | None = None) -> bytes:
    """Return the message that ends an answer; `error` is what went wrong, as Lambda tells it."""
    told = {}
    if error is not None:
        told = {
            "ErrorCode": str(error.get("errorType") or "Unhandled"),
            "ErrorDetails": json.dumps({**error}),
        }
    return _event("InvokeComplete", "application/json", json.dumps(told).encode())


def _event(name: str, kind: str, payload: bytes) -> bytes:
    headers = {":message-type": "event", ":event-type": name, ":content-type": kind}
    head = b"".join(map(_header, headers, headers.values()))
    lengths = struct.pack("!II", len(head) + len(payload) + 16, len(head))
    begun = lengths + struct.pack("!I", zlib.crc32(lengths)) + head + payload
    return begun + struct.pack("!I", zlib.crc32(begun))


def _header(name: str, value: str) -> bytes:
    raw = value.encode()
    return bytes([len(name)]) + name.encode() + bytes([_TEXT]) + struct.pack("!H", len(raw)) + raw
