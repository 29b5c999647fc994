"""One form, loaded and run once in this fresh process: `python -m hotplate_tools.optimise.child`.

Reads one JSON job on standard input, writes one JSON line of figures on standard output. The session
is `hotplate.runtime.session.Session`, which is what serves; weights are read into memory beforehand,
as a cold start has them, and reading is not timed.
"""

from __future__ import annotations

import sys
import time
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
    from collections.abc import Iterator

__all__ = ["Job", "Taken", "take"]

# Steady runs: at least and at most so many, until so much time went by.
MIN_RUNS = 5
MAX_RUNS = 200
STEADY_S = 0.5
# A batch that would take longer than so many rows one by one, in ms, is not run.
PATIENCE_MS = 1000.0


class Job(msgspec.Struct, frozen=True):
    """What to load and run.

    Attributes:
        graph: Path of the ONNX file.
        weights: Paths by the names the graph knows.
        level, prepacking, threads: As `Session` takes them.
        inputs: Of the graph.
        batches: Sizes of the batch curve, smallest first; empty for none.
    """

    graph: str
    weights: dict[str, str]
    level: Literal["all", "none"]
    prepacking: Prepacking
    threads: int
    inputs: tuple[MetadataTensor, ...]
    batches: tuple[int, ...]


class Taken(msgspec.Struct, frozen=True):
    """Milliseconds and MiB of one process; `batches` is as many of the job's as were worth running."""

    session_ms: float
    first_run_ms: float
    steady_ms: float
    peak_mb: float
    batches: tuple[float, ...]


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
    return Taken((built - started) * 1000, (ran - ready) * 1000, steady, peak, batches)


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
