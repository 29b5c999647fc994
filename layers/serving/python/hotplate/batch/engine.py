"""Chunks to predictions, beside the loaded model: read and decode, predict, encode, at the same time.

Three threads, each a stage, with two blocks between them at most: so the processor computes while S3
is waited for, and memory is bounded by some blocks and one part, whatever the file's size.

The answers are those of the endpoint to a request of the same rows: the same model object, the same steps.
Where a graph's arithmetic depends on how many rows it gets (a matrix product of one row, a forest on several
threads), an answer may differ in its last digit from that to a request of fewer, there as here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from hotplate.batch.answers import specs_of, unheld
from hotplate.batch.asking import Asker, Fault
from hotplate.batch.features import features_of
from hotplate.batch.report import ChunkReport, RowError
from hotplate.batch.rows import Group
from hotplate.batch.stages import Ahead, Behind, Clock, share_heaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hotplate.batch.features import Feature
    from hotplate.batch.layout import Chunk, Layout, Sink, Source
    from hotplate.batch.rows import Block
    from hotplate.batch.write_tables import Writer
    from hotplate.manifest.schema import Manifest
    from hotplate.runtime.model import Model

__all__ = ["batch_rows_of", "predict_chunk"]

# Rows in one run of the model where the plan says nothing: at most so many, whose inputs are so many bytes;
# or so few where a row is text, or of any size. Ours: from here on no tabular model measured was faster with
# more, and what a network makes of a megabyte of pictures fits beside it.
DEFAULT_BATCH_ROWS = 8192
DEFAULT_BATCH_BYTES = 2**20
DEFAULT_TEXT_ROWS = 32


def predict_chunk(
    source: Source,
    layout: Layout,
    chunk: Chunk,
    model: Model,
    sink: Sink,
    *,
    deadline: float | None = None,
    only: Sequence[int] | None = None,
    careful: bool = False,
) -> ChunkReport:
    """Write the predictions of a chunk's rows to `sink`, a part that `join.finish` takes.

    Args:
        source: The file; of a compressed one the chunk's own piece.
        layout: Of `find_layout`.
        chunk: Of `chunks`, or a remainder.
        model: What is asked; the very one that answers online.
        sink: Gets the part.
        deadline: By `time.monotonic()`; what is not done by then is the report's `remainder`. One block of
            rows is done in any case.
        only: Numbers of the rows to ask, on which the model failed before; the report is of these. None: all.
        careful: Whether a process ended before while it did this, so that a child tries to read first.

    Raises:
        UnreadableFileError: The bytes are not what the layout says.
        UnfitFileError: The layout is not of this model.
        InferenceError: The model fails on every row, so that no row is at fault.
        StoreError: The bytes could not be had.
    """
    share_heaps()
    clock = Clock()
    features = features_of(layout, model.manifest)
    writer = _writer(source, layout, model, sink)
    work = _Work(layout, model, features, writer, clock, only)
    with (
        Ahead(
            clock.timed(
                "decode", _blocks(clock.reading(source), layout, chunk, features, model, careful=careful)
            )
        ) as blocks,
        Behind(clock.timed_call("encode", work.encode)) as behind,
    ):
        remainder = None
        for block in blocks:
            if not work.has_time_for(deadline):
                remainder = block.rest
                break
            work.predict(block, behind)
        behind.close()
    with clock.stage("encode"):
        writer.finish()
    end = remainder.first_row if remainder else chunk.first_row + chunk.rows
    rows = end - chunk.first_row if only is None else sum(row < end for row in only)
    errors = tuple(sorted(work.errors, key=lambda error: error.row))
    return ChunkReport(rows, rows - len(errors), len(errors), errors, clock.seconds(), remainder)


def batch_rows_of(layout: Layout, manifest: Manifest, features: list[Feature]) -> int:
    """Return how many rows the model is asked at once: as the file's owner says, or the plan, or the rule."""
    told = layout.options.batch_rows or manifest.plan.batch_size
    if told:
        return told
    row_bytes = 0
    for feature in features:
        if feature.size is None or feature.datatype.item_bytes is None:
            return DEFAULT_TEXT_ROWS
        row_bytes += feature.size * feature.datatype.item_bytes
    return max(1, min(DEFAULT_BATCH_ROWS, DEFAULT_BATCH_BYTES // max(1, row_bytes)))


class _Work:
    """The stages of one chunk and what they have found."""

    def __init__(
        self,
        layout: Layout,
        model: Model,
        features: list[Feature],
        writer: Writer,
        clock: Clock,
        only: Sequence[int] | None,
    ) -> None:
        self._layout, self._writer, self._clock = layout, writer, clock
        self._specs = specs_of(layout, model.manifest)
        self._asker = Asker(model, features, self._specs, has_failed=only is not None)
        self._only = only
        self._longest_s = 0.0
        self._blocks = 0
        self.errors: list[RowError] = []

    def has_time_for(self, deadline: float | None) -> bool:
        """Return whether another block can be done by then, if it takes as long as the longest did."""
        if deadline is None or not self._blocks:
            return True
        return time.monotonic() + 2 * self._longest_s <= deadline

    def predict(
        self, block: Block, behind: Behind[tuple[Block, Group, int, int, dict[str, np.ndarray]]]
    ) -> None:
        """Ask for a block's rows."""
        started = time.monotonic()
        if self._only is None:
            self.errors.extend(block.errors)
        with self._clock.stage("predict"):
            for group in self._groups(block):
                for low, high, found in self._asker.ask(group.inputs):
                    if isinstance(found, Fault):
                        place = int(group.places[low])
                        self.errors.append(block.error(place, found.reason, found.field, again=found.again))
                    else:
                        behind.put((block, group, low, high, found))
        self._blocks += 1
        self._longest_s = max(self._longest_s, time.monotonic() - started)

    def _groups(self, block: Block) -> Iterator[Group]:
        """Yield the rows to ask; of those that are wanted alone as many as there are."""
        for group in block.groups:
            if self._only is None:
                yield group
            elif len(at := np.flatnonzero(np.isin(block.first_row + group.places, self._only))):
                yield Group(group.places[at], {name: array[at] for name, array in group.inputs.items()})

    def encode(self, answered: tuple[Block, Group, int, int, dict[str, np.ndarray]]) -> None:
        """Write the answers of some rows."""
        block, group, low, high, outputs = answered
        places = group.places[low:high]
        bad = unheld(outputs, self._specs, self._layout.written)
        if bad:
            self.errors.extend(
                block.error(int(places[at]), reason, field) for at, (field, reason) in bad.items()
            )
            good = np.setdiff1d(np.arange(len(places)), list(bad))
            places, outputs = places[good], {name: array[good] for name, array in outputs.items()}
        if len(places):
            self._writer.add(block.kept, places, block.first_row + places, outputs)


def _writer(source: Source, layout: Layout, model: Model, sink: Sink) -> Writer:
    from hotplate.batch.write_tables import writer_of

    if layout.format != "parquet" or layout.schema is None:
        return writer_of(layout, model.manifest, sink)
    from hotplate.batch.parquet_part import kept_schema

    return writer_of(layout, model.manifest, sink, kept_schema(source, layout))


def _blocks(
    source: Source, layout: Layout, chunk: Chunk, features: list[Feature], model: Model, *, careful: bool
) -> Iterator[Block]:
    # Each format's reader is imported by who needs it.
    rows = batch_rows_of(layout, model.manifest, features)
    if not chunk.rows:
        return iter(())
    if layout.format == "csv":
        from hotplate.batch.read_csv import read_csv

        return read_csv(source, layout, chunk, features, rows)
    if layout.format == "jsonl":
        from hotplate.batch.read_jsonl import read_jsonl

        return read_jsonl(source, layout, chunk, features, rows)
    if layout.format == "parquet":
        from hotplate.batch.read_parquet import read_parquet

        return read_parquet(source, layout, chunk, features, rows, careful=careful)
    if layout.format == "zip":
        from hotplate.batch.read_zip import read_zip

        return read_zip(source, chunk, features[0], rows)
    from hotplate.batch.read_arrays import read_arrays

    return read_arrays(source, layout, chunk, features, rows)
