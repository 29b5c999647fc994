"""A Parquet file's footer: its columns, its row groups, and files made of some of either.

arro3 reads whole files and nothing less, so a part of one is given to it as a file of its own: the bytes of
the columns and row groups that are wanted, and a footer that says where they are now. Nothing is decoded
here, and a worker reads no more of a footer than the schema and its own groups, whatever the file's size.

Source: Apache Parquet, `parquet.thrift`; the numbers of its fields have its names here.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.batch import thrift
from hotplate.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hotplate.batch.layout import Source
    from hotplate.batch.thrift import Struct

__all__ = [
    "MAGIC",
    "Footer",
    "Group",
    "damage",
    "footer_bytes",
    "move",
    "read_footer",
    "read_structs",
    "span_of",
    "top_columns",
]

MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_TAIL = struct.Struct("<I4s")
# The longest footer, in bytes. Ours: some 100,000 row groups of 30 columns.
MAX_FOOTER_BYTES = 512 * 2**20

# FileMetaData
VERSION, SCHEMA, NUM_ROWS, ROW_GROUPS, KEY_VALUE, CREATED_BY, COLUMN_ORDERS = 1, 2, 3, 4, 5, 6, 7
# SchemaElement
NAME, NUM_CHILDREN = 4, 5
# RowGroup
COLUMNS, TOTAL_BYTE_SIZE, GROUP_ROWS, FILE_OFFSET, TOTAL_COMPRESSED, ORDINAL = 1, 2, 3, 5, 6, 7
# ColumnChunk
CHUNK_FILE_PATH, CHUNK_FILE_OFFSET, META_DATA, CHUNK_INDEXES = 1, 2, 3, (4, 5, 6, 7)
# ColumnMetaData
COMPRESSED_SIZE, DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE, BLOOM = 7, 9, 10, 11, (14, 15)


@dataclass(frozen=True, slots=True)
class Group:
    """One row group, as the footer has it: where its description lies in the file, and its rows."""

    start: int
    stop: int
    rows: int
    data_start: int
    data_stop: int


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file's footer says.

    Attributes:
        schema: Elements of the schema, the root first, depth first.
        columns: Names of the table's columns.
        schema_span: Where they lie in the file.
        groups: The row groups.
        rows: How many rows the file has.
        data_stop: Where the footer begins.
    """

    schema: list[Struct]
    columns: list[str]
    schema_span: tuple[int, int]
    groups: list[Group]
    rows: int
    data_stop: int


def read_footer(source: Source) -> Footer:
    """Return what a file's footer says.

    Raises:
        UnreadableFileError: It is no Parquet file, is cut off, or encrypted.
        StoreError: It could not be had.
    """
    size = source.size
    if size < len(MAGIC) + _TAIL.size or bytes(source.read(0, len(MAGIC))) not in (MAGIC, _ENCRYPTED):
        raise UnreadableFileError("a Parquet file was expected, which begins with PAR1", byte=0)
    length, magic = _TAIL.unpack(source.read(size - _TAIL.size, size))
    if magic == _ENCRYPTED:
        raise UnreadableFileError("the Parquet file is encrypted")
    if magic != MAGIC:
        raise UnreadableFileError("the Parquet file is cut off: it does not end with PAR1", byte=size)
    start = size - _TAIL.size - length
    if start < len(MAGIC) or length > MAX_FOOTER_BYTES:
        raise UnreadableFileError(f"broken Parquet: a footer of {length:,} bytes", byte=size - _TAIL.size)
    raw = bytes(source.read(start, size - _TAIL.size))
    with damage(start):
        return _footer(raw, start)


@contextmanager
def damage(byte: int) -> Iterator[None]:
    """Make what Python says of a struct that is not what it should be ours.

    Raises:
        UnreadableFileError: A field is missing, of another type, or without sense.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as fault:
        raise UnreadableFileError(f"broken Parquet: {type(fault).__name__}: {fault}", byte=byte) from fault


def read_structs(source: Source, span: tuple[int, int]) -> list[Struct]:
    """Return the structs in bytes `span` of a file, one behind the other.

    Raises:
        UnreadableFileError: There are none.
        StoreError: They could not be had.
    """
    raw, at, found = bytes(source.read(*span)), 0, []
    with damage(span[0]):
        while at < len(raw):
            one, at = thrift.decode(raw, at)
            found.append(one)
    return found


def top_columns(schema: Sequence[Struct]) -> list[tuple[str, int, int, int]]:
    """Return of each column its name, where its elements begin and end, and how many leaves it has."""
    columns, at = [], 1
    while at < len(schema):
        stop, leaves = _subtree(schema, at)
        columns.append((schema[at][NAME][1].decode(), at, stop, leaves))
        at = stop
    return columns


def span_of(group: Struct) -> tuple[int, int]:
    """Return from where to where a row group's bytes lie."""
    spans = [column_span(chunk) for chunk in group[COLUMNS][1][1]]
    return min(start for start, _ in spans), max(stop for _, stop in spans)


