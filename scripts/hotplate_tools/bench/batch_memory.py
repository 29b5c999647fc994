"""Does a worker hold more the larger the file? `hotplate bench batch --memory`.

Each size is a file on disk and a process of its own, which cuts the file and predicts every chunk of it, as a
function would; the kernel says what it held at most.
"""

from __future__ import annotations

import io
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate.batch.engine import predict_chunk
from hotplate_tools.bench.batch_rows import FileSource, cut, loaded, written
from hotplate_tools.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_GROWTH_MB", "Peak", "bench_batch_memory", "is_flat", "peaks_data", "peaks_text"]

# How much more a file may cost than one of ten times fewer rows whose chunk is full, in MiB. Ours: what the
# allocator keeps of a chunk.
MAX_GROWTH_MB = 32.0
# A file of so many rows has a full chunk.
_FULL_ROWS = 1_000_000

type Peak = tuple[int, int, float, float]
"""Rows, bytes of the file, MiB at most, seconds."""


def bench_batch_memory(sizes: Sequence[int], kind: str, *, console: Console) -> list[Peak]:
    """Return what a worker holds at most, for each number of rows."""
    peaks = []
    with tempfile.TemporaryDirectory(prefix="hotplate-bench-") as folder:
        for rows in sizes:
            with console.step(f"Writing and predicting {rows:,} rows of {kind}"):
                path = written(Path(folder) / f"rows.{kind}", kind, rows)
                context = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    started = time.perf_counter()
                    held = pool.submit(_peak_mb, path, kind, rows).result()
                peaks.append((rows, path.stat().st_size, held, time.perf_counter() - started))
                path.unlink()
    return peaks


def is_flat(peaks: Sequence[Peak]) -> bool:
    """Return whether no file with full chunks cost more than it may beyond the first of them."""
    full = [held for rows, _, held, _ in peaks if rows >= _FULL_ROWS]
    return all(held - full[0] <= MAX_GROWTH_MB for held in full)


def _peak_mb(path: Path, kind: str, rows: int) -> float:
    with redirect_stderr(io.StringIO()):
        model = loaded(Console(as_json=True))
    source = FileSource(path)
    found = cut(source, kind, model)
    predicted = 0
    for chunk in found.chunks:
        predicted += predict_chunk(source, found.layout, chunk, model, io.BytesIO()).predicted
    if predicted != rows:
        raise ValueError(f"{predicted:,} of {rows:,} rows were predicted")
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def peaks_data(kind: str, peaks: Sequence[Peak]) -> dict[str, Any]:
    """Return the figures for `--json`."""
    return {
        "format": kind,
        "peaks": [
            {"rows": rows, "file_bytes": size, "peak_mb": round(held, 1), "seconds": round(seconds, 1)}
            for rows, size, held, seconds in peaks
        ],
    }


def peaks_text(kind: str, peaks: Sequence[Peak]) -> str:
    """Return the figures as a table."""
    lines = [f"what one worker holds at most, {kind}", f"  {'rows':>12}{'file MB':>10}{'MiB':>8}"]
    lines += [f"  {rows:>12,}{size / 1e6:>10,.0f}{held:>8,.0f}" for rows, size, held, _ in peaks]
    return "\n".join(lines)
