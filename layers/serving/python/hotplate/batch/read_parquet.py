"""Parquet to rows: the columns that are wanted, of the row groups that are wanted, as NumPy's own numbers.

Nothing is cast but numbers: a float column for a whole-number input, a text for a number, is refused when the
file is looked at, not row by row. Nulls are refused row by row.
"""

from __future__ import annotations

import io
from collections import deque
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any, cast

import arro3.core as arrow
import msgspec
import numpy as np
from arro3.core import DataType
from arro3.io import read_parquet as read_arrow

from hotplate.batch.careful import ends_its_process
from hotplate.batch.features import fit, is_fit_kind, range_words
from hotplate.batch.parquet_part import part_of
from hotplate.batch.report import RowError
from hotplate.batch.rows import Block, groups_of, others, selected
from hotplate.batch.seekable import SourceFile
from hotplate.batch.tables import (
    ArrowError,
    arrow_faults,
    bits_of,
    bytes_of,
    nulls_of,
    numbers_of,
    type_words,
)
from hotplate.errors import UnfitFileError, UnreadableFileError
from hotplate.limits import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hotplate.batch.features import Array, Feature
    from hotplate.batch.layout import Chunk, Layout, Source

__all__ = ["check_types", "read_parquet"]

# Of numbers so many bytes are decoded at once. Ours: it takes two thirds of the time that 4,096 rows of 31
# columns at once took, and the first rows are there soon.
DECODED_BYTES = 4 * 2**20


def read_parquet(
    source: Source,
    layout: Layout,
    chunk: Chunk,
    features: list[Feature],
    batch_rows: int,
    *,
    careful: bool = False,
) -> Iterator[Block]:
    """Yield a chunk's rows; what is kept of them is as Arrow has it, one array a column.

    Args:
        source: The file.
        layout: Of it.
        chunk: Of it.
        features: The inputs.
        batch_rows: Rows of a block.
        careful: Whether a child tries first what is held in memory: a process has ended before.

    Raises:
        UnreadableFileError: The file is not what its footer says, or reading it would end the process.
        UnfitFileError: A column is not of a type that fits its input.
        StoreError: It could not be had.
    """
    wanted = sorted({place for feature in features for place in feature.columns} | set(layout.keep))
    file = part_of(source, layout, chunk.groups, wanted)
    # A larger one is read from its source meanwhile, which a child cannot do.
    if careful and not isinstance(file, SourceFile):
        if ends_its_process(lambda: deque(_batches(file, batch_rows, chunk), maxlen=0)):
            raise UnreadableFileError(
                "broken Parquet: pages that end the process which reads them", row=chunk.first_row
            )
        file.seek(0)
    done = -chunk.skip
    for batch in _batches(file, batch_rows, chunk):
        low, high = max(0, -done), min(batch.num_rows, chunk.rows - done)
        if low < high:
            decoded = _Decoded({place: batch.column(at) for at, place in enumerate(wanted)}, layout, features)
            for first in range(low, high, batch_rows):
                rest = msgspec.structs.replace(
                    chunk,
                    first_row=chunk.first_row + done + first,
                    rows=chunk.rows - done - first,
                    skip=chunk.skip + done + first,
                )
                yield decoded.block(first, min(first + batch_rows, high), rest)
        done += batch.num_rows
        if done >= chunk.rows:
            return
    raise UnreadableFileError(
        "broken Parquet: fewer rows than its footer says", row=chunk.first_row + max(0, done)
    )


def check_types(schema: arrow.Schema, features: Sequence[Feature], names: Sequence[str]) -> None:
    """Check that columns are of types that fit their inputs.

    Raises:
        UnfitFileError: Naming the first that is not.
    """
    for feature in features:
        for place in feature.columns:
            kind = schema.field(place).type
            if not _is_fit(kind, feature):
                takes = f"input {feature.name!r} takes {_words(feature)}"
                raise UnfitFileError(f"column {names[place]!r} is {type_words(kind)}; {takes}")


def _batches(file: io.RawIOBase, batch_rows: int, chunk: Chunk) -> Iterator[arrow.RecordBatch]:
    try:
        with arrow_faults():
            reader = read_arrow(cast("IO[bytes]", file), batch_size=batch_rows)
            if (most := _rows_at_once(reader.schema, batch_rows)) > batch_rows:
                reader = read_arrow(cast("IO[bytes]", file), batch_size=most)
        while True:
            with arrow_faults():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch
    except ArrowError as fault:
        raise UnreadableFileError(f"broken Parquet: {fault}", row=chunk.first_row) from fault


