"""The picture of a ranking: a JSON job for matplotlib, which runs in an environment of its own."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate_tools.convert.kinds import Converter
from hotplate_tools.convert.process import Runner

if TYPE_CHECKING:
    from hotplate_tools.choose.compare import Compared
    from hotplate_tools.console import Console

__all__ = ["draw", "plot_job"]

PLOTTER = Converter("matplotlib", "plot", "run_plot.py")


def plot_job(compared: Compared, file: Path) -> dict[str, Any]:
    """Return what is to be drawn; a candidate whose quality is no number has no place in it."""
    return {
        "file": str(file.resolve()),
        "title": f"{compared.rows:,} rows of {compared.rows_file}",
        "quality": compared.metric,
        "points": [
            {
                "name": one.name,
                "quality": one.quality,
                "p95_ms": one.p95_ms,
                "usd": one.usd,
                "peak_mb": one.peak_mb,
                "cold_start_s": one.cold_start_s,
                "front": one.name in compared.front,
            }
            for one in compared.ranked
            if not math.isnan(one.quality)
        ],
    }


def draw(compared: Compared, file: Path, console: Console) -> None:
    """Draw the ranking into a PNG file.

    Raises:
        FailedError: matplotlib cannot be installed, or the file cannot be written.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hotplate-plot-") as folder,
        Runner(PLOTTER, Path(folder), console) as runner,
        console.step(f"Drawing {file.name}"),
    ):
        runner.ask("draw", **plot_job(compared, file))
