"""Files to layouts and chunks; reads a file at most once, and holds no more of it than a chunk.

Rules kept here:

1. A chunk is whole rows. Of CSV and JSON Lines it is a range of bytes, found by going through the file once,
   so that a quoted line end splits no row and each chunk knows its rows' numbers; of Parquet it is row
   groups, or some rows of one; of arrays, rows; of an archive, files.
2. A compressed text cannot be read from its middle: its chunks are given out as pieces, decompressed.
3. A file without rows is one chunk without rows.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from hotplate.batch.bind import bind_columns, bytes_column, kept_places, wanted_outputs
from hotplate.batch.features import features_of
from hotplate.batch.layout import Chunk, Layout
from hotplate.batch.text_chunks import text_chunks
from hotplate.errors import UnfitFileError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hotplate.batch.layout import BatchOptions, Compression, Format, Source
    from hotplate.manifest.schema import Manifest

__all__ = ["TARGET_BYTES", "chunks", "find_layout"]

# Bytes of text, or of columns as they are stored, in one chunk. Ours: a second or two of a small model's,
# so that many workers have something to do, and none has too much for its time.
TARGET_BYTES = 16 * 2**20

_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".npy": "npy",
    ".npz": "npz",
    ".zip": "zip",
}
_COMPRESSIONS = (".gz", ".zst", ".zstd")


def find_layout(source: Source, name: str, options: BatchOptions, manifest: Manifest) -> Layout:
    """Return what a file is, from its name, its first bytes and, of Parquet and NPZ, its end.

    Args:
        source: The file.
        name: Its name; `.csv`, `.jsonl`, `.parquet`, `.npy`, `.npz`, `.zip`, maybe `.gz` or `.zst` behind it.
        options: What its owner says.
        manifest: Of the model that is to be asked.

    Raises:
        UnreadableFileError: It is not what it seems to be; says at which byte.
        UnfitFileError: Its columns are not the model's inputs.
        StoreError: It could not be had.
    """
    if not source.size:
        raise UnreadableFileError("the file is empty")
    kind = options.format or _format(name)
    outputs = wanted_outputs(options, manifest)
    if kind in ("csv", "jsonl"):
        layout = _text_layout(source, kind, outputs, options, manifest)
    elif options.compression not in (None, "none"):
        raise UnfitFileError(f"a {kind} file is not read when it is compressed as a whole")
    elif kind == "parquet":
        layout = _parquet_layout(source, outputs, options, manifest)
    elif kind == "zip":
        layout = _zip_layout(source, outputs, options, manifest)
    else:
        layout = _arrays_layout(source, kind, outputs, options, manifest)
    _refuse_twice(layout, manifest)
    return layout


def chunks(
    source: Source,
    layout: Layout,
    target_bytes: int = TARGET_BYTES,
    stage: Callable[[Chunk, bytes], None] | None = None,
) -> Iterator[Chunk]:
    """Yield the chunks, in order; every row is in exactly one, and there is at least one.

    Args:
        source: The file.
        layout: Of `find_layout`.
        target_bytes: About how large a chunk is; it is larger where one row is.
        stage: Takes the bytes of each chunk of a compressed file, before that is yielded: its piece, from
            which a worker is to read it. Never called for others.

    Raises:
        UnreadableFileError: It turns out not to be what it seemed; says at which byte and row.
        StoreError: It could not be had.
    """
    if layout.format in ("csv", "jsonl"):
        return text_chunks(source, layout, target_bytes, stage)
    if layout.format == "parquet":
        return _parquet_chunks(source, layout, target_bytes)
    if layout.format == "zip":
        from hotplate.batch.read_zip import zip_chunks

        return zip_chunks(source, target_bytes)
    return _array_chunks(layout, target_bytes)


def _format(name: str) -> Format:
    path = PurePosixPath(name.lower())
    if path.suffix in _COMPRESSIONS:
        path = path.with_suffix("")
    if path.suffix not in _FORMATS:
        raise UnreadableFileError(
            f"a name that ends with one of {', '.join(_FORMATS)} was expected, got {name[-60:]!r}"
        )
    return _FORMATS[path.suffix]


def _text_layout(
    source: Source, kind: Format, outputs: tuple[str, ...], options: BatchOptions, manifest: Manifest
) -> Layout:
    from hotplate.batch.sniff import csv_columns, members, text_start
    from hotplate.batch.texts import compression_of

    compression: Compression = options.compression or compression_of(
        bytes(source.read(0, min(4, source.size)))
    )
    first, start = text_start(source, compression)
    is_all = compression == "none" and start + len(first) == source.size
    dialect = None
    if kind == "csv":
        names, dialect, start = csv_columns(first, start, options, is_all=is_all or compression != "none")
    else:
        names = members(first, is_all=is_all or compression != "none")
        names += [name for name in options.keep if name not in names]
    bindings = bind_columns(names, options, manifest, by_place=kind == "csv")
    return Layout(
        kind,
        tuple(names),
        bindings,
        outputs,
        start,
        source.size,
        options=options,
        compression=compression,
        dialect=dialect,
        keep=kept_places(names, options),
    )


def _parquet_layout(
    source: Source, outputs: tuple[str, ...], options: BatchOptions, manifest: Manifest
) -> Layout:
    from hotplate.batch.parquet_file import read_footer
    from hotplate.batch.parquet_part import schema_of
    from hotplate.batch.read_parquet import check_types

    footer = read_footer(source)
    names = footer.columns
    bindings = bind_columns(names, options, manifest, by_place=True)
    layout = Layout(
        "parquet",
        tuple(names),
        bindings,
        outputs,
        0,
        source.size,
        options=options,
        keep=kept_places(names, options),
        schema=footer.schema_span,
        rows=footer.rows,
    )
    check_types(schema_of(source, footer.schema_span), features_of(layout, manifest), names)
    return layout


def _arrays_layout(
    source: Source, kind: Format, outputs: tuple[str, ...], options: BatchOptions, manifest: Manifest
) -> Layout:
    from hotplate.batch.read_arrays import check_arrays, find_arrays

    if options.keep:
        raise UnfitFileError("of arrays no columns are kept")
    arrays = find_arrays(source, is_zip=kind == "npz")
    names = [array.name for array in arrays]
    if kind == "npy":
        fits = [spec.name for spec in manifest.inputs if _is_like(arrays[0].shape, spec.shape)]
        options_of_one = msgspec.structs.replace(
            options, columns={"": fits[0]} if len(fits) == 1 else options.columns
        )
        bindings = bind_columns(names, options_of_one, manifest, by_place=False)
    else:
        bindings = bind_columns(names, options, manifest, by_place=False)
    layout = Layout(kind, tuple(names), bindings, outputs, 0, source.size, options=options, arrays=arrays)
    rows = check_arrays(arrays, features_of(layout, manifest))
    return msgspec.structs.replace(layout, rows=rows)


def _zip_layout(
    source: Source, outputs: tuple[str, ...], options: BatchOptions, manifest: Manifest
) -> Layout:
    from hotplate.batch.read_zip import CONTENT, NAME, check_zip

    names = [NAME, CONTENT]
    told = bytes_column(CONTENT, options, manifest)
    bindings = bind_columns(names, msgspec.structs.replace(options, columns=told), manifest, by_place=False)
    named = options if options.keep else msgspec.structs.replace(options, keep=(NAME,))
    return Layout(
        "zip",
        tuple(names),
        bindings,
        outputs,
        0,
        source.size,
        options=options,
        keep=kept_places([NAME], named),
        rows=check_zip(source),
    )


def _is_like(shape: Sequence[int], declared: Sequence[int]) -> bool:
    return len(shape) == len(declared) and all(
        wanted in (-1, size) for wanted, size in zip(declared, shape, strict=True)
    )


def _refuse_twice(layout: Layout, manifest: Manifest) -> None:
    from hotplate.batch.answers import column_names

    names = column_names(layout, manifest)
    for name in names:
        if names.count(name) > 1:
            raise UnfitFileError(
                f"the predictions would have two columns {name!r}: keep another, or rename it"
            )


def _parquet_chunks(source: Source, layout: Layout, target_bytes: int) -> Iterator[Chunk]:
    from hotplate.batch.parquet_file import read_footer

    footer = read_footer(source)
    number = row = 0
    held: list[tuple[int, int]] = []
    start = stop = rows = size = 0
    for group in footer.groups:
        group_bytes = group.data_stop - group.data_start
        parts = max(1, group_bytes // target_bytes)
        if held and (parts > 1 or size + group_bytes > target_bytes):
            yield Chunk(number, start, stop, row, rows, groups=tuple(held))
            number, row, held, rows, size = number + 1, row + rows, [], 0, 0
        if parts > 1:
            for part in range(parts):
                low, high = group.rows * part // parts, group.rows * (part + 1) // parts
                if low < high:
                    place = ((group.start, group.stop),)
                    yield Chunk(
                        number, group.data_start, group.data_stop, row, high - low, groups=place, skip=low
                    )
                    number, row = number + 1, row + high - low
        elif group.rows:
            start = group.data_start if not held else min(start, group.data_start)
            stop = group.data_stop if not held else max(stop, group.data_stop)
            held.append((group.start, group.stop))
            rows, size = rows + group.rows, size + group_bytes
    if held or not number:
        yield Chunk(number, start, stop, row, rows, groups=tuple(held))


def _array_chunks(layout: Layout, target_bytes: int) -> Iterator[Chunk]:
    from hotplate.batch.read_arrays import row_bytes

    rows, size = layout.rows or 0, row_bytes(layout)
    step = max(1, target_bytes // size)
    for number, first in enumerate(range(0, rows, step) if rows else (0,)):
        count = min(step, rows - first)
        yield Chunk(number, first * size, (first + count) * size, first, count)
