"""A chunk of a text, cut into the batches that are decoded together: CSV and JSON Lines alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from hotplate.batch.records import cut
from hotplate.batch.report import RowError
from hotplate.errors import UnreadableFileError
from hotplate.limits import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.batch.layout import Chunk, Layout, Source
    from hotplate.batch.records import Places

__all__ = ["TextBatch", "text_batches"]

# Bytes that are decoded at once at most, beyond the first row. Ours: with what becomes of them it fits beside
# a model in the smallest function.
BATCH_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Records that are decoded together.

    Attributes:
        data: Of the chunk.
        starts, stops: Of each record in `data`.
        rest: The chunk from here on; its `first_row` is the first record's.
    """

    data: memoryview
    starts: Places
    stops: Places
    rest: Chunk

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.starts)

    def line(self, place: int) -> bytes:
        """Return one record."""
        return bytes(self.data[self.starts[place] : self.stops[place]])

    def text(self, places: Places) -> bytes | memoryview:
        """Return the records at `places`, ascending, as one text."""
        if not len(places):
            return b""
        edges = np.flatnonzero(np.diff(places) != 1) + 1
        firsts, lasts = np.concatenate(([0], edges)), np.concatenate((edges, [len(places)])) - 1
        spans = zip(self.starts[places[firsts]], self.stops[places[lasts]], strict=True)
        pieces = [self.data[start:stop] for start, stop in spans]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def too_long(self) -> list[RowError]:
        """Return an error for each record that no request could hold."""
        sizes = self.stops - self.starts
        return [
            RowError(
                self.rest.first_row + int(place),
                f"expected at most {MAX_BODY_BYTES:,} bytes in a row, got {int(sizes[place]):,}",
            )
            for place in np.flatnonzero(sizes > MAX_BODY_BYTES)
        ]


def text_batches(source: Source, layout: Layout, chunk: Chunk, batch_rows: int) -> Iterator[TextBatch]:
    """Yield a chunk's records.

    Raises:
        UnreadableFileError: They are not as many as the chunk says.
        StoreError: They could not be had.
    """
    data = memoryview(source.read(chunk.start, chunk.stop))
    found = cut(data, layout.dialect, is_end=True, byte=chunk.start, row=chunk.first_row)
    if len(found) != chunk.rows:
        raise UnreadableFileError(
            f"{chunk.rows} rows were expected, got {len(found)}: the file was changed",
            byte=chunk.start,
            row=chunk.first_row,
        )
    first = 0
    while first < len(found):
        fits = int(np.searchsorted(found.stops, found.starts[first] + BATCH_BYTES, side="right"))
        last = min(first + batch_rows, max(fits, first + 1))
        rest = msgspec.structs.replace(
            chunk,
            start=chunk.start + int(found.starts[first]),
            first_row=chunk.first_row + first,
            rows=chunk.rows - first,
        )
        yield TextBatch(data, found.starts[first:last], found.stops[first:last], rest)
        first = last
