"""The chunks of a text: it is gone through once, block by block, and cut where a record ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hotplate.batch.layout import Chunk
from hotplate.batch.records import cut
from hotplate.batch.texts import blocks
from hotplate.errors import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hotplate.batch.layout import Layout, Source

__all__ = ["text_chunks"]


def text_chunks(
    source: Source, layout: Layout, target_bytes: int, stage: Callable[[Chunk, bytes], None] | None
) -> Iterator[Chunk]:
    """Yield the chunks of CSV or JSON Lines; see `split.chunks`.

    Raises:
        UnreadableFileError: A quote never closes, or the compression is broken.
        StoreError: It could not be had.
    """
    is_piece = layout.compression != "none"
    if is_piece and stage is None:
        raise ValueError("a compressed file needs somebody to take its pieces")
    found = _Pending(layout.start, target_bytes, is_piece=is_piece)
    for data, starts, stops, byte in _records(source, layout):
        for chunk, piece in found.take(data, starts, stops, byte):
            if stage and is_piece:
                stage(chunk, piece)
            yield chunk
    for chunk, piece in found.last():
        if stage and is_piece:
            stage(chunk, piece)
        yield chunk


class _Pending:
    """The chunk that is being filled."""

    def __init__(self, start: int, target_bytes: int, *, is_piece: bool) -> None:
        self._start, self._stop = start, start
        self._target, self._is_piece = target_bytes, is_piece
        self._number = self._first_row = self._rows = 0
        self._data: list[bytes] = []

    def take(
        self, data: bytes, starts: np.ndarray, stops: np.ndarray, byte: int
    ) -> Iterator[tuple[Chunk, bytes]]:
        """Yield the chunks that records fill.

        Args:
            data: The bytes they are in.
            starts: Of each record in `data`.
            stops: Likewise.
            byte: Where `data` lies in the text.
        """
        at, done = 0, 0
        while at < len(stops):
            wanted = self._start + self._target - byte
            last = min(int(np.searchsorted(stops, wanted)), len(stops) - 1)
            self._rows += last + 1 - at
            self._stop = byte + int(stops[last])
            if self._is_piece:
                self._data.append(data[done : int(stops[last])])
            done, at = int(stops[last]), last + 1
            if self._stop - self._start >= self._target:
                yield self._made()

    def last(self) -> Iterator[tuple[Chunk, bytes]]:
        """Yield what is left; a chunk without rows if there was never one."""
        if self._rows or not self._number:
            yield self._made()

    def _made(self) -> tuple[Chunk, bytes]:
        piece = b"".join(self._data)
        start, stop = (0, len(piece)) if self._is_piece else (self._start, self._stop)
        chunk = Chunk(self._number, start, stop, self._first_row, self._rows, is_piece=self._is_piece)
        self._number += 1
        self._first_row += self._rows
        self._start, self._rows, self._data = self._stop, 0, []
        return chunk, piece


def _records(source: Source, layout: Layout) -> Iterator[tuple[bytes, np.ndarray, np.ndarray, int]]:
    """Yield the text in pieces of whole records: where each begins and ends, and where the piece lies."""
    byte, row, held = layout.start, 0, b""
    for block in blocks(source, layout.compression, layout.start):
        if (zero := block.find(b"\x00")) >= 0:
            raise UnreadableFileError(
                "text in UTF-8 was expected, got a zero byte", byte=byte + len(held) + zero
            )
        held += block
        found = cut(held, layout.dialect, is_end=False, byte=byte, row=row)
        if found.stop:
            yield held, found.starts, found.stops, byte
            byte, row, held = byte + found.stop, row + len(found), held[found.stop :]
    if held:
        found = cut(held, layout.dialect, is_end=True, byte=byte, row=row)
        yield held, found.starts, found.stops, byte
