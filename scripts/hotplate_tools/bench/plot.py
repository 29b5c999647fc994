"""The picture of first answers: a JSON job for matplotlib, which runs in an environment of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate_tools.convert.kinds import Converter
from hotplate_tools.convert.process import Runner

if TYPE_CHECKING:
    from hotplate_tools.bench.cold import Cold
    from hotplate_tools.console import Console

__all__ = ["draw", "plot_job"]

PLOTTER = Converter("matplotlib", "plot", "run_phases.py")
NAMES = {"hotplate": "hotplate", "usual": "usual handler", "floor": "imports alone"}


def plot_job(seen: Cold, file: Path) -> dict[str, Any]:
    """Return what is to be drawn; what ran beside other phases has no length of its own."""
    link = f", S3 at {seen.mbps:g} Mbit/s" if seen.mbps else ""
    rounds = len(seen.starts["hotplate"].wall_ms)
    return {
        "file": str(file.resolve()),
        "title": f"{seen.source_bytes / 1e6:,.1f} MB network{link}, {rounds} starts of each by turns",
        "bars": [
            {
                "name": NAMES[name],
                "median_ms": start.median_ms,
                "phases_ms": {phase: ms for phase, ms in start.phases_ms.items() if "beside" not in phase},
            }
            for name, start in seen.starts.items()
        ],
    }


def draw(seen: Cold, file: Path, console: Console) -> None:
    """Draw first answers into a PNG file.

    Raises:
        FailedError: matplotlib cannot be installed, or the file cannot be written.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hotplate-plot-") as folder,
        Runner(PLOTTER, Path(folder), console) as runner,
        console.step(f"Drawing {file.name}"),
    ):
        runner.ask("draw", **plot_job(seen, file))