def _rows_at_once(schema: arrow.Schema, batch_rows: int) -> int:
    """Return how many rows are decoded at once: more than a batch if all are numbers, whose size is known."""
    bits = [bits_of(schema.field(at).type) for at in range(len(schema))]
    if not all(bits):
        return batch_rows
    return batch_rows * max(1, DECODED_BYTES * 8 // (sum(bits) * batch_rows))


class _Decoded:
    """Rows that were decoded at once, of which blocks are made."""

    def __init__(self, arrays: dict[int, arrow.Array], layout: Layout, features: list[Feature]) -> None:
        """Take them by the places of their columns."""
        self._features = features
        self._kept = [arrays[place] for place in layout.keep]
        self._why: dict[int, tuple[str, str]] = {}
        self._values = {
            feature.name: [
                (_lists if feature.whole else _elements)(
                    arrays[place], layout.columns[place], feature, self._why
                )
                for place in feature.columns
            ]
            for feature in features
        }

    def block(self, low: int, high: int, rest: Chunk) -> Block:
        """Return the rows from `low` to `high`."""
        why = {row - low: told for row, told in self._why.items() if low <= row < high}
        errors = [RowError(rest.first_row + row, reason, field) for row, (field, reason) in why.items()]
        good = others(high - low, why)
        inputs = {feature.name: self._input(feature, low, high) for feature in self._features}
        if why:
            inputs = selected(inputs, good)
        kept = [array.slice(low, high - low) for array in self._kept]
        return Block(rest.first_row, high - low, groups_of(good, inputs), kept, rest, errors)

    def _input(self, feature: Feature, low: int, high: int) -> Any:
        """Return an input's values of some rows: an array, or as many as rows where its size is open."""
        values = self._values[feature.name]
        if feature.whole:
            return values[0][low:high]
        if len(values) == 1:
            return values[0][low:high].reshape(-1, *feature.inner)
        stacked = np.empty((high - low, len(values)), feature.datatype.dtype)
        for at, column in enumerate(values):
            stacked[:, at] = column[low:high]
        return stacked.reshape(-1, *feature.inner)


def _elements(array: arrow.Array, name: str, feature: Feature, why: dict[int, tuple[str, str]]) -> Array:
    if (nulls := nulls_of(array)) is not None:
        for row in np.flatnonzero(nulls).tolist():
            why.setdefault(row, (name, f"expected {_words(feature)}, got null"))
    if feature.is_text:
        texts = bytes_of(array)
        for row in np.flatnonzero([len(text) > MAX_BODY_BYTES for text in texts]).tolist():
            reason = f"expected at most {MAX_BODY_BYTES:,} bytes in a row, got {len(texts[row]):,}"
            why.setdefault(row, (name, reason))
        return texts
    narrow, misfits = fit(numbers_of(array), feature.datatype)
    if misfits is not None:
        for row in np.flatnonzero(misfits).tolist():
            why.setdefault(row, (name, f"expected {range_words(feature.datatype)}, got another"))
    return narrow


def _lists(array: arrow.Array, name: str, feature: Feature, why: dict[int, tuple[str, str]]) -> Any:
    """Return the values of a column of lists, of one axis: [N, size], or N arrays where that is open."""
    rows = len(array)
    nulls = nulls_of(array)
    offsets = _offsets(array)
    flat = arrow.Array.from_arrow(arrow.list_flatten(array))
    before: dict[int, tuple[str, str]] = {}
    elements = _elements(flat, name, feature, before)
    sizes = np.diff(offsets)
    for place in before:
        row = int(np.searchsorted(offsets, place, side="right")) - 1
        why.setdefault(row, before[place])
    if nulls is not None:
        for row in np.flatnonzero(nulls).tolist():
            why.setdefault(row, (name, f"expected {_words(feature)}, got null"))
    if feature.size is None:
        return [elements[low:high] for low, high in pairwise(offsets)]
    for row in np.flatnonzero(sizes != feature.size).tolist():
        why.setdefault(row, (name, f"expected {feature.size} elements, got {int(sizes[row])}"))
    if (sizes == feature.size).all():
        return elements.reshape(rows, *feature.inner)
    values = np.zeros((rows, feature.size), elements.dtype)
    for row in np.flatnonzero(sizes == feature.size).tolist():
        values[row] = elements[offsets[row] : offsets[row + 1]]
    return values.reshape(rows, *feature.inner)


def _offsets(array: arrow.Array) -> Array:
    if (size := array.type.list_size) is not None:
        return np.arange(len(array) + 1, dtype=np.int64) * size
    return arrow.Array.from_arrow(arrow.list_offsets(array)).to_numpy().astype(np.int64)


def _is_fit(kind: DataType, feature: Feature) -> bool:
    if feature.whole:
        if len(feature.inner) != 1 and feature.size is None:
            return False
        is_list = DataType.is_list(kind) or DataType.is_large_list(kind) or DataType.is_fixed_size_list(kind)
        return is_list and kind.value_type is not None and _is_element(kind.value_type, feature)
    return _is_element(kind, feature)


def _is_element(kind: DataType, feature: Feature) -> bool:
    if feature.is_text:
        texts = (DataType.is_unicode, DataType.is_large_unicode, DataType.is_binary, DataType.is_large_binary)
        return any(is_so(kind) for is_so in (*texts, DataType.is_string_view, DataType.is_binary_view))
    if not (DataType.is_boolean(kind) or DataType.is_integer(kind) or DataType.is_floating(kind)):
        return False
    return is_fit_kind(arrow.Array([], type=kind).to_numpy().dtype, feature.datatype)


def _words(feature: Feature) -> str:
    kinds = {"O": "texts", "b": "booleans", "f": "numbers"}
    words = kinds.get(feature.datatype.dtype.kind, "whole numbers")
    return f"lists of {words}" if feature.whole else words
