"""CSV to rows.

arro3 reads a batch at once and is the judge of what is a number: it takes all of a batch or nothing, so a
batch that it refuses is halved until the rows at fault are alone. Only why they are at fault is found here.
A float reads as JSON's do, as the float64 nearest to it first.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import arro3.core as arrow
import msgspec
import numpy as np
from arro3.core import DataType
from arro3.io import read_csv as read_arrow

from hotplate.batch.features import fit, range_words
from hotplate.batch.layout import Dialect
from hotplate.batch.report import RowError
from hotplate.batch.rows import Block, groups_of, others, selected
from hotplate.batch.tables import TEXT, ArrowError, arrow_faults, bytes_of, nulls_of, numbers_of, whole
from hotplate.batch.text_rows import text_batches
from hotplate.batch.values import arrays_of, type_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.batch.features import Array, Feature
    from hotplate.batch.layout import Chunk, Layout, Source
    from hotplate.batch.text_rows import TextBatch

__all__ = ["read_csv"]

_BOOLEANS = {b"true": True, b"false": False, b"1": True, b"0": False}


def read_csv(
    source: Source, layout: Layout, chunk: Chunk, features: list[Feature], batch_rows: int
) -> Iterator[Block]:
    """Yield a chunk's rows; what is kept of them is text, as one Arrow array a column.

    Raises:
        UnreadableFileError: They are not as many as the chunk says.
        StoreError: They could not be had.
    """
    reader = _Reader(layout, features)
    for batch in text_batches(source, layout, chunk, batch_rows):
        yield reader.decode(batch)


class _Reader:
    def __init__(self, layout: Layout, features: list[Feature]) -> None:
        self._layout, self._features = layout, features
        self._dialect = layout.dialect or Dialect()
        self._types: dict[int, tuple[Feature, DataType]] = {}
        for feature in features:
            for place in feature.columns:
                self._types[place] = (feature, _arrow_type(feature))
        kinds = [
            self._types[place][1] if place in self._types else None for place in range(len(layout.columns))
        ]
        # A column that is kept is read as text; what nobody reads, not at all.
        self._schema = arrow.Schema(
            [
                arrow.Field(str(place), TEXT if place in layout.keep else kind or DataType.null())
                for place, kind in enumerate(kinds)
            ]
        )

    def decode(self, batch: TextBatch) -> Block:
        """Return the rows of a batch."""
        first_row = batch.rest.first_row
        errors = batch.too_long()
        places = others(len(batch), [error.row - first_row for error in errors])
        table, places = self._parse(batch, places, errors)
        bad: dict[int, RowError] = {}
        inputs: dict[str, Any] = {}
        for feature in self._features:
            inputs[feature.name], why = self._values(table, feature)
            for at, (field, reason) in why.items():
                bad.setdefault(at, RowError(first_row + int(places[at]), reason, field))
        errors.extend(bad.values())
        good = others(len(places), bad)
        if bad:
            inputs = selected(inputs, good)
        kept = self._kept(table, places, len(batch))
        return Block(first_row, len(batch), groups_of(places[good], inputs), kept, batch.rest, errors)

    def _parse(self, batch: TextBatch, places: Array, errors: list[RowError]) -> tuple[arrow.Table, Array]:
        """Return the rows that can be read, and their places; the others are errors."""
        table = self._try(batch, places)
        if table is None:
            bad = list(self._faulty(batch, places))
            errors.extend(self._explain(batch, int(place)) for place in bad)
            places = np.setdiff1d(places, bad)
            table = self._try(batch, places)
            if table is None:
                raise ArrowError("rows that can be read alone cannot be read together")
        return table, places

    def _try(self, batch: TextBatch, places: Array) -> arrow.Table | None:
        """Return the rows at `places`; None if one of them cannot be read."""
        if not len(places):
            return self._schema.empty_table()
        try:
            with arrow_faults():
                table = read_arrow(
                    bytes(batch.text(places)),
                    self._schema,
                    has_header=False,
                    batch_size=len(places),
                    delimiter=self._dialect.delimiter,
                    quote=self._dialect.quote,
                ).read_all()
        except ArrowError:
            return None
        return table if table.num_rows == len(places) else None

    def _faulty(self, batch: TextBatch, places: Array) -> Iterator[int]:
        """Yield the places of the rows that cannot be read, of which there is one."""
        if len(places) == 1:
            yield int(places[0])
            return
        middle = len(places) // 2
        for half in (places[:middle], places[middle:]):
            if self._try(batch, half) is None:
                yield from self._faulty(batch, half)

    def _explain(self, batch: TextBatch, place: int) -> RowError:
        """Return what is wrong with a row that arro3 refuses."""
        row = batch.rest.first_row + place
        try:
            text = batch.line(place).decode()
        except UnicodeDecodeError:
            return RowError(row, "expected text in UTF-8, got other bytes")
        lines = csv.reader([text], delimiter=self._dialect.delimiter, quotechar=self._dialect.quote)
        try:
            fields = next(lines, [""])
        except csv.Error:
            return RowError(
                row, f"expected fields of at most {csv.field_size_limit():,} characters, got a longer"
            )
        if len(fields) != len(self._layout.columns):
            return RowError(row, f"expected {len(self._layout.columns)} fields, got {len(fields)}")
        for place_of, (feature, _) in sorted(self._types.items()):
            if place_of not in self._layout.keep and not self._is_number(fields[place_of], place_of):
                return RowError(
                    row, f"expected {_words(feature)}, got other text", self._layout.columns[place_of]
                )
        return RowError(row, "cannot be read")

    def _is_number(self, text: str, place: int) -> bool:
        alone = arrow.Array([text], type=TEXT)
        try:
            with arrow_faults():
                return not text or not alone.cast(self._types[place][1]).null_count
        except ArrowError:
            return False

    def _values(self, table: arrow.Table, feature: Feature) -> tuple[Any, dict[int, tuple[str, str]]]:
        """Return an input's values of all rows; and for each row that is unfit, in which column and why."""
        why: dict[int, tuple[str, str]] = {}
        if feature.whole:
            name = self._layout.columns[feature.columns[0]]
            values, reasons = _parse_json(bytes_of(whole(table.column(feature.columns[0]))), feature)
            return values, {row: (name, reason) for row, reason in reasons.items()}
        columns = []
        for place in feature.columns:
            values, reasons = self._column(whole(table.column(place)) if table.num_rows else None, feature)
            columns.append(values)
            name = self._layout.columns[place]
            for row, reason in reasons.items():
                why.setdefault(row, (name, reason))
        stacked = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
        return np.ascontiguousarray(stacked).reshape(table.num_rows, *feature.inner), why

    def _column(self, array: arrow.Array | None, feature: Feature) -> tuple[Array, dict[int, str]]:
        """Return one element of all rows; and for each row that is unfit, why."""
        if array is None:
            return np.empty(0, feature.datatype.dtype), {}
        if feature.is_text:
            return bytes_of(array), {}
        if feature.datatype.name == "BOOL":
            texts = [text.lower() for text in bytes_of(array)]
            wrong = [row for row, text in enumerate(texts) if text not in _BOOLEANS]
            values = np.array([_BOOLEANS.get(text, False) for text in texts], np.bool_)
            return values, dict.fromkeys(wrong, "expected true or false, got other text")
        if array.type == TEXT:
            array = array.cast(_arrow_type(feature))
        why: dict[int, str] = {}
        if (nulls := nulls_of(array)) is not None:
            why = dict.fromkeys(np.flatnonzero(nulls).tolist(), f"expected {_words(feature)}, got nothing")
        narrow, misfits = fit(numbers_of(array), feature.datatype)
        if misfits is not None:
            for row in np.flatnonzero(misfits).tolist():
                why.setdefault(row, f"expected {range_words(feature.datatype)}, got another")
        return narrow, why

    def _kept(self, table: arrow.Table, places: Array, rows: int) -> list[arrow.Array]:
        """Return what is kept by place in the batch; null for rows that could not be read."""
        columns = [whole(table.column(place)) for place in self._layout.keep] if table.num_rows else []
        if len(places) == rows:
            return columns
        index = np.zeros(rows, np.int64)
        index[places] = np.arange(len(places))  # rows that were not read get any text: nobody asks for theirs
        return [column.take(arrow.Array(index)) for column in columns]


