"""Text to records, vectorised: where each line, or CSV record with its quoted line ends, begins and ends.

Rules kept here, by the splitter and the workers alike, so that they count the same:

1. CR and LF each end a record, outside of quotes; a record with nothing in it is none. So CR LF is one end,
   line ends may be mixed, and blank lines do not count.
2. A quote opens only at a field's beginning; inside, two of them are one. Elsewhere it is a character.
3. The last record needs no line end.

Bytes are looked at, not characters: in UTF-8 no byte of a longer character is a quote, a comma or a line end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import UnreadableFileError

if TYPE_CHECKING:
    from hotplate.batch.layout import Dialect

    type Places = np.ndarray[Any, np.dtype[np.int64]]

__all__ = ["MAX_RECORD_BYTES", "Cut", "cut"]

# The longest record, in bytes. Ours: ten times what any request can hold, so that a worker's memory is
# bounded whatever a file's quotes do.
MAX_RECORD_BYTES = 64 * 2**20

_LF, _CR = 10, 13


class Cut:
    """Records found in some bytes.

    Attributes:
        starts, stops: Of each record, its line end included.
        stop: Where the first record begins that is not whole.
    """

    __slots__ = ("starts", "stop", "stops")

    def __init__(self, starts: Places, stops: Places, stop: int) -> None:
        """Keep them."""
        self.starts, self.stops, self.stop = starts, stops, stop

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.starts)


def cut(
    data: bytes | memoryview, dialect: Dialect | None, *, is_end: bool, byte: int = 0, row: int = 0
) -> Cut:
    """Return the records in `data`, which begins with one.

    Args:
        data: Bytes of the file.
        dialect: Of CSV; None where no quote hides a line end.
        is_end: Whether nothing follows; then the last record needs no line end.
        byte: Where `data` lies in the file, for errors.
        row: Number of its first record, likewise.

    Raises:
        UnreadableFileError: A quote never closes, or a record is too long.
    """
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero((array == _LF) | (array == _CR))
    is_open = False
    if dialect is not None:
        quotes = np.flatnonzero(array == ord(dialect.quote))
        if len(quotes):
            if _all_at_beginnings(array, quotes, dialect):
                ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
                is_open = len(quotes) % 2 == 1
            else:
                ends, is_open = _ends_one_by_one(data, dialect)
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else np.empty(0, np.int64)
    is_filled = ends > starts
    starts, stops = starts[is_filled], ends[is_filled] + 1
    stop = int(ends[-1]) + 1 if len(ends) else 0
    left = len(array) - stop
    if is_end and left:
        if is_open:
            raise _never_closes(byte + stop, row + len(starts))
        starts, stops, stop = np.append(starts, stop), np.append(stops, len(array)), len(array)
    elif left > MAX_RECORD_BYTES:
        if is_open:
            raise _never_closes(byte + stop, row + len(starts))
        raise UnreadableFileError(
            f"a row of more than {MAX_RECORD_BYTES:,} bytes", byte=byte + stop, row=row + len(starts)
        )
    return Cut(starts.astype(np.int64), stops.astype(np.int64), stop)


def _all_at_beginnings(array: np.ndarray[Any, Any], quotes: Places, dialect: Dialect) -> bool:
    """Return whether every second quote, from the first, opens a field or follows one at once."""
    opening = quotes[0::2]
    before = array[np.maximum(opening - 1, 0)]
    fits = (opening == 0) | (before == ord(dialect.delimiter)) | (before == _LF) | (before == _CR)
    fits[1:] |= opening[1:] == quotes[1::2][: len(opening) - 1] + 1
    return bool(fits.all())


def _ends_one_by_one(data: bytes | memoryview, dialect: Dialect) -> tuple[Places, bool]:
    """Return where records end, and whether a quote is open at the end: the slow way, for stray quotes."""
    quote, delimiter = re.escape(dialect.quote.encode()), re.escape(dialect.delimiter.encode())
    quoted = rb"%b(?:[^%b]|%b%b)*+%b" % (quote, quote, quote, quote, quote)
    field = rb"(?:%b[^%b\r\n]*+|(?!%b)[^%b\r\n]*+)" % (quoted, delimiter, quote, delimiter)
    record = re.compile(rb"%b(?:%b%b)*+([\r\n])" % (field, delimiter, field))
    ends, at = [], 0
    while match := record.match(data, at):
        ends.append(match.start(1))
        at = match.end()
    rest = re.compile(rb"%b(?:%b%b)*+\Z" % (field, delimiter, field)).match(data, at)
    return np.array(ends, np.int64), rest is None


def _never_closes(byte: int, row: int) -> UnreadableFileError:
    return UnreadableFileError("a quote that opens in this row never closes", byte=byte, row=row)
