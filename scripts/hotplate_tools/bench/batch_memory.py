"""Does a worker hold more the larger the file? `hotplate bench batch --memory`.

Each size is a file on disk and two processes of its own: one cuts it, the other predicts every chunk of it,
as two functions would. The kernel says what each held at most.
"""

from __future__ import annotations

import io
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate.batch.engine import predict_chunk
from hotplate_tools.bench.batch_rows import FileSource, cut, loaded, written
from hotplate_tools.console import Console
from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.runtime.model import Model
    from hotplate_tools.bench.batch_rows import Rows

__all__ = ["MAX_GROWTH_MB", "Peak", "bench_batch_memory", "is_flat", "peaks_data", "peaks_text"]

# How much more a file may cost than one of ten times fewer rows whose chunk is full, in MiB. Ours: by what
# lies ready between the stages two runs of the same file differ by 54.
MAX_GROWTH_MB = 64.0
# A file of so many rows has a full chunk.
_FULL_ROWS = 1_000_000

type Peak = tuple[int, int, float, float]
"""Rows, bytes of the file, and what cutting it and predicting it held at most, in MiB."""


def bench_batch_memory(sizes: Sequence[int], kind: str, *, console: Console) -> list[Peak]:
    """Return what is held at most, for each number of rows.

    Raises:
        FailedError: A row was not predicted.
    """
    peaks = []
    with tempfile.TemporaryDirectory(prefix="hotplate-bench-") as folder:
        for rows in sizes:
            with console.step(f"Writing and predicting {rows:,} rows of {kind}"):
                path = written(Path(folder) / f"rows.{kind}", kind, rows)
                context = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    found, cutting_mb = pool.submit(_cut, path, kind).result()
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    predicting_mb = pool.submit(_predict, path, found, rows).result()
                peaks.append((rows, path.stat().st_size, cutting_mb, predicting_mb))
                path.unlink()
    return peaks


def is_flat(peaks: Sequence[Peak]) -> bool:
    """Return whether no file with full chunks cost more than it may beyond the first of them."""
    full = [held for rows, _, *held in peaks if rows >= _FULL_ROWS]
    return all(now - then <= MAX_GROWTH_MB for held in full for now, then in zip(held, full[0], strict=True))


def _cut(path: Path, kind: str) -> tuple[Rows, float]:
    return cut(FileSource(path), kind, _model()), _peak_mb()


def _predict(path: Path, found: Rows, rows: int) -> float:
    model, source = _model(), FileSource(path)
    predicted = 0
    for chunk in found.chunks:
        predicted += predict_chunk(source, found.layout, chunk, model, io.BytesIO()).predicted
    if predicted != rows:
        raise FailedError(f"{predicted:,} of {rows:,} rows were predicted")
    return _peak_mb()


def _model() -> Model:
    with redirect_stderr(io.StringIO()):
        return loaded(Console(as_json=True))


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def peaks_data(kind: str, peaks: Sequence[Peak]) -> dict[str, Any]:
    """Return the figures for `--json`."""
    return {
        "format": kind,
        "peaks": [
            {
                "rows": rows,
                "file_bytes": size,
                "cutting_peak_mb": round(cutting, 1),
                "predicting_peak_mb": round(predicting, 1),
            }
            for rows, size, cutting, predicting in peaks
        ],
    }


def peaks_text(kind: str, peaks: Sequence[Peak]) -> str:
    """Return the figures as a table."""
    lines = [
        f"what is held at most, {kind}, MiB",
        f"  {'rows':>12}{'file MB':>10}{'cutting':>10}{'predicting':>12}",
    ]
    lines += [
        f"  {rows:>12,}{size / 1e6:>10,.0f}{cutting:>10,.0f}{predicting:>12,.0f}"
        for rows, size, cutting, predicting in peaks
    ]
    return "\n".join(lines)
