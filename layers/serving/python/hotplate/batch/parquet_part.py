"""Some columns of some row groups of a Parquet file, as a file of its own: what arro3 is given to read."""

from __future__ import annotations

import io
from bisect import bisect_right
from typing import TYPE_CHECKING

import arro3.core as arrow
from arro3.io import read_parquet as read_arrow

from hotplate.batch.parquet_file import (
    COLUMNS,
    MAGIC,
    NUM_CHILDREN,
    column_span,
    damage,
    footer_bytes,
    move,
    read_structs,
    top_columns,
)
from hotplate.batch.seekable import Seekable, SourceFile
from hotplate.batch.tables import ArrowError, arrow_faults
from hotplate.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.batch.layout import Layout, Source
    from hotplate.batch.thrift import Struct

__all__ = ["kept_schema", "part_of", "schema_of"]

# Row groups up to so many bytes are read at once; of longer ones a window for each column. Ours: what S3
# gives in half a second.
WHOLE_BYTES = 48 * 2**20


def part_of(
    source: Source, layout: Layout, groups: Sequence[tuple[int, int]], wanted: Sequence[int]
) -> io.RawIOBase:
    """Return the columns at `wanted`, ascending, of row groups, as a file of its own.

    What is wanted stays at its place; between it there is nothing, and behind the original's end is a new
    footer.

    Args:
        source: The whole file.
        layout: Of it.
        groups: Where the descriptions of the row groups lie, one behind the other or not.
        wanted: Places of columns.

    Raises:
        UnreadableFileError: The file is not what its footer says.
        StoreError: It could not be had.
    """
    if layout.schema is None:
        raise UnreadableFileError("the layout is of no Parquet file")
    schema = read_structs(source, layout.schema)
    described = [group for span in groups for group in read_structs(source, span)]
    spans: list[tuple[int, int]] = []
    with damage(layout.schema[0]):
        picked, leaves = _pick(schema, wanted)
        for group in described:
            kind, (of, chunks) = group[COLUMNS]
            chunks = [move(each, 0) for at, each in enumerate(chunks) if at in leaves]
            spans += [column_span(each) for each in chunks]
            group[COLUMNS] = (kind, (of, chunks))
        footer = footer_bytes(picked, described)
    if any(not 0 <= start <= stop <= source.size for start, stop in spans):
        raise UnreadableFileError(
            "broken Parquet: a column that does not lie in the file", byte=layout.schema[0]
        )
    if sum(stop - start for start, stop in spans) > WHOLE_BYTES:
        return SourceFile(_Patched(source, footer), windows=len(wanted) + 2)
    pieces = [(start, memoryview(source.read(start, stop))) for start, stop in _joined(spans)]
    return _Pieces([*pieces, (source.size, memoryview(footer))])


def schema_of(source: Source, span: tuple[int, int]) -> arrow.Schema:
    """Return a file's columns as Arrow has them.

    Args:
        source: The file.
        span: Where its schema lies.

    Raises:
        UnreadableFileError: The file is not what its footer says.
        StoreError: It could not be had.
    """
    with damage(span[0]):
        raw = MAGIC + footer_bytes(read_structs(source, span), [])
    try:
        with arrow_faults():
            return read_arrow(raw).schema
    except ArrowError as fault:
        raise UnreadableFileError(f"broken Parquet: {fault}") from fault


def kept_schema(source: Source, layout: Layout) -> arrow.Schema | None:
    """Return the columns that are kept, as Arrow has them.

    Raises:
        UnreadableFileError: The file is not what its footer says.
        StoreError: It could not be had.
    """
    if layout.schema is None:
        return None
    schema = schema_of(source, layout.schema)
    return arrow.Schema([schema.field(place) for place in layout.keep])


class _Patched:
    """A source with other bytes at its end: the original's columns where they were, and a new footer."""

    def __init__(self, source: Source, footer: bytes) -> None:
        self._source, self._footer = source, footer

    @property
    def size(self) -> int:
        return self._source.size + len(self._footer)

    def read(self, start: int, stop: int) -> bytes:
        size = self._source.size
        own = bytes(self._source.read(start, min(stop, size))) if start < size else b""
        return own + self._footer[max(0, start - size) : max(0, stop - size)]


def _pick(schema: list[Struct], wanted: Sequence[int]) -> tuple[list[Struct], set[int]]:
    """Return the schema of some columns, and the places of their leaves."""
    root = dict(schema[0])
    root[NUM_CHILDREN] = (root[NUM_CHILDREN][0], len(wanted))
    picked, leaves, leaf = [root], set[int](), 0
    for place, (_, start, stop, count) in enumerate(top_columns(schema)):
        if place in wanted:
            picked.extend(schema[start:stop])
            leaves.update(range(leaf, leaf + count))
        leaf += count
    return picked, leaves


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same bytes in as few spans as they lie in, ascending."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and joined[-1][1] >= start:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


class _Pieces(Seekable):
    """Pieces of a file, each at its place; nothing is copied until it is read, and then only that."""

    def __init__(self, pieces: list[tuple[int, memoryview]]) -> None:
        """Take them, ascending."""
        super().__init__(pieces[-1][0] + len(pieces[-1][1]))
        self._pieces = pieces
        self._starts = [start for start, _ in pieces]

    def read(self, size: int = -1, /) -> bytes:
        """Return what lies here, `size` bytes at most, less at the end of a piece."""
        number = bisect_right(self._starts, self._at) - 1
        start, piece = self._pieces[max(0, number)]
        inside = self._at - start
        data = bytes(piece[inside : inside + size] if size >= 0 else piece[inside:]) if inside >= 0 else b""
        self._at += len(data)
        return data
