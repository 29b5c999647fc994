"""What the diabetes model does around its graph: measurements in their own units to the graph's scale.

Rules kept here:

1. Pure, NumPy only. The scale comes from the version's asset `scaler.json`, so the one that was
   trained with is the one that serves.
2. A record names its columns: one that is missing, unknown or no number is refused by its name.
3. Only finite numbers reach the graph; what the network says for others would be invented.

Axes: N patients, 10 columns.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import MalformedRequestError, ValueRangeError
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
        features = inputs["features"] if "features" in inputs else _features(inputs["record"])
        _refuse_unfinite(features)
        return {"scaled": ((features - mean) / scale).astype(np.float32)}

    return Transforms(preprocess, _unchanged)


def _unchanged(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return outputs


def _features(records: Array) -> Array:
    """Return float64 [N, 10] of JSON objects."""
    features = np.empty((len(records), len(COLUMNS)))
    for row, raw in enumerate(records):
        place = f"record[{row}]"
        try:
            record = json.loads(raw)
        except (ValueError, RecursionError) as fault:
            raise MalformedRequestError(place, expected="a JSON object", received="no JSON") from fault
        if not isinstance(record, dict) or set(record) != set(COLUMNS):
            raise MalformedRequestError(
                place, expected=f"an object of {', '.join(COLUMNS)}", received=_described(record)
            )
        for column, name in enumerate(COLUMNS):
            value = record[name]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise MalformedRequestError(f"{place}.{name}", expected="a number", received=_kind(value))
            features[row, column] = _as_float(value, f"{place}.{name}")
    return features


def _described(record: Any) -> str:
    if not isinstance(record, dict):
        return _kind(record)
    missing, unknown = (
        ", ".join(name for name in COLUMNS if name not in record),
        len(set(record) - set(COLUMNS)),
    )
    return f"one without {missing}" if missing else f"{unknown} more"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _as_float(value: float, place: str) -> float:
    try:
        return float(value)
    except OverflowError as fault:
        raise ValueRangeError(place, expected="a number below 1e308", received="a larger one") from fault


def _refuse_unfinite(features: Array) -> None:
    # Above it float32 has no number; a measurement never is.
    right = np.abs(features) < np.float64(1e30)
    if not right.all():
        row, column = np.unravel_index(int(right.argmin()), features.shape)
        raise ValueRangeError(
            f"{COLUMNS[column]} of row {row}",
            expected="a finite number",
            received=str(features[row, column]),
        )
