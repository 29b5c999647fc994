"""What the breast-cancer model does around its graph: measurements by name, a diagnosis in words.

Rules kept here:

1. Pure, NumPy only.
2. What is refused in a record, and in a number, is in `hotplate.runtime.records`. Nothing measured
   is negative, and a mean of several can be nothing else.

Axes: N samples, 30 columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ValueRangeError
from hotplate.runtime.records import read_records, refuse_unfinite

if TYPE_CHECKING:
    from collections.abc import Mapping

    Array = np.ndarray[Any, Any]

__all__ = ["CLASSES", "COLUMNS", "postprocess", "preprocess"]

CLASSES = ("malignant", "benign")

# Source: Wolberg, Street, Mangasarian: ten features of the nuclei in one image, each as the mean, its
# standard error and the mean of the three largest.
_FEATURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
COLUMNS = (
    *(f"mean {feature}" for feature in _FEATURES),
    *(f"{feature} error" for feature in _FEATURES),
    *(f"worst {feature}" for feature in _FEATURES),
)


def preprocess(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return `input`, float32 [N, 30], for `features`, float32 [N, 30], or `record`, object [N] of bytes.

    Raises:
        MalformedRequestError: A record is no JSON object of the columns.
        ValueRangeError: A measurement is not finite, or negative.
    """
    features = inputs["features"] if "features" in inputs else read_records(inputs["record"], COLUMNS)
    refuse_unfinite(features, COLUMNS)
    if features.min(initial=0) < 0:
        row, column = np.unravel_index(int((features < 0).argmax()), features.shape)
        raise ValueRangeError(
            f"{COLUMNS[column]} of row {row}", expected="at least 0", received=str(features[row, column])
        )
    return {"input": np.asarray(features, np.float32)}


def postprocess(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return `probabilities`, float32 [N, 2], as the graph gave them, and the more probable as `diagnosis`.

    Args:
        outputs: `probabilities`, and the graph's own `label`, which is not used.

    Returns:
        `probabilities`, and `diagnosis`, object [N] of bytes from `CLASSES`; malignant of equal ones.
    """
    probabilities = outputs["probabilities"]
    words = np.array([name.encode() for name in CLASSES], object)
    return {"probabilities": probabilities, "diagnosis": words[probabilities.argmax(axis=1)]}