def _arrow_type(feature: Feature) -> DataType:
    if feature.whole or feature.is_text or feature.datatype.name == "BOOL":
        return TEXT
    if feature.datatype.dtype.kind == "f":
        return DataType.float64()
    return DataType.uint64() if feature.datatype.name == "UINT64" else DataType.int64()


def _words(feature: Feature) -> str:
    return "a number" if feature.datatype.dtype.kind == "f" else f"a whole number for {feature.datatype.name}"


def _parse_json(texts: Array, feature: Feature) -> tuple[Any, dict[int, str]]:
    decoder = msgspec.json.Decoder(type_of(feature))
    values: list[Any] = []
    read: list[int] = []
    why: dict[int, str] = {}
    for row, text in enumerate(texts):
        try:
            values.append(decoder.decode(text))
            read.append(row)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            why[row] = f"JSON: {fault}".replace(" - at `$", " - at `")
    arrays, reasons = arrays_of(values, feature)
    why.update({read[at]: reason for at, reason in reasons.items()})
    if len(read) == len(texts):
        return arrays, why
    if isinstance(arrays, np.ndarray):
        spread = np.zeros((len(texts), *arrays.shape[1:]), arrays.dtype)
        spread[read] = arrays
        return spread, why
    empty = np.zeros((0,) * len(feature.inner), feature.datatype.dtype)
    uneven = [empty] * len(texts)
    for row, array in zip(read, arrays, strict=True):
        uneven[row] = array
    return uneven, why
