"""What the co2 model does around its graph: a year of weekly values in, the weeks after it out.

Rules kept here:

1. Pure, NumPy only. The scale comes from the version's asset `scaler.json`.
2. The graph says one step, the change from the last value, from 52 weeks relative to that value: the
   air's level rises every year, so a network that saw levels would be asked for what it never saw.
3. More weeks ahead are the same graph run again on its own answers, one run a week.

Axes: S series, T = 52 timesteps from old to new, one feature.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ShapeMismatchError, ValueRangeError
from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Array = np.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

__all__ = ["MAX_HORIZON", "SCALER", "TIMESTEPS", "transforms"]

TIMESTEPS = 52
# Ours: after a year of its own answers the network sees nothing else.
MAX_HORIZON = 52
SCALER = "scaler.json"


def transforms(assets: Mapping[str, bytes]) -> Transforms:
    """Return the steps for a version.

    Args:
        assets: `SCALER`: `{"window": number, "step": number}`, the spread of a window around its last
            value and of one step, in ppm.

    Raises:
        LookupError, ValueError: The asset is not there, or not that.
    """
    document = json.loads(assets[SCALER])
    spread, step_spread = float(document["window"]), float(document["step"])
    if not (spread > 0 and step_spread > 0):
        raise ValueError(f"{SCALER}: spreads above 0 were expected")

    def rollout(feeds: Arrays, run: Callable[[Arrays], Arrays]) -> dict[str, Array]:
        history = feeds["history"]  # (S, T)
        forecast = []
        for _ in range(int(feeds["horizon"][0])):
            last = history[:, -1:]
            scaled = ((history - last) / spread).astype(np.float32)[:, :, None]  # (S, T, 1)
            following = last + run({"scaled": scaled})["step"] * step_spread  # (S, 1)
            forecast.append(following)
            history = np.concatenate([history[:, 1:], following], axis=1)
        return {"forecast": np.concatenate(forecast, axis=1).astype(np.float32)}

    return Transforms(_preprocess, _unchanged, rollout)


def _preprocess(inputs: Arrays) -> dict[str, Array]:
    """Return `history`, float64 [S, T], and `horizon`.

    Args:
        inputs: `horizon`, int64 [1], weeks ahead, 1 to `MAX_HORIZON`; and one of
            `window`, float32 [S, T, 1], ppm;
            `values`, float32 [at least T], ppm, one series, of which the last T are looked at.

    Raises:
        ShapeMismatchError: Fewer values than T.
        ValueRangeError: A value is not finite, or the horizon is none.
    """
    horizon = int(inputs["horizon"][0])
    if not 1 <= horizon <= MAX_HORIZON:
        raise ValueRangeError("horizon", expected=f"1 to {MAX_HORIZON} weeks", received=str(horizon))
    name = "window" if "window" in inputs else "values"
    values = inputs[name]
    right = np.isfinite(values)
    if not right.all():
        place = np.unravel_index(int(right.argmin()), values.shape)
        where = ", ".join(str(int(axis)) for axis in place)
        raise ValueRangeError(f"{name}[{where}]", expected="a finite value", received=str(values[place]))
    if name == "values":
        if len(values) < TIMESTEPS:
            raise ShapeMismatchError(
                "values", expected=f"the last {TIMESTEPS} weeks or more", received=f"{len(values)}"
            )
        values = values[None, -TIMESTEPS:, None]
    return {"history": values[:, :, 0].astype(np.float64), "horizon": inputs["horizon"]}


def _unchanged(outputs: Arrays) -> Arrays:
    return outputs
