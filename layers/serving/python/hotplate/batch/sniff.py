"""What a text is, from its first records: the delimiter, whether there is a header, which members come."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import msgspec

from hotplate.batch.layout import Dialect
from hotplate.batch.records import cut
from hotplate.batch.texts import head, mark_length
from hotplate.errors import UnreadableFileError

if TYPE_CHECKING:
    from hotplate.batch.layout import BatchOptions, Compression, Source

__all__ = ["csv_columns", "members", "text_start"]

# Bytes in which the first record must end, and rows that are looked at. Ours.
HEAD_BYTES = 4 * 2**20
SAMPLE_BYTES = 256 * 1024
SAMPLE_ROWS = 100

_DELIMITERS = ",;\t|"


def text_start(source: Source, compression: Compression) -> tuple[bytes, int]:
    """Return the first bytes of a text behind its mark, and where they begin.

    Raises:
        UnreadableFileError: It is empty, or not in UTF-8.
        StoreError: It could not be had.
    """
    first = head(source, compression, SAMPLE_BYTES)
    if not first:
        raise UnreadableFileError("the file is empty")
    if b"\n" not in first and b"\r" not in first and len(first) == SAMPLE_BYTES:
        first = head(source, compression, HEAD_BYTES)
    mark = mark_length(first)
    if len(first) == mark:
        raise UnreadableFileError("the file is empty but for a byte order mark")
    return first[mark:], mark


def csv_columns(
    first: bytes, start: int, options: BatchOptions, *, is_all: bool
) -> tuple[list[str], Dialect, int]:
    """Return the names of a CSV file's columns, how it is written, and where its rows begin.

    Args:
        first: The first bytes of the text.
        start: Where they lie in the file.
        options: What the owner says.
        is_all: Whether that is all of the file.

    Raises:
        UnreadableFileError: There is no first record.
    """
    quote = options.quote or '"'
    delimiter = options.delimiter or _delimiter(first, quote)
    dialect = Dialect(delimiter, quote)
    records = cut(first, dialect, is_end=False, byte=start)
    if not len(records) and is_all:
        records = cut(first, dialect, is_end=True, byte=start)
    if not len(records):
        if is_all:
            raise UnreadableFileError("the file has no rows, only line ends")
        raise UnreadableFileError(f"the first row is longer than {len(first):,} bytes", byte=start, row=0)
    rows = [
        _fields(first[records.starts[row] : records.stops[row]], dialect)
        for row in range(min(2, len(records)))
    ]
    is_header = options.header if options.header is not None else _is_header(rows)
    if is_header:
        return rows[0], Dialect(delimiter, quote, header=True), start + int(records.stops[0])
    names = [str(place) for place in range(len(rows[0]))]
    return names, Dialect(delimiter, quote, header=False), start


def members(first: bytes, *, is_all: bool) -> list[str]:
    """Return the names of the members that the first objects of JSON Lines have, in the order they come.

    Raises:
        UnreadableFileError: None of them is an object.
    """
    records = cut(first, None, is_end=is_all)
    names: dict[str, None] = {}
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    reason = "no whole line"
    for row in range(min(SAMPLE_ROWS, len(records))):
        try:
            names.update(dict.fromkeys(decoder.decode(first[records.starts[row] : records.stops[row]])))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            reason = reason if row else str(fault)
    if not names:
        raise UnreadableFileError(f"JSON Lines was expected, an object a line: {reason}", row=0)
    return list(names)


def _delimiter(first: bytes, quote: str) -> str:
    """Return the one with which most rows have equally many fields, of several the one with most fields."""
    best, most = ",", (0, 0)
    for delimiter in _DELIMITERS:
        dialect = Dialect(delimiter, quote)
        try:
            records = cut(first, dialect, is_end=False)
        except UnreadableFileError:
            continue
        counts = [
            len(_fields(first[start:stop], dialect, errors="replace"))
            for start, stop in zip(records.starts[:SAMPLE_ROWS], records.stops[:SAMPLE_ROWS], strict=True)
        ] or [len(_fields(first, dialect, errors="replace"))]
        agreeing = sum(count == counts[0] for count in counts) * 10 // len(counts)
        if counts[0] > 1 and (agreeing, counts[0]) > most:
            best, most = delimiter, (agreeing, counts[0])
    return best


def _fields(record: bytes, dialect: Dialect, errors: str = "strict") -> list[str]:
    try:
        text = record.decode(errors=errors)
    except UnicodeDecodeError as fault:
        raise UnreadableFileError("text in UTF-8 was expected, got other bytes", row=0) from fault
    try:
        rows: Any = csv.reader([text], delimiter=dialect.delimiter, quotechar=dialect.quote)
        return next(rows, [])
    except csv.Error as fault:
        raise UnreadableFileError(f"the first row cannot be read: {fault}", row=0) from fault


def _is_header(rows: list[list[str]]) -> bool:
    """Return whether no field of the first record is a number, and each has a text."""
    return all(field.strip() and not _is_number(field) for field in rows[0])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
