"""Pictures: a JSON job for matplotlib, which runs in an environment of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate_tools.convert.kinds import Converter
from hotplate_tools.convert.process import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.console import Console

__all__ = ["draw"]


def draw(runner: str, job: Mapping[str, Any], file: Path, console: Console) -> None:
    """Draw into a PNG file.

    Args:
        runner: Program of `convert/runners` that takes the job.
        job: What it is to draw, as JSON can hold it.
        file: To be written, or written over.
        console: Told of the step.

    Raises:
        FailedError: matplotlib cannot be installed, or the file cannot be written.
    """
    plotter = Converter("matplotlib", "plot", runner)
    with (
        tempfile.TemporaryDirectory(prefix="hotplate-plot-") as folder,
        Runner(plotter, Path(folder), console) as running,
        console.step(f"Drawing {file.name}"),
    ):
        running.ask("draw", file=str(file.resolve()), **job)
