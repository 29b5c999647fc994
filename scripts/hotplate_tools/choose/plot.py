"""The picture of a ranking, as a job for `hotplate_tools.drawing`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotplate_tools.choose.compare import Compared

__all__ = ["plot_job"]


def plot_job(compared: Compared) -> dict[str, Any]:
    """Return what is to be drawn; a candidate whose quality is no number has no place in it."""
    return {
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
