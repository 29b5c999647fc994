"""What the diabetes model does around its graph: measurements in their own units to the graph's scale.

Rules kept here:

1. Pure, NumPy only. The scale comes from the version's asset `scaler.json`, so the one that was
   trained with is the one that serves.
2. What is refused in a record, and in a number, is in `hotplate.runtime.records`.

Axes: N patients, 10 columns.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.runtime.records import read_records, refuse_unfinite
from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Mapping

    Array = np.ndarray[Any, Any]

__all__ = ["COLUMNS", "SCALER", "transforms"]

COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
SCALER = "scaler.json"


def transforms(assets: Mapping[str, bytes]) -> Transforms:
    """Return the steps for a version.

    Args:
        assets: `SCALER`: `{"mean": [10 numbers], "scale": [10 numbers]}` in the order of `COLUMNS`.

    Raises:
        LookupError, ValueError: The asset is not there, or not that.
    """
    document = json.loads(assets[SCALER])
    mean, scale = (np.array(document[key], np.float64) for key in ("mean", "scale"))
    if mean.shape != (len(COLUMNS),) or scale.shape != mean.shape or not (scale > 0).all():
        raise ValueError(f"{SCALER}: mean and scale of {len(COLUMNS)} columns were expected")

    def preprocess(inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return `scaled`, float32 [N, 10], for `features`, float32 [N, 10], or `record`, object [N]."""
        features = inputs["features"] if "features" in inputs else read_records(inputs["record"], COLUMNS)
        refuse_unfinite(features, COLUMNS)
        return {"scaled": ((features - mean) / scale).astype(np.float32)}

    return Transforms(preprocess, _unchanged)


def _unchanged(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return outputs
