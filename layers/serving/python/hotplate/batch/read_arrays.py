"""NPY and NPZ to rows: an array an input, its first axis the rows.

Of a `.npz` the arrays must be stored, not deflated (`np.savez`, not `savez_compressed`), since a worker reads
its own rows and no others. Arrays of Python objects are pickles, and refused.

Source: NumPy Enhancement Proposal 1, the NPY format; PKWARE's APPNOTE, 4.3.7.
"""

from __future__ import annotations

import struct
import tokenize
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.lib import format as npy

from hotplate.batch.features import fit, is_fit_kind, range_words
from hotplate.batch.layout import StoredArray
from hotplate.batch.report import RowError
from hotplate.batch.rows import Block, groups_of, others, selected
from hotplate.batch.seekable import SourceFile
from hotplate.errors import UnfitFileError, UnreadableFileError
from hotplate.protocol.json_codec import objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hotplate.batch.features import Array, Feature
    from hotplate.batch.layout import Chunk, Layout, Source

__all__ = ["check_arrays", "find_arrays", "read_arrays", "row_bytes"]

# A local header in a ZIP file: 26 bytes, then the lengths of the name and of what is extra.
_LOCAL = struct.Struct("<26xHH")
# What NumPy raises for a header that is none: it reads one with Python's own tokeniser.
_HEADER_FAULTS = (ValueError, EOFError, KeyError, SyntaxError, TypeError, tokenize.TokenError)
# Bytes that are decoded at once at most, beyond the first row. Ours.
BATCH_BYTES = 8 * 2**20


def find_arrays(source: Source, *, is_zip: bool) -> tuple[StoredArray, ...]:
    """Return the arrays in a file.

    Raises:
        UnreadableFileError: It is no NPY or NPZ file, or one that cannot be read by rows.
        StoreError: It could not be had.
    """
    if not is_zip:
        return (_array(source, "", 0, source.size),)
    try:
        with zipfile.ZipFile(SourceFile(source)) as archive:
            members = archive.infolist()
    # The second for a version of ZIP, or a way to compress, that Python does not know.
    except (zipfile.BadZipFile, NotImplementedError, struct.error, OSError, ValueError) as fault:
        raise UnreadableFileError(f"broken NPZ: {fault}") from fault
    return tuple(_member(source, member) for member in members)


def check_arrays(arrays: Sequence[StoredArray], features: Sequence[Feature]) -> int:
    """Return how many rows there are.

    Raises:
        UnfitFileError: An array is not its input's, or they are not of equally many rows.
    """
    counts = set()
    for feature in features:
        array = arrays[feature.columns[0]]
        dtype = np.dtype(array.dtype)
        fits = len(array.shape) == len(feature.inner) + 1 and all(
            wanted in (-1, size) for wanted, size in zip(feature.inner, array.shape[1:], strict=True)
        )
        is_kind = dtype.kind in "SU" if feature.is_text else is_fit_kind(dtype, feature.datatype)
        if not fits or not is_kind:
            raise UnfitFileError(
                f"array {array.name!r} is {dtype} {list(array.shape)}; input {feature.name!r} is "
                f"{feature.datatype.name} {[-1, *feature.inner]}"
            )
        counts.add(array.shape[0])
    if len(counts) > 1:
        raise UnfitFileError(f"the arrays have {', '.join(map(str, sorted(counts)))} rows")
    return int(counts.pop())


def read_arrays(
    source: Source, layout: Layout, chunk: Chunk, features: list[Feature], batch_rows: int
) -> Iterator[Block]:
    """Yield a chunk's rows; nothing is kept of them.

    Raises:
        StoreError: They could not be had.
    """
    arrays = {feature.name: layout.arrays[feature.columns[0]] for feature in features}
    size = row_bytes(layout)
    step = max(1, min(batch_rows, BATCH_BYTES // size))
    for done in range(0, chunk.rows, step):
        rows = min(step, chunk.rows - done)
        rest = msgspec.structs.replace(
            chunk,
            start=chunk.start + done * size,
            first_row=chunk.first_row + done,
            rows=chunk.rows - done,
        )
        yield _block(source, arrays, rest, rows, features)


def row_bytes(layout: Layout) -> int:
    """Return how many bytes of the file one row is."""
    return max(1, sum(_row_bytes(layout.arrays[binding.columns[0]]) for binding in layout.bindings))


def _block(
    source: Source, arrays: dict[str, StoredArray], rest: Chunk, rows: int, features: list[Feature]
) -> Block:
    errors: dict[int, RowError] = {}
    inputs: dict[str, Array | Sequence[Array]] = {}
    for feature in features:
        values = _rows(source, arrays[feature.name], rest.first_row, rows)
        if feature.is_text:
            inputs[feature.name] = _texts(values)
            continue
        narrow, misfits = fit(values, feature.datatype)
        inputs[feature.name] = narrow
        for row in np.flatnonzero(misfits if misfits is not None else np.zeros(rows, np.bool_)).tolist():
            reason = f"expected {range_words(feature.datatype)}, got another"
            errors.setdefault(row, RowError(rest.first_row + row, reason, feature.name))
    good = others(rows, errors)
    if errors:
        inputs = selected(inputs, good)
    return Block(rest.first_row, rows, groups_of(good, inputs), [], rest, list(errors.values()))


def _rows(source: Source, array: StoredArray, first: int, rows: int) -> Array:
    size = _row_bytes(array)
    raw = source.read(array.start + first * size, array.start + (first + rows) * size)
    return np.frombuffer(raw, np.dtype(array.dtype)).reshape(rows, *array.shape[1:])


def _row_bytes(array: StoredArray) -> int:
    return int(np.prod(array.shape[1:], dtype=np.int64)) * np.dtype(array.dtype).itemsize


def _texts(values: Array) -> Array:
    flat: Any = np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values
    return objects([bytes(each) for each in flat.ravel()], values.shape)


def _member(source: Source, member: zipfile.ZipInfo) -> StoredArray:
    if member.compress_type != zipfile.ZIP_STORED:
        raise UnreadableFileError(
            f"{member.filename!r} is deflated: rows can be read of arrays that are stored (np.savez)"
        )
    header = member.header_offset
    if not 0 <= header <= source.size - _LOCAL.size:
        raise UnreadableFileError("broken NPZ: a member that does not lie in the file")
    name_length, extra = _LOCAL.unpack(source.read(header, header + _LOCAL.size))
    start = header + _LOCAL.size + name_length + extra
    return _array(source, member.filename.removesuffix(".npy"), start, start + member.file_size)


def _array(source: Source, name: str, start: int, stop: int) -> StoredArray:
    if stop > source.size:
        raise UnreadableFileError("the file is cut off", byte=source.size)
    file = SourceFile(source, size=stop)
    file.seek(start)
    what = repr(name) if name else "the file"
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    except _HEADER_FAULTS as fault:
        raise UnreadableFileError(f"{what} is no NPY array", byte=start) from fault
    if dtype.hasobject:
        raise UnreadableFileError(f"{what} holds Python objects, which are pickles and never opened")
    if dtype.kind not in "fiubSU" or not shape or min(shape) < 0:
        raise UnreadableFileError(
            f"{what} is {dtype} {list(shape)}: an array of numbers or texts was expected"
        )
    if is_fortran and len(shape) > 1:
        raise UnreadableFileError(f"{what} is in Fortran order; rows can be read of arrays in C order")
    array = StoredArray(name, file.tell(), dtype.str, tuple(int(size) for size in shape))
    if array.start + array.shape[0] * _row_bytes(array) > stop:
        raise UnreadableFileError("the file is cut off", byte=stop)
    return array
