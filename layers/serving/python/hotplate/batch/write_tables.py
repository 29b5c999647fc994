"""Predictions as parts: CSV and JSON Lines without a head, Parquet of one row group, NPZ of all outputs.

Numbers are written by arro3 in the shortest form that reads back as the same number of its datatype, so a
text holds the very value that the endpoint answers. FP16 is written as FP32, which holds it exactly.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import TYPE_CHECKING, Any, Protocol

import arro3.core as arrow
import numpy as np
import orjson
from arro3.core import DataType
from arro3.io import write_csv, write_ndjson, write_parquet
from numpy.lib import format as npy

from hotplate.batch.answers import distinct, is_spread, specs_of
from hotplate.batch.features import element_names
from hotplate.batch.layout import Dialect
from hotplate.batch.tables import TEXT, text_array
from hotplate.errors import UnfitFileError
from hotplate.protocol.datatypes import from_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.batch.answers import Array
    from hotplate.batch.layout import Layout, Sink
    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.types import MetadataTensor

__all__ = ["Writer", "array_bytes", "parquet_bytes", "writer_of"]


class Writer(Protocol):
    """Takes predictions in order, and writes a part."""

    def add(self, kept: Sequence[Any], places: Array, rows: Array, outputs: Mapping[str, Array]) -> None:
        """Take the answers of some rows.

        Args:
            kept: What is kept of their block, by column, as the format's reader gives it.
            places: int64 [N], of the rows in the block.
            rows: int64 [N], their numbers in the file.
            outputs: By name, [N, ...].
        """
        ...

    def finish(self) -> None:
        """Write what is left."""
        ...


def writer_of(layout: Layout, manifest: Manifest, sink: Sink, kept: arrow.Schema | None = None) -> Writer:
    """Return the writer of a layout's format.

    Args:
        layout: Of the file.
        manifest: Of the model.
        sink: Gets the part.
        kept: Of Parquet: the columns that are kept.
    """
    specs = specs_of(layout, manifest)
    if layout.written == "csv":
        return _CsvWriter(layout, specs, sink)
    if layout.written == "jsonl":
        return _LinesWriter(layout, specs, sink)
    if layout.written == "parquet":
        return _ParquetWriter(layout, specs, sink, kept)
    return _ArraysWriter(specs, sink)


class _CsvWriter:
    def __init__(self, layout: Layout, specs: Sequence[MetadataTensor], sink: Sink) -> None:
        self._layout, self._specs, self._sink = layout, specs, sink
        self._dialect = layout.dialect or Dialect()

    def add(self, kept: Sequence[Any], places: Array, rows: Array, outputs: Mapping[str, Array]) -> None:
        """Write lines; what is kept is text."""
        columns = [arrow.Array(rows)] if self._layout.options.row_numbers else []
        columns += [column.take(arrow.Array(places)) for column in kept]
        for spec in self._specs:
            columns += _flat_columns(outputs[spec.name], spec, _json_texts)
        table = arrow.Table.from_arrays(columns, names=[str(number) for number in range(len(columns))])
        buffer = io.BytesIO()
        write_csv(table, buffer, header=False, delimiter=self._dialect.delimiter, quote=self._dialect.quote)
        self._sink.write(buffer.getvalue())

    def finish(self) -> None:
        """Every line is written at once."""


class _LinesWriter:
    def __init__(self, layout: Layout, specs: Sequence[MetadataTensor], sink: Sink) -> None:
        self._layout, self._specs, self._sink = layout, specs, sink
        self._names = [orjson.dumps(layout.columns[place]) for place in layout.keep]

    def add(self, kept: Sequence[Any], places: Array, rows: Array, outputs: Mapping[str, Array]) -> None:
        """Write lines; what is kept is JSON."""
        columns = [_nested(outputs[spec.name]) for spec in self._specs]
        table = arrow.Table.from_arrays(columns, names=[spec.name for spec in self._specs])
        buffer = io.BytesIO()
        write_ndjson(table, buffer, explicit_nulls=True)
        if not self._names and not self._layout.options.row_numbers:
            self._sink.write(buffer.getvalue())
            return
        heads = [b"{"] * len(places)
        if self._layout.options.row_numbers:
            heads = [b'{"row":%d,' % row for row in rows.tolist()]
        for name, column in zip(self._names, kept, strict=True):
            heads = [
                b"%b%b:%b," % (head, name, column[place])
                for head, place in zip(heads, places.tolist(), strict=True)
            ]
        lines = buffer.getvalue().splitlines(keepends=True)
        self._sink.write(b"".join([head + line[1:] for head, line in zip(heads, lines, strict=True)]))

    def finish(self) -> None:
        """Every line is written at once."""


class _ParquetWriter:
    def __init__(
        self, layout: Layout, specs: Sequence[MetadataTensor], sink: Sink, kept: arrow.Schema | None
    ) -> None:
        self._layout, self._specs, self._sink = layout, specs, sink
        fields = [arrow.Field("row", DataType.int64())] if layout.options.row_numbers else []
        if kept is not None:
            fields += [kept.field(at).remove_metadata().with_nullable(True) for at in range(len(kept))]
        for spec in specs:
            fields += _fields(spec)
        self._schema = arrow.Schema(fields)
        self._batches: list[arrow.RecordBatch] = []

    def add(self, kept: Sequence[Any], places: Array, rows: Array, outputs: Mapping[str, Array]) -> None:
        """Keep the columns; what is kept is as Arrow has it."""
        columns = [arrow.Array(rows)] if self._layout.options.row_numbers else []
        columns += [_taken(column, places) for column in kept]
        for spec in self._specs:
            columns += _flat_columns(outputs[spec.name], spec, _lists)
        self._batches.append(arrow.RecordBatch.from_arrays(columns, schema=self._schema))

    def finish(self) -> None:
        """Write the part, of one row group."""
        self._sink.write(parquet_bytes(arrow.Table.from_batches(self._batches, schema=self._schema)))


def parquet_bytes(table: arrow.Table) -> bytes:
    """Return a part, of one row group."""
    buffer = io.BytesIO()
    fields = map(table.schema.field, range(table.num_columns))
    write_parquet(
        table,
        buffer,
        compression="snappy",
        max_row_group_size=max(1, table.num_rows),
        skip_arrow_metadata=True,
        dictionary_enabled=False,
        column_dictionary_enabled={field.name: True for field in fields if field.type == TEXT},
    )
    return buffer.getvalue()


class _ArraysWriter:
    def __init__(self, specs: Sequence[MetadataTensor], sink: Sink) -> None:
        self._specs, self._sink = specs, sink
        self._parts: dict[str, list[Array]] = {"row": [], **{spec.name: [] for spec in specs}}

    def add(self, kept: Sequence[Any], places: Array, rows: Array, outputs: Mapping[str, Array]) -> None:
        """Keep the arrays."""
        self._parts["row"].append(rows)
        for spec in self._specs:
            self._parts[spec.name].append(outputs[spec.name])

    def finish(self) -> None:
        """Write the part: the numbers of its rows as `row`, and an array an output."""
        arrays = {"row": np.concatenate([np.empty(0, np.int64), *self._parts["row"]])}
        for spec in self._specs:
            arrays[spec.name] = _joined(self._parts[spec.name], spec)
        self._sink.write(array_bytes(arrays))


def array_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Return a part of arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            # Of no date, so that the same rows give the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def _joined(parts: list[Array], spec: MetadataTensor) -> Array:
    if len({part.shape[1:] for part in parts}) > 1:
        raise UnfitFileError(
            f"output {spec.name!r} has rows of several shapes, which no array holds: use JSON Lines"
        )
    inner = parts[0].shape[1:] if parts else tuple(max(0, size) for size in spec.shape[1:])
    if from_name(spec.datatype).item_bytes is None:
        elements = [element for part in parts for element in part.ravel().tolist()]
        return np.array(elements or [], "S" if elements else "S1").reshape(-1, *inner)
    return np.concatenate([np.empty((0, *inner), from_name(spec.datatype).dtype), *parts])


def _taken(column: arrow.Array, places: Array) -> arrow.Array:
    return column if len(places) == len(column) else column.take(arrow.Array(places))


def _fields(spec: MetadataTensor) -> list[arrow.Field]:
    kind = _arrow_type(spec)
    if is_spread(spec):
        return [arrow.Field(name, kind, nullable=False) for name in element_names(spec.name, spec.shape[1:])]
    return [
        arrow.Field(spec.name, DataType.list(arrow.Field("element", kind, nullable=False)), nullable=False)
    ]


def _arrow_type(spec: MetadataTensor) -> DataType:
    datatype = from_name(spec.datatype)
    if datatype.item_bytes is None:
        return TEXT
    return _elements(np.empty(0, datatype.dtype)).type


def _flat_columns(array: Array, spec: MetadataTensor, lists: Any) -> list[arrow.Array]:
    """Return an output's columns: one an element, or one of lists."""
    if not is_spread(spec):
        return [lists(array, spec)]
    flat = array.reshape(len(array), math.prod(array.shape[1:]))
    return [_elements(flat[:, place]) for place in range(flat.shape[1])]


