"""One form, loaded and run once in this fresh process: `python -m hotplate_tools.optimise.child`.

Reads one JSON job on standard input, writes one JSON line of figures on standard output. The session
is `hotplate.runtime.session.Session`, which is what serves; weights are read into memory beforehand,
as a cold start has them, and reading is not timed. Where the job has requests, they are asked last, so
that what the function's own steps and the rows need is no part of the peak.
"""

from __future__ import annotations

import sys
import time
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from hotplate.manifest.schema import Prepacking
from hotplate.protocol.types import MetadataTensor
from hotplate.runtime.session import Session
from hotplate_tools.publish.golden import seeded_feeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Job", "Latency", "Requests", "Taken", "take"]

# Steady runs: at least and at most so many, until so much time went by.
MIN_RUNS = 5
MAX_RUNS = 200
STEADY_S = 0.5
# A batch that would take longer than so many rows one by one, in ms, is not run.
PATIENCE_MS = 1000.0
# Requests: at least and at most so many, until so much time went by.
MIN_REQUESTS = 20
MAX_REQUESTS = 500
REQUESTS_S = 3.0


class Requests(msgspec.Struct, frozen=True):
    """Evaluation rows to be asked one at a time, between the function's own steps.

    Attributes:
        name: Of the model, by which its function is found.
        assets: Paths by the names that the function knows.
        rows: Path of the rows.
        inputs, outputs: As callers see them.
    """

    name: str
    assets: dict[str, str]
    rows: str
    inputs: tuple[MetadataTensor, ...]
    outputs: tuple[MetadataTensor, ...]


class Job(msgspec.Struct, frozen=True):
    """What to load and run.

    Attributes:
        graph: Path of the ONNX file.
        weights: Paths by the names the graph knows.
        level, prepacking, threads: As `Session` takes them.
        inputs: Of the graph.
        batches: Sizes of the batch curve, smallest first; empty for none.
        requests: Rows to be asked after everything else, or None.
    """

    graph: str
    weights: dict[str, str]
    level: Literal["all", "none"]
    prepacking: Prepacking
    threads: int
    inputs: tuple[MetadataTensor, ...]
    batches: tuple[int, ...]
    requests: Requests | None = None


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds of one row, preprocessing to postprocessing, over `count` rows."""

    p50_ms: float
    p95_ms: float
    count: int


class Taken(msgspec.Struct, frozen=True):
    """Milliseconds and MiB of one process; `batches` is as many of the job's as were worth running."""

    session_ms: float
    first_run_ms: float
    steady_ms: float
    peak_mb: float
    batches: tuple[float, ...]
    latency: Latency | None = None


def take(job: Job) -> Taken:
    """Return the figures of one load and its runs."""
    graph = Path(job.graph).read_bytes()
    weights = {name: _read(Path(path)) for name, path in job.weights.items()}
    started = time.perf_counter()
    session = Session(graph, weights=weights, threads=job.threads, prepacking=job.prepacking, level=job.level)
    built = time.perf_counter()
    feeds = seeded_feeds(job.inputs, 1)
    ready = time.perf_counter()
    session.run(feeds, session.output_names)
    ran = time.perf_counter()
    steady = _steady(session, feeds)
    peak = _peak_mb()  # before larger batches need more
    batches = tuple(_curve(session, job, steady))
    latency = _latency(session, job.requests) if job.requests else None
    return Taken((built - started) * 1000, (ran - ready) * 1000, steady, peak, batches, latency)


def _curve(session: Session, job: Job, one_row_ms: float) -> Iterator[float]:
    """Yield the steady time of each size, until one would take longer than anybody waits."""
    for size in job.batches:
        if size > 1 and size * one_row_ms > PATIENCE_MS:
            return
        yield _steady(session, seeded_feeds_of(job.inputs, size))


def seeded_feeds_of(inputs: tuple[MetadataTensor, ...], rows: int) -> dict[str, Any]:
    """Return `rows` times the seeded feeds of one row: only the first dimension grows."""
    return {
        name: np.repeat(array, rows, axis=0) if rows > 1 else array
        for name, array in seeded_feeds(inputs, 1).items()
    }


def _latency(session: Session, requests: Requests) -> Latency:
    # What these bring with them is no part of serving, so it is imported after the peak was read.
    from hotplate_tools.optimise.evaluation import read_evaluation, single_rows
    from hotplate_tools.publish.build import load_transforms

    assets = {name: Path(path).read_bytes() for name, path in requests.assets.items()}
    transforms = load_transforms(requests.name, assets)
    evaluation = read_evaluation(Path(requests.rows), requests.inputs, requests.outputs, None)
    rows = single_rows(evaluation, requests.inputs)
    # Drawn, as files are often sorted by class; the same ones for every model.
    asked = [rows[index] for index in np.random.default_rng(0).permutation(len(rows))[:MAX_REQUESTS]]

    def answer(feeds: Mapping[str, Any]) -> float:
        started = time.perf_counter()
        if transforms:
            transforms.apply(feeds, session.run_all)
        else:
            session.run_all(feeds)
        return (time.perf_counter() - started) * 1000

    answer(asked[0])  # imports what the steps import when they are first needed
    times: list[float] = []
    until = time.perf_counter() + REQUESTS_S
    for feeds in cycle(asked):
        times.append(answer(feeds))
        enough = max(MIN_REQUESTS, len(asked))
        if len(times) >= enough or (len(times) >= MIN_REQUESTS and time.perf_counter() >= until):
            break
    p50, p95 = np.percentile(times, (50, 95))
    return Latency(float(p50), float(p95), len(times))


def _steady(session: Session, feeds: dict[str, Any]) -> float:
    times: list[float] = []
    until = time.perf_counter() + STEADY_S
    while len(times) < MIN_RUNS or (len(times) < MAX_RUNS and time.perf_counter() < until):
        started = time.perf_counter()
        session.run(feeds, session.output_names)
        times.append((time.perf_counter() - started) * 1000)
    return median(times)


def _read(file: Path) -> memoryview:
    body = memoryview(np.empty(file.stat().st_size, np.uint8)).cast("B")
    with file.open("rb") as stream:
        done = 0
        while done < len(body):  # one read stops short of 2 GiB
            done += stream.readinto(body[done:])
    return body


def _peak_mb() -> float:
    # Not getrusage: its figure starts at the parent's, which Linux hands on through exec.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    taken = take(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))
    sys.stdout.buffer.write(msgspec.json.encode(taken) + b"\n")
