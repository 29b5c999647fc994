"""How fast is one worker of a batch, beside the bare session? `hotplate bench batch`.

The engine alone: files in memory, parts to memory, no queue and no S3. Each round runs the session over all
rows at the batch size that was best for it, then the engine over the same rows in each format, so that a
machine which gets busier does so for all. Beside the clock stands the processor's time, of all threads: what
the engine is where it has one core, and what a busy machine disturbs least. The answers are compared with
those of requests.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.batch.engine import predict_chunk
from hotplate.batch.join import finish
from hotplate.batch.seekable import MemorySource
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor
from hotplate.runtime.model import TransformedGraph
from hotplate_tools.bench.batch_rows import cut, loaded, rows_of, written
from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.runtime.model import Model
    from hotplate_tools.bench.batch_rows import Array
    from hotplate_tools.console import Console

__all__ = ["BAR", "Batch", "Engine", "batch_data", "batch_text", "bench_batch"]

# The least share of the bare session's rows a second that the engine has with Parquet. Ours.
BAR = 0.85
SIZES = (64, 256, 1024, 2048, 4096, 8192, 16384)
SAMPLE = 1000
_PROBE_ROWS = 131_072


@dataclass(slots=True)
class Engine:
    """One format's runs.

    Attributes:
        file_bytes, chunks: Of the input.
        split_s, join_s: What cutting the file, and joining the parts, took at the first round.
        seconds, cpu_s: What predicting all rows took, by the clock and the processor, one a round.
        stages: How long each stage was busy, summed over the chunks, at the fastest round.
        ratios, cpu_ratios: Rows a second, in the bare session's of the same round; by the same two.
    """

    file_bytes: int
    chunks: int
    split_s: float
    join_s: float = 0.0
    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    ratios: list[float] = field(default_factory=list)
    cpu_ratios: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one worker did.

    Attributes:
        rows, batch_rows: How many there were, and the bare session's best batch size.
        bare_s: What the bare session took, one a round.
        engines: By format.
        differing: Of `SAMPLE` rows, how many were answered with other bits when they were asked by a request,
            together and one by one.
    """

    rows: int
    batch_rows: int
    bare_s: list[float]
    engines: Mapping[str, Engine]
    differing: tuple[int, int]

    @property
    def is_within(self) -> bool:
        """Whether Parquet is as fast as it must be; True if it was not asked for."""
        return "parquet" not in self.engines or median(self.engines["parquet"].ratios) >= BAR


def bench_batch(rows: int, formats: Sequence[str], *, rounds: int, console: Console) -> Batch:
    """Return how fast one worker predicts.

    Raises:
        FailedError: A row was not predicted, or not as a request of the same rows is answered.
    """
    model = loaded(console)
    table = np.concatenate(list(rows_of(rows)))
    with console.step("Finding the session's best batch size"):
        size = min(SIZES, key=lambda each: min(_bare_s(model, table[:_PROBE_ROWS], each)[1] for _ in "123"))
    files = {}
    for kind in formats:
        with console.step(f"Writing {rows:,} rows as {kind}"), tempfile.TemporaryDirectory() as folder:
            files[kind] = written(Path(folder) / f"rows.{kind}", kind, rows).read_bytes()
    bare_s: list[float] = []
    engines: dict[str, Engine] = {}
    answers: Array = np.empty((0, 2), np.float32)
    with console.step(f"Running the session and the engine by turns, {rounds} rounds"):
        for _ in range(rounds):
            for kind in formats:
                seconds, cpu_s = _bare_s(model, table, size)
                bare_s.append(seconds)
                answers = _run(model, files[kind], kind, engines, rows)
                engine = engines[kind]
                engine.ratios.append(seconds / engine.seconds[-1])
                engine.cpu_ratios.append(cpu_s / engine.cpu_s[-1])
    return Batch(rows, size, bare_s, engines, _differing(model, table, answers))


def _bare_s(model: Model, rows: Array, size: int) -> tuple[float, float]:
    """Return what the session takes for rows, by the clock and the processor."""
    graph = model.predictor
    if not isinstance(graph, TransformedGraph):
        raise FailedError("the model is no graph")
    session = graph.session
    started, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(rows), size):
        session.run_all({"input": rows[first : first + size]})
    return time.perf_counter() - started, time.process_time() - cpu


