"""A part and the rows that were missing in it, as one part: of rows that were asked again.

The rows of a part are in the file's order, and are again afterwards. Texts are cut into records and these put
between each other; Parquet and arrays are read, and written as `write_tables` writes them.
"""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import arro3.core as arrow
import numpy as np
from arro3.io import read_parquet

from hotplate.batch.records import cut
from hotplate.batch.write_tables import array_bytes, parquet_bytes
from hotplate.errors import UnfitFileError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hotplate.batch.layout import Layout

    Array = np.ndarray[Any, Any]

__all__ = ["merged"]


def merged(layout: Layout, part: bytes, more: bytes, before: Sequence[int]) -> bytes:
    """Return a part with the rows of another between its own.

    Args:
        layout: Of the file.
        part: Of it, of `predict_chunk`.
        more: Likewise, of rows that are missing in `part`.
        before: For each row of `more`, ascending, how many rows of `part` come before it.

    Raises:
        UnfitFileError: The rows of an output have several shapes, and the file is to hold arrays.
        UnreadableFileError: A part is not one of these rows.
    """
    if layout.format == "parquet":
        return _merged_parquet(part, more, before)
    if layout.written == "npz":
        return _merged_arrays(part, more)
    rows, added = (_records(each, layout) for each in (part, more))
    if len(added) != len(before):
        raise UnreadableFileError(f"{len(before)} rows were expected in a part, got {len(added)}")
    return b"".join(
        piece
        for low, high, own in _spans(len(rows), before)
        for piece in (*rows[low:high], *(() if own is None else (added[own],)))
    )


def _spans(rows: int, before: Sequence[int]) -> Iterator[tuple[int, int, int | None]]:
    """Yield from which to which row a part goes on, and which added row is next; None behind the last."""
    edges = [0, *before, rows]
    for number, (low, high) in enumerate(pairwise(edges)):
        yield low, high, number if number < len(before) else None


def _records(part: bytes, layout: Layout) -> list[bytes]:
    found = cut(part, layout.dialect, is_end=True)
    return [part[start:stop] for start, stop in zip(found.starts, found.stops, strict=True)]


def _merged_parquet(part: bytes, more: bytes, before: Sequence[int]) -> bytes:
    rows, added = read_parquet(part).read_all(), read_parquet(more).read_all()
    pieces: list[arrow.Table] = []
    for low, high, own in _spans(rows.num_rows, before):
        pieces.append(rows.slice(low, high - low))
        if own is not None:
            pieces.append(added.slice(own, 1))
    batches = [batch for piece in pieces if piece.num_rows for batch in piece.to_batches()]
    return parquet_bytes(arrow.Table.from_batches(batches, schema=rows.schema))


def _merged_arrays(part: bytes, more: bytes) -> bytes:
    with np.load(io.BytesIO(part)) as rows, np.load(io.BytesIO(more)) as added:
        order = np.argsort(np.concatenate([rows["row"], added["row"]]), kind="stable")
        return array_bytes({name: _joined(name, rows[name], added[name])[order] for name in rows.files})


def _joined(name: str, was: Array, added: Array) -> Array:
    """Return the rows of both, where an array without rows may be of any shape."""
    filled = [each for each in (was, added) if len(each)] or [was]
    if len({each.shape[1:] for each in filled}) > 1:
        raise UnfitFileError(f"output {name!r} has rows of several shapes, which no array holds")
    return np.concatenate(filled)
