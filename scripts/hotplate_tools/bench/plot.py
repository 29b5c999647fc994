"""The picture of first answers, as a job for `hotplate_tools.drawing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotplate_tools.bench.cold import Cold

__all__ = ["plot_job"]

NAMES = {"hotplate": "hotplate", "usual": "usual handler", "floor": "imports and bytes alone"}


def plot_job(seen: Cold) -> dict[str, Any]:
    """Return what is to be drawn; what ran beside other phases has no length of its own."""
    link = f", S3 at {seen.mbps:g} Mbit/s" if seen.mbps else ""
    rounds = len(seen.starts["hotplate"].wall_ms)
    return {
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