def _run(model: Model, data: bytes, kind: str, engines: dict[str, Engine], rows: int) -> Array:
    """Predict a file, and return the probabilities of its first rows."""
    source = MemorySource(data)
    started = time.perf_counter()
    found = cut(source, kind, model)
    engine = engines.setdefault(kind, Engine(len(data), len(found.chunks), time.perf_counter() - started))
    parts, stages, predicted = [], dict[str, float](), 0
    started, cpu = time.perf_counter(), time.process_time()
    for chunk in found.chunks:
        part = io.BytesIO()
        report = predict_chunk(source, found.layout, chunk, model, part)
        predicted += report.predicted
        parts.append(MemorySource(part.getvalue()))
        for name, seconds in report.seconds.items():
            stages[name] = stages.get(name, 0.0) + seconds
    spent = time.perf_counter() - started
    engine.cpu_s.append(time.process_time() - cpu)
    if predicted != rows:
        raise FailedError(f"{predicted:,} of {rows:,} rows of {kind} were predicted")
    if spent < min(engine.seconds, default=float("inf")):
        engine.stages = stages
    engine.seconds.append(spent)
    started = time.perf_counter()
    joined = io.BytesIO()
    finish(parts, found.layout, model.manifest, joined)
    engine.join_s = engine.join_s or time.perf_counter() - started
    return _probabilities(joined.getvalue(), kind)


def _probabilities(body: bytes, kind: str) -> Array:
    import orjson
    from arro3.io import read_parquet

    if kind == "parquet":
        batch = read_parquet(body, batch_size=SAMPLE).read_next_batch()
        columns = [batch.column(f"probabilities[{place}]").to_numpy() for place in range(2)]
        return np.stack(columns, axis=1)
    lines = io.BytesIO(body)
    if kind == "csv":
        lines.readline()
        return np.array([next(lines).split(b",")[1:3] for _ in range(SAMPLE)], np.float32)
    return np.array([orjson.loads(next(lines))["probabilities"] for _ in range(SAMPLE)], np.float32)


def _differing(model: Model, table: Array, answers: Array) -> tuple[int, int]:
    """Return of how many rows the answers differ from a request's: of all of them, and of one each.

    Raises:
        FailedError: They differ by more than a digit.
    """
    wanted = (RequestOutput("probabilities", binary=True),)

    def ask(rows: Array) -> Array:
        tensor = Tensor("features", "FP32", rows)
        return model.predict(InferenceRequest(None, (tensor,), wanted)).outputs[0].array

    sample = table[: len(answers)]
    together, alone = ask(sample), np.concatenate([ask(row[None]) for row in sample])
    if not np.allclose(answers, together, rtol=1e-5, atol=1e-6):
        raise FailedError("the engine's answers are not those of a request")
    differ = [(answers.view(np.int32) != each.view(np.int32)).any(axis=1).sum() for each in (together, alone)]
    return int(differ[0]), int(differ[1])


def batch_data(seen: Batch) -> dict[str, Any]:
    """Return the figures for `--json`."""
    return {
        "rows": seen.rows,
        "batch_rows": seen.batch_rows,
        "bare_rows_per_s": round(seen.rows / median(seen.bare_s)),
        "bar": BAR,
        "is_within": seen.is_within,
        "sample": SAMPLE,
        "differing_together": seen.differing[0],
        "differing_alone": seen.differing[1],
        "engines": {
            kind: {
                "rows_per_s": round(seen.rows / median(engine.seconds)),
                "ratio": round(median(engine.ratios), 3),
                "ratios": [round(ratio, 3) for ratio in engine.ratios],
                "cpu_ratio": round(median(engine.cpu_ratios), 3),
                "file_bytes": engine.file_bytes,
                "chunks": engine.chunks,
                "split_s": round(engine.split_s, 3),
                "join_s": round(engine.join_s, 3),
                "busy_s": {name: round(seconds, 3) for name, seconds in engine.stages.items()},
            }
            for kind, engine in seen.engines.items()
        },
    }


def batch_text(seen: Batch) -> str:
    """Return the figures as a table."""
    data = batch_data(seen)
    lines = [
        f"{seen.rows:,} rows, one worker, {len(seen.bare_s) // len(seen.engines)} rounds of each",
        f"  the session alone, {seen.batch_rows:,} rows a run: {data['bare_rows_per_s']:,} rows/s",
        f"  {'':<10}{'rows/s':>12}{'of it':>8}{'by CPU':>8}{'split s':>9}{'join s':>8}   busy s",
    ]
    for kind, each in data["engines"].items():
        busy = ", ".join(f"{name} {seconds:.2f}" for name, seconds in each["busy_s"].items())
        lines.append(
            f"  {kind:<10}{each['rows_per_s']:>12,}{each['ratio']:>8.1%}{each['cpu_ratio']:>8.1%}"
            f"{each['split_s']:>9.2f}{each['join_s']:>8.2f}   {busy}"
        )
    if "parquet" in seen.engines:
        word = "at least" if seen.is_within else "UNDER"
        lines.append(f"Parquet is {word} {BAR:.0%} of the session alone")
    together, alone = seen.differing
    lines.append(f"of {SAMPLE:,} rows {together} are answered otherwise by one request, {alone} by one each")
    return "\n".join(lines)
