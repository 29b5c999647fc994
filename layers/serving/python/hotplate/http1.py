"""The head of an HTTP/1.1 answer, read by hand: `http.client` would cost a cold start ten milliseconds.

Rules kept: nothing that is endless is read (lines and headers are bounded), and what is not HTTP is an
error of its own, never a guess.

Source: RFC 9112.
"""

from __future__ import annotations

import re
from typing import IO, NamedTuple

__all__ = ["Head", "MalformedAnswerError", "read_head", "read_line"]

_MAX_LINE_BYTES = 65536
_MAX_HEADERS = 100
_MAX_DIGITS = 19  # of a number of 64 bits
_STATUS = re.compile("[1-9][0-9][0-9]")
_FIRST_FINAL = 200  # statuses below it announce another answer


class MalformedAnswerError(Exception):
    """What came is no answer of HTTP/1.1."""


class Head(NamedTuple):
    """What stands before an answer's body.

    Attributes:
        version: `HTTP/1.1` or `HTTP/1.0`.
        status: From 200 to 999.
        reason: The words after it; may be empty.
        headers: By name in lower case; of one that comes twice the last.
    """

    version: str
    status: int
    reason: str
    headers: dict[str, str]

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with this answer."""
        said = self.headers.get("connection", "").lower()
        return said == "close" or (self.version == "HTTP/1.0" and said != "keep-alive")

    @property
    def length(self) -> int | None:
        """How many bytes the body has; None if the head does not say.

        Raises:
            MalformedAnswerError: It says no number.
        """
        said = self.headers.get("content-length")
        if said is None or "transfer-encoding" in self.headers:
            return None
        if not (said.isascii() and said.isdecimal() and len(said) <= _MAX_DIGITS):
            raise MalformedAnswerError(f"Content-Length is no number: {said[:80]!r}")
        return int(said)


def read_head(stream: IO[bytes]) -> Head:
    """Return the head that comes next; answers that only announce another are passed over.

    Raises:
        ConnectionResetError: The other side hung up.
        MalformedAnswerError: It is not HTTP/1.1.
        OSError: It cannot be read.
    """
    while True:
        version, _, rest = read_line(stream).partition(" ")
        status, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or not _STATUS.fullmatch(status):
            raise MalformedAnswerError(f"no status line of HTTP/1.1: {f'{version} {rest}'[:80]!r}")
        headers: dict[str, str] = {}
        while line := read_line(stream):
            name, colon, value = line.partition(":")
            if not colon or len(headers) == _MAX_HEADERS:
                raise MalformedAnswerError(f"no header, or one too many: {line[:80]!r}")
            headers[name.strip().lower()] = value.strip()
        if int(status) >= _FIRST_FINAL:
            return Head(version, int(status), reason, headers)


def read_line(stream: IO[bytes]) -> str:
    """Return the next line without its end.

    Raises:
        ConnectionResetError: The other side hung up.
        MalformedAnswerError: It is longer than 64 KiB.
        OSError: It cannot be read.
    """
    line = stream.readline(_MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        if len(line) == _MAX_LINE_BYTES:
            raise MalformedAnswerError(f"a line of more than {_MAX_LINE_BYTES} bytes")
        raise ConnectionResetError("the other side hung up")
    return line.decode("latin-1").rstrip("\r\n")