def column_span(chunk: Struct) -> tuple[int, int]:
    """Return from where to where a column chunk's bytes lie.

    Raises:
        ValueError: They lie in another file.
    """
    if CHUNK_FILE_PATH in chunk or META_DATA not in chunk:
        raise ValueError("a column that lies in another file")
    meta = chunk[META_DATA][1]
    start: int = meta[DATA_PAGE][1]
    # Some writers say 0 where there is no dictionary.
    if meta.get(DICTIONARY_PAGE, (0, 0))[1]:
        start = min(start, meta[DICTIONARY_PAGE][1])
    return start, start + meta[COMPRESSED_SIZE][1]


def move(chunk: Struct, by: int) -> Struct:
    """Return a column chunk whose bytes lie `by` further on; without indexes, which lie elsewhere."""
    meta = {number: each for number, each in chunk[META_DATA][1].items() if number not in BLOOM}
    for number in (DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE):
        if number in meta and meta[number][1]:
            meta[number] = (meta[number][0], meta[number][1] + by)
    moved = {number: each for number, each in chunk.items() if number not in CHUNK_INDEXES}
    moved[META_DATA] = (thrift.STRUCT, meta)
    moved[CHUNK_FILE_OFFSET] = (thrift.I64, 0)
    return moved


def footer_bytes(schema: list[Struct], groups: list[Struct]) -> bytes:
    """Return the end of a file: its footer, the length of that, and the mark."""
    for ordinal, group in enumerate(groups):
        if ORDINAL in group and ordinal < 2**15:
            group[ORDINAL] = (group[ORDINAL][0], ordinal)
        elif ORDINAL in group:
            del group[ORDINAL]
    raw = thrift.encode(
        {
            VERSION: (thrift.I32, 1),
            SCHEMA: thrift.listed(thrift.STRUCT, schema),
            NUM_ROWS: (thrift.I64, sum(group[GROUP_ROWS][1] for group in groups)),
            ROW_GROUPS: thrift.listed(thrift.STRUCT, groups),
            CREATED_BY: (thrift.BINARY, b"hotplate"),
        }
    )
    return raw + _TAIL.pack(len(raw), MAGIC)


def _footer(raw: bytes, start: int) -> Footer:
    schema: list[Struct] = []
    places: list[int] = []
    groups: list[Group] = []
    rows = None
    # A group at a time: their descriptions, decoded, are a hundred times as long as they are.
    for number, value, low, high in thrift.walk(raw, (SCHEMA, ROW_GROUPS)):
        if number == SCHEMA:
            schema.append(value)
            places += (start + low, start + high)
        elif number == ROW_GROUPS:
            groups.append(_group(value, start + low, start + high, start))
        elif number == NUM_ROWS:
            rows = value
    if not schema or rows != sum(group.rows for group in groups):
        raise ValueError(f"{rows} rows, and row groups of {sum(group.rows for group in groups)}")
    columns = [name for name, *_ in top_columns(schema)]
    return Footer(schema, columns, (places[0], places[-1]), groups, rows or 0, start)


def _group(group: Struct, start: int, stop: int, end: int) -> Group:
    low, high = span_of(group) if group[COLUMNS][1][1] else (len(MAGIC), len(MAGIC))
    rows: int = group[GROUP_ROWS][1]
    if low < len(MAGIC) or high > end or rows < 0:
        raise ValueError("a row group that does not lie in the file")
    return Group(start, stop, rows, low, high)


def _subtree(schema: Sequence[Struct], at: int) -> tuple[int, int]:
    """Return where the element at `at` ends, and how many leaves it has."""
    children = schema[at].get(NUM_CHILDREN, (0, 0))[1]
    if not children:
        return at + 1, 1
    stop, leaves = at + 1, 0
    for _ in range(children):
        stop, more = _subtree(schema, stop)
        leaves += more
    return stop, leaves
