"""Some columns of some row groups of a Parquet file, as a file of its own: what arro3 is given to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import arro3.core as arrow
from arro3.io import read_parquet as read_arrow

from hotplate.batch.parquet_file import (
    COLUMNS,
    MAGIC,
    NUM_CHILDREN,
    column_span,
    footer_bytes,
    move,
    read_structs,
    top_columns,
)
from hotplate.batch.seekable import SourceFile
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
) -> SourceFile | bytes:
    """Return the columns at `wanted`, ascending, of row groups, as a file of its own.

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
    picked, leaves = _pick(schema, wanted)
    described = [group for span in groups for group in read_structs(source, span)]
    try:
        chunks = [
            [each for at, each in enumerate(group[COLUMNS][1][1]) if at in leaves] for group in described
        ]
        spans = [column_span(each) for group in chunks for each in group]
    except (KeyError, ValueError) as fault:
        raise UnreadableFileError(f"broken Parquet: {fault}") from fault
    shifts, pieces = _pack(spans)
    is_whole = sum(stop - start for start, stop in pieces) <= WHOLE_BYTES
    numbers = iter(shifts)
    for group, each in zip(described, chunks, strict=True):
        moved = [move(one, next(numbers) if is_whole else 0) for one in each]
        group[COLUMNS] = (group[COLUMNS][0], (group[COLUMNS][1][0], moved))
    footer = footer_bytes(picked, described)
    if is_whole:
        return b"".join([MAGIC, *(source.read(start, stop) for start, stop in pieces), footer])
    return SourceFile(_Patched(source, footer), windows=len(wanted) + 2)


def schema_of(source: Source, layout_schema: tuple[int, int]) -> arrow.Schema:
    """Return a file's columns as Arrow has them.

    Raises:
        UnreadableFileError: The file is not what its footer says.
        StoreError: It could not be had.
    """
    raw = MAGIC + footer_bytes(read_structs(source, layout_schema), [])
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


def _pack(spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
    """Return by how much each span moves if all lie behind each other, and what is to be read for that."""
    order = sorted(range(len(spans)), key=lambda at: spans[at])
    shifts, place = [0] * len(spans), len(MAGIC)
    pieces: list[tuple[int, int]] = []
    for at in order:
        start, stop = spans[at]
        shifts[at] = place - start
        place += stop - start
        if pieces and pieces[-1][1] == start:
            pieces[-1] = (pieces[-1][0], stop)
        else:
            pieces.append((start, stop))
    return shifts, pieces
