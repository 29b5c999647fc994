"""Parts to one file, in order: their bytes are copied, not decoded, and one block of them is held at a time.

CSV and JSON Lines lie behind each other. A Parquet file is its parts' row groups, their places moved, under
one footer. Arrays lie behind each other under one header each.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from hotplate.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hotplate.batch.layout import Layout, Sink, Source, StoredArray
    from hotplate.batch.thrift import Struct
    from hotplate.manifest.schema import Manifest

__all__ = ["extension", "finish"]

# Bytes that are copied at once. Ours.
_COPY_BYTES = 8 * 2**20


def finish(parts: Iterable[Source], layout: Layout, manifest: Manifest, sink: Sink) -> None:
    """Write the file of predictions.

    Args:
        parts: Of `predict_chunk`, in the order of their chunks; the rest of a chunk behind its beginning. Of
            NPY and NPZ they are gone through once for each array, so give a list of those.
        layout: Of the input.
        manifest: Of the model that was asked.
        sink: Gets the file.

    Raises:
        UnreadableFileError: A part is not one, or none came.
        StoreError: One could not be had.
    """
    if layout.written == "parquet":
        _join_parquet(parts, sink)
    elif layout.written == "npz":
        _join_arrays(list(parts), sink)
    else:
        if layout.written == "csv" and (layout.dialect is None or layout.dialect.header):
            sink.write(_csv_header(layout, manifest))
        for part in parts:
            for piece in _pieces(part, 0, part.size):
                sink.write(piece)


def extension(layout: Layout) -> str:
    """Return how the name of the file of predictions ends: `csv`, `jsonl`, `parquet` or `npz`."""
    return layout.written


def _csv_header(layout: Layout, manifest: Manifest) -> bytes:
    import csv

    from hotplate.batch.answers import column_names
    from hotplate.batch.layout import Dialect

    dialect = layout.dialect or Dialect()
    line = io.StringIO()
    writer = csv.writer(line, delimiter=dialect.delimiter, quotechar=dialect.quote, lineterminator="\n")
    writer.writerow(column_names(layout, manifest))
    return line.getvalue().encode()


def _pieces(part: Source, start: int, stop: int) -> Iterator[bytes | memoryview]:
    for low in range(start, stop, _COPY_BYTES):
        yield part.read(low, min(low + _COPY_BYTES, stop))


def _join_parquet(parts: Iterable[Source], sink: Sink) -> None:
    from hotplate.batch.parquet_file import (
        COLUMNS,
        MAGIC,
        damage,
        footer_bytes,
        move,
        read_footer,
        read_structs,
    )

    schema: list[Struct] | None = None
    groups: list[Struct] = []
    sink.write(MAGIC)
    place = len(MAGIC)
    for part in parts:
        footer = read_footer(part)
        if schema is None:
            schema = footer.schema
        elif footer.schema != schema:
            raise UnreadableFileError("a part has other columns than the first")
        for piece in _pieces(part, len(MAGIC), footer.data_stop):
            sink.write(piece)
        for group in footer.groups:
            with damage(group.start):
                (struct,) = read_structs(part, (group.start, group.stop))
                kind, (of, chunks) = struct[COLUMNS]
                struct[COLUMNS] = (kind, (of, [move(chunk, place - len(MAGIC)) for chunk in chunks]))
            groups.append(struct)
        place += footer.data_stop - len(MAGIC)
    if schema is None:
        raise UnreadableFileError("no part came")
    sink.write(footer_bytes(schema, groups))


class _Unseekable(io.RawIOBase):
    """A sink as the file that `zipfile` wants: it is only written to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._sink.write(data)
        return len(data)


def _join_arrays(parts: Sequence[Source], sink: Sink) -> None:
    from hotplate.batch.read_arrays import find_arrays

    found = [{array.name: array for array in find_arrays(part, is_zip=True)} for part in parts]
    if not found:
        raise UnreadableFileError("no part came")
    with zipfile.ZipFile(_Unseekable(sink), "w") as archive:
        for name in found[0]:
            arrays = [each[name] for each in found if name in each]
            if len(arrays) != len(parts):
                raise UnreadableFileError(f"a part has no array {name!r}")
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                _join_array(list(zip(parts, arrays, strict=True)), member)


def _join_array(parts: list[tuple[Source, StoredArray]], member: Any) -> None:
    filled = [array for _, array in parts if array.shape[0]] or [parts[0][1]]
    if len({array.shape[1:] for array in filled}) > 1:
        raise UnreadableFileError(
            f"output {filled[0].name!r} has rows of several shapes, which no array holds: use JSON Lines"
        )
    # Texts are as long as the longest in their part.
    dtype = max((np.dtype(array.dtype) for array in filled), key=lambda each: each.itemsize)
    shape = (sum(array.shape[0] for _, array in parts), *filled[0].shape[1:])
    npy.write_array_header_2_0(member, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    for part, array in parts:
        own = np.dtype(array.dtype)
        size = int(np.prod(array.shape, dtype=np.int64)) * own.itemsize
        step = max(1, _COPY_BYTES // own.itemsize) * own.itemsize
        for low in range(array.start, array.start + size, step):
            raw = part.read(low, min(low + step, array.start + size))
            member.write(raw if own == dtype else np.frombuffer(raw, own).astype(dtype).tobytes())
