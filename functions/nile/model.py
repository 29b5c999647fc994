"""What the nile model does around its graph: it refuses what no river can have been.

Pure, NumPy only. Axes: N series, T years.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ShapeMismatchError, ValueRangeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    Array = np.ndarray[Any, Any]

__all__ = ["MAX_FLOW", "MAX_YEARS", "postprocess", "preprocess"]

# In 1e8 cubic metres a year. Ours: no river has more than the Amazon's 66,000.
MAX_FLOW = 1e5

# Ours: a graph that takes its steps one after the other needs a second for some ten thousand.
MAX_YEARS = 10_000


def preprocess(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return `flow`, float32 [N, T], as it came.

    Args:
        inputs: `flow`, float32 [N, T] in 1e8 cubic metres a year, the oldest first.

    Raises:
        ShapeMismatchError: No year, or more than `MAX_YEARS`.
        ValueRangeError: A flow is NaN or outside 0..`MAX_FLOW`.
    """
    flow = inputs["flow"]
    if not 1 <= flow.shape[1] <= MAX_YEARS:
        raise ShapeMismatchError("flow", expected=f"1 to {MAX_YEARS} years", received=f"{flow.shape[1]}")
    # NaN fails both comparisons, so one expression finds it too.
    right = (flow >= 0) & (flow <= MAX_FLOW)
    if not right.all():
        row, year = np.unravel_index(int(right.argmin()), flow.shape)
        raise ValueRangeError(
            f"flow[{row}, {year}]",
            expected=f"0 to {MAX_FLOW:.0f} (1e8 cubic metres a year)",
            received=str(flow[row, year]),
        )
    return {"flow": flow}


def postprocess(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return `next_flow`, float32 [N, 1], for the graph's only output, never below 0."""
    (told,) = outputs.values()
    return {"next_flow": np.maximum(told, np.float32(0))}
