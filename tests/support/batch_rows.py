"""Files of rows, a model without ONNX Runtime, and the whole way of a file through the engine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import arro3.core as arrow
import msgspec
import numpy as np
from arro3.io import read_parquet, write_parquet

from hotplate.batch.engine import predict_chunk
from hotplate.batch.join import finish
from hotplate.batch.layout import BatchOptions, Chunk, Layout
from hotplate.batch.seekable import MemorySource
from hotplate.batch.split import TARGET_BYTES, chunks, find_layout
from hotplate.errors import ValueRangeError
from hotplate.manifest.schema import FileEntry, Manifest, Plan
from hotplate.protocol.types import MetadataTensor
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.model import Model

if TYPE_CHECKING:
    from hotplate.batch.report import ChunkReport, RowError

Array = np.ndarray[Any, Any]
Answer = Callable[[Mapping[str, Array]], Mapping[str, Array]]

X3 = MetadataTensor("x", "FP32", (-1, 3))
Y3 = MetadataTensor("y", "FP32", (-1, 3))
WORD = MetadataTensor("word", "BYTES", (-1,))


class Calls:
    """A predictor that counts."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.rows: list[int] = []

    def run(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> Mapping[str, Array]:
        self.rows.append(len(next(iter(inputs.values()))))
        return self._answer(inputs)


def double(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Answer y = 2x, and in a word whether the first is over a half; NaN is refused, as a function does."""
    x = inputs["x"]
    wrong = np.isnan(x).any(axis=1)
    if wrong.any():
        raise ValueRangeError(f"x of row {int(wrong.argmax())}", expected="a finite number", received="nan")
    words = np.array([b"low", "größer".encode()], object)
    with np.errstate(over="ignore"):  # of damaged bytes
        y = x * np.float32(2)
    return {"y": y, "word": words[(x[:, 0] > 0.5).astype(int)]}


def manifest_of(
    inputs: Sequence[MetadataTensor] = (X3,), outputs: Sequence[MetadataTensor] = (Y3, WORD), **plan: Any
) -> Manifest:
    return Manifest(
        format=1,
        name="rows",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        files=(FileEntry("model.onnx", "graph", 1, "0" * 64),),
        plan=Plan(**plan),
    )


def model_of(answer: Answer = double, manifest: Manifest | None = None) -> Model:
    return Model(manifest or manifest_of(), "v1", Calls(answer), Ledger())


@dataclass
class Outcome:
    """What became of a file."""

    layout: Layout
    body: bytes
    chunks: list[Chunk] = field(default_factory=list)
    reports: list[ChunkReport] = field(default_factory=list)

    @property
    def errors(self) -> list[RowError]:
        return [error for report in self.reports for error in report.errors]

    @property
    def bad_rows(self) -> list[int]:
        return [error.row for error in self.errors]

    @property
    def predicted(self) -> int:
        return sum(report.predicted for report in self.reports)


def predict_file(
    data: bytes,
    name: str,
    model: Model | None = None,
    *,
    target_bytes: int = TARGET_BYTES,
    deadline: float | None = None,
    **options: Any,
) -> Outcome:
    """Take a file through everything; what travels in messages goes through JSON."""
    model = model or model_of()
    source = MemorySource(data)
    layout = through_json(find_layout(source, name, BatchOptions(**options), model.manifest), Layout)
    outcome = Outcome(layout, b"")
    pieces: dict[int, bytes] = {}
    parts: list[MemorySource] = []
    for chunk in chunks(
        source, layout, target_bytes, lambda chunk, piece: pieces.update({chunk.number: piece})
    ):
        outcome.chunks.append(chunk)
        own = MemorySource(pieces[chunk.number]) if chunk.is_piece else source
        left: Chunk | None = through_json(chunk, Chunk)
        while left:
            part = io.BytesIO()
            report = predict_chunk(own, layout, left, model, part, deadline=deadline)
            outcome.reports.append(report)
            parts.append(MemorySource(part.getvalue()))
            left = through_json(report.remainder, Chunk) if report.remainder else None
    joined = io.BytesIO()
    finish(parts, layout, model.manifest, joined)
    outcome.body = joined.getvalue()
    return outcome


def through_json[T](value: T, kind: type[T]) -> T:
    return msgspec.json.decode(msgspec.json.encode(value), type=kind)


def csv_of(rows: Array, *, ids: bool = True, end: str = "\n") -> bytes:
    """Return rows [N, 3] as CSV with the columns `id`, `a`, `b`, `c`."""
    head = ["id,a,b,c" if ids else "a,b,c"]
    body = [
        ",".join([*([f"r{row}"] if ids else []), *map(str, values)])
        for row, values in enumerate(rows.tolist())
    ]
    return "".join(line + end for line in [*head, *body]).encode()


def lines_of(rows: Array) -> bytes:
    return b"".join(
        json.dumps({"id": f"r{row}", "x": values}).encode() + b"\n"
        for row, values in enumerate(rows.tolist())
    )


def parquet_of(columns: Mapping[str, Any], *, group_rows: int = 7, **options: Any) -> bytes:
    """Return columns, arrays of numbers or lists of text, as Parquet."""
    arrays: dict[str, Any] = {
        name: arrow.Array(np.ascontiguousarray(column))
        if isinstance(column, np.ndarray)
        else column
        if isinstance(column, arrow.Array)
        else arrow.Array(column, type=arrow.DataType.utf8())
        for name, column in columns.items()
    }
    file = io.BytesIO()
    write_parquet(arrow.Table.from_pydict(arrays), file, max_row_group_size=group_rows, **options)
    return file.getvalue()


def parquet_rows(rows: Array, **options: Any) -> bytes:
    """Return rows [N, 3] as Parquet with the columns `id`, `a`, `b`, `c`."""
    ids = [f"r{row}" for row in range(len(rows))]
    columns: dict[str, Any] = {"id": ids, **{name: rows[:, at] for at, name in enumerate("abc")}}
    return parquet_of(columns, **options)


def table_of(body: bytes) -> dict[str, list[Any]]:
    table = read_parquet(body).read_all()
    return {name: list(table.column(name).to_pylist()) for name in table.column_names}


def answers_in(outcome: Outcome) -> Iterator[tuple[str, list[float], str]]:
    """Yield `id`, `y` and `word` of each row of a file of predictions, whatever its format."""
    if outcome.layout.format == "csv":
        for text in outcome.body.decode().splitlines()[1:]:
            one, *numbers, word = text.split(",")
            yield one, [float(number) for number in numbers], word
    elif outcome.layout.format == "jsonl":
        for line in outcome.body.splitlines():
            row = json.loads(line)
            yield row["id"], row["y"], row["word"]
    else:
        table = table_of(outcome.body)
        for row in range(len(table["id"])):
            yield table["id"][row], [table[f"y[{at}]"][row] for at in range(3)], table["word"][row]
