"""Messages of `application/vnd.amazon.eventstream`, read one by one as they come.

    total length, length of headers, CRC-32 of these two | headers | payload | CRC-32 of all before it
    4 bytes       4                  4                                         4        big-endian

Rules kept: lengths are believed after their own checksum, and bounded, so that nothing is waited for that was
never sent; a message is given on after its checksum; a stream that ends within one is damaged, not over.

Source: Amazon Transcribe Developer Guide, "Event stream encoding"; Smithy, "Amazon Event Stream".
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DamagedStreamError", "Message", "messages"]

_PRELUDE = struct.Struct("!III")
_CRC = struct.Struct("!I")
_LENGTH = struct.Struct("!H")
# Source: as above: headers of 128 KiB, a payload of 16 MiB (as botocore, 24).
_MAX_HEADERS_BYTES = 128 * 1024
_MAX_PAYLOAD_BYTES = 24 * 1024 * 1024
_AROUND = _PRELUDE.size + _CRC.size
# Bytes of a header's value by its type: true, false, byte, short, integer, long, time, UUID.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _TEXT = 6, 7


class DamagedStreamError(Exception):
    """What came is no such message, or not all of one."""


class Message(NamedTuple):
    """A message.

    Attributes:
        headers: Those that are text, by name. Of the protocol: `:message-type`, which is `event`, `exception`
            or `error`, and beside it `:event-type`, `:exception-type`, or `:error-code`.
        payload: As sent.
    """

    headers: dict[str, str]
    payload: bytes


def messages(read: Callable[[int], bytes]) -> Iterator[Message]:
    """Yield messages until there are no more.

    Args:
        read: Returns so many bytes of the stream, waiting for them; fewer at its end.

    Raises:
        DamagedStreamError: A message is no such, or not whole.
    """
    while prelude := read(_PRELUDE.size):
        if len(prelude) < _PRELUDE.size:
            raise DamagedStreamError("the stream ended within a message's lengths")
        total, head, checksum = _PRELUDE.unpack(prelude)
        if zlib.crc32(prelude[:8]) != checksum:
            raise DamagedStreamError("the lengths of a message do not fit their checksum")
        rest = total - _AROUND
        if head > min(rest, _MAX_HEADERS_BYTES) or rest - head > _MAX_PAYLOAD_BYTES:
            raise DamagedStreamError(f"a message of {total} bytes, {head} of them headers")
        body = read(rest + _CRC.size)
        if len(body) < rest + _CRC.size:
            raise DamagedStreamError("the stream ended within a message")
        (checksum,) = _CRC.unpack_from(body, rest)
        if zlib.crc32(body[:rest], zlib.crc32(prelude)) != checksum:
            raise DamagedStreamError("a message does not fit its checksum")
        yield Message(_headers(body[:head]), body[head:rest])


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            name_ends = at + 1 + data[at]
            name, kind = data[at + 1 : name_ends].decode(), data[name_ends]
            at = name_ends + 1
            if kind in (_BYTES, _TEXT):
                (size,) = _LENGTH.unpack_from(data, at)
                at += _LENGTH.size
            else:
                size = _SIZES[kind]
            value, at = data[at : at + size], at + size
            if at > len(data) or name in found:
                raise DamagedStreamError(f"header {name!r} is there twice, or not whole"[:200])
            if kind == _TEXT:
                found[name] = value.decode()
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as fault:
        raise DamagedStreamError(f"headers that are none: {fault!r}"[:200]) from fault
    return found
