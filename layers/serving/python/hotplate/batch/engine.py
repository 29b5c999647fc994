"""Chunks to predictions, beside the loaded model: read and decode, predict, encode, at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotplate.batch.layout import Chunk, Layout, Sink, Source
    from hotplate.batch.report import ChunkReport
    from hotplate.runtime.model import Model

__all__ = ["predict_chunk"]


def predict_chunk(
    source: Source, layout: Layout, chunk: Chunk, model: Model, sink: Sink, *, deadline: float | None = None
) -> ChunkReport:
    """Write the predictions of a chunk's rows to `sink`, a part that `join.finish` takes.

    Args:
        source: The file; of a compressed one the chunk's own piece.
        layout: Of `find_layout`.
        chunk: Of `chunks`, or a remainder.
        model: What is asked; the very one that answers online.
        sink: Gets the part.
        deadline: By `time.monotonic()`; what is not done by then is the report's `remainder`.

    Raises:
        UnreadableFileError: The bytes are not what the layout says.
        InferenceError: The model fails on every row, so that no row is at fault.
        StoreError: The bytes could not be had.
    """
    raise NotImplementedError