def _elements(array: Array) -> arrow.Array:
    if array.dtype.hasobject:
        few = distinct(array)
        return text_array(array.tolist()) if few is None else text_array(few[0]).take(arrow.Array(few[1]))
    if array.dtype.kind == "b":  # of which arro3 takes no array
        return arrow.Array(array.tolist(), type=DataType.bool())
    return arrow.Array(_plain(np.ascontiguousarray(array)))


def _plain(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _json_texts(array: Array, spec: MetadataTensor) -> arrow.Array:
    """Return each row as a JSON array."""
    if array.dtype.hasobject:
        return text_array([orjson.dumps(_decoded(row.tolist())) for row in array])
    rows = np.ascontiguousarray(_plain(array))
    return text_array([orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in rows])


def _decoded(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else [_decoded(each) for each in value]


def _lists(array: Array, spec: MetadataTensor) -> arrow.Array:
    """Return each row as a flat list."""
    flat = array.reshape(len(array), -1) if array.size else array.reshape(len(array), 0)
    offsets = np.arange(len(flat) + 1, dtype=np.int32) * flat.shape[1]
    field = arrow.Field("element", _arrow_type(spec), nullable=False)
    return arrow.list_array(arrow.Array(offsets), _elements(flat.ravel()), type=DataType.list(field))


def _nested(array: Array) -> arrow.Array:
    """Return each row nested as its shape says."""
    column = _elements(array.reshape(-1))
    for axis in range(array.ndim - 1, 0, -1):
        lists = math.prod(array.shape[:axis])
        offsets = np.arange(lists + 1, dtype=np.int32) * array.shape[axis]
        column = arrow.list_array(arrow.Array(offsets), column)
    return column
