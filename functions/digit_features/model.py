"""What the digit-features model does around its graph: an 8 by 8 picture to a hundred features, scaled.

Rules kept here:

1. Pure, NumPy only. The scale comes from the version's asset `scaler.json`.
2. The features are made here and nowhere else: 64 grey levels, then sums of them over the 8 rows, the
   8 columns, the 16 blocks of 2 by 2 and the 4 quarters.
3. Grey levels are 0 to 16, as the data has them.

Axes: N pictures, 8 rows from the top, 8 columns from the left.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ValueRangeError
from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Mapping

    Array = np.ndarray[Any, Any]

__all__ = ["FEATURES", "SCALER", "SIDE", "expanded", "transforms"]

FEATURES = 100
SIDE = 8
MAX_GREY = 16
SCALER = "scaler.json"


def transforms(assets: Mapping[str, bytes]) -> Transforms:
    """Return the steps for a version.

    Args:
        assets: `SCALER`: `{"mean": [100 numbers], "scale": [100 numbers]}`.

    Raises:
        LookupError, ValueError: The asset is not there, or not that.
    """
    document = json.loads(assets[SCALER])
    mean, scale = (np.array(document[key], np.float32) for key in ("mean", "scale"))
    if mean.shape != (FEATURES,) or scale.shape != mean.shape or not (scale > 0).all():
        raise ValueError(f"{SCALER}: mean and scale of {FEATURES} features were expected")

    def preprocess(inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return `scaled`, float32 [N, 100], for `features`, float32 [N, 100], or `image`, [N, 8, 8]."""
        if "image" in inputs:
            return {"scaled": (expanded(_in_range(inputs["image"])) - mean) / scale}
        return {"scaled": (_finite(inputs["features"]) - mean) / scale}

    return Transforms(preprocess, _decided)


def expanded(image: Array) -> Array:
    """Return float32 [N, 100] for float32 [N, 8, 8]."""
    count, half = len(image), SIDE // 2
    blocks = image.reshape(count, half, 2, half, 2).sum(axis=(2, 4))
    quarters = image.reshape(count, 2, half, 2, half).sum(axis=(2, 4))
    parts = [image, image.sum(axis=2), image.sum(axis=1), blocks, quarters]
    # Not -1: NumPy cannot tell a row's length where there are no rows.
    rows = [part.reshape(count, math.prod(part.shape[1:])) for part in parts]
    return np.concatenate(rows, axis=1).astype(np.float32)


def _decided(outputs: Mapping[str, Array]) -> dict[str, Array]:
    return {**outputs, "digit": outputs["probabilities"].argmax(axis=1).astype(np.int64)}


def _in_range(image: Array) -> Array:
    right = (image >= 0) & (image <= MAX_GREY)  # NaN fails both
    if not right.all():
        place = np.unravel_index(int(right.argmin()), image.shape)
        where = ", ".join(str(int(axis)) for axis in place)
        raise ValueRangeError(
            f"image[{where}]", expected=f"0 (paper) to {MAX_GREY} (ink)", received=str(image[place])
        )
    return image


def _finite(features: Array) -> Array:
    right = np.isfinite(features)
    if not right.all():
        row, column = np.unravel_index(int(right.argmin()), features.shape)
        raise ValueRangeError(
            f"features[{row}, {column}]", expected="a finite number", received=str(features[row, column])
        )
    return features
