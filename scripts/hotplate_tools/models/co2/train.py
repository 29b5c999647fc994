"""The trainer of the co2 network, three LSTM layers on a year of weeks: `hotplate train co2`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.co2.model import SCALER, TIMESTEPS
from hotplate_tools.training.packages import Package, read_member
from hotplate_tools.training.trainer import ROWS, ask_in_batches

if TYPE_CHECKING:
    import keras

    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare", "train"]

DATA = (
    Package(
        "pypi",
        "statsmodels",
        "0.15.0",
        "c6f2bd48915cc9b3b95c3c7f6ac363b6f8aaa38172962ba5f7f6885f0dfe57f2",
        "statsmodels-0.15.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
    ),
)
NOTE = "weekly CO2 over Mauna Loa, 1958 to 2001, gaps filled by straight lines; the last ten years held out"
SEED = 5

HELD_OUT = 520
HORIZON = 26
EPOCHS = 30
BATCH = 64
LEARNING_RATE = 3e-3


@dataclass(frozen=True)
class Weeks:
    """What is trained on.

    Attributes:
        values: float64 [weeks], ppm, before the held-out ones.
        window, step: Spread of a window around its last value, and of one step, in ppm.
    """

    values: Array
    window: float
    step: float


def prepare(packages: Sequence[Path]) -> tuple[Weeks, Arrays]:
    """Return the weeks to train on; held out: every `window` and the `following` weeks.

    `window` is float32 [N, T, 1], `following` float32 [N, HORIZON].
    """
    values = _series(packages[0])
    kept = values[:-HELD_OUT]
    windows = np.lib.stride_tricks.sliding_window_view(kept, TIMESTEPS)
    spread = float((windows - windows[:, -1:]).std())
    starts = range(len(values) - HELD_OUT - TIMESTEPS, len(values) - TIMESTEPS - HORIZON + 1)
    held_out = {
        "window": np.stack([values[start : start + TIMESTEPS] for start in starts])[:, :, None],
        "following": np.stack([values[start + TIMESTEPS :][:HORIZON] for start in starts]),
    }
    arrays = {name: array.astype(np.float32) for name, array in held_out.items()}
    return Weeks(kept, round(spread, 6), round(float(np.diff(kept).std()), 6)), arrays


def build(training: Weeks) -> keras.Model:
    """Return the untrained network: `scaled` float32 [N, T, 1] to `step` float32 [N, 1]."""
    import keras
    import tensorflow
    from keras import layers

    keras.utils.set_random_seed(SEED)
    tensorflow.config.experimental.enable_op_determinism()
    scaled = keras.Input((TIMESTEPS, 1), name="scaled", dtype="float32")
    x = layers.LSTM(50, return_sequences=True)(scaled)
    x = layers.LSTM(50, return_sequences=True)(x)
    x = layers.LSTM(50)(x)
    return keras.Model(scaled, layers.Dense(1)(x), name="co2")


def train(network: keras.Model, training: Weeks) -> None:
    """Fit the network in place to the change from one week to the next."""
    import keras

    values = training.values
    windows = np.lib.stride_tricks.sliding_window_view(values[:-1], TIMESTEPS)
    steps = (values[TIMESTEPS:] - values[TIMESTEPS - 1 : -1]) / training.step
    total = EPOCHS * -(-len(windows) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, total)
    network.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "mse")
    network.fit(_scaled(windows, training), steps, batch_size=BATCH, epochs=EPOCHS, verbose=2)


def export(network: keras.Model, training: Weeks, held_out: Arrays, folder: Path) -> str:
    """Write the network, the scaler and rows for the parity gate."""
    import keras

    keras.Model(network.input, {"step": network.output}).save(folder / "co2.keras")
    document = {"window": training.window, "step": training.step}
    (folder / SCALER).write_text(json.dumps(document) + "\n")
    np.savez(folder / ROWS, scaled=_scaled(held_out["window"][:128, :, 0], training))
    return "co2.keras"


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return mean absolute errors in ppm, one week and half a year ahead, and the skill over both naive ways.

    Skill is 1 - error / error of the naive way: saying the last value, or that of the same week a year ago.
    """
    horizon = np.array([HORIZON], np.int64)
    window, following = held_out["window"], held_out["following"]
    found = ask_in_batches(lambda rows: ask({**rows, "horizon": horizon}), {"window": window}, rows=64)
    naive = {"last_value": window[:, -1:, 0], "year_ago": window[:, :HORIZON, 0]}
    metrics = {}
    for label, weeks in (("1_week", 1), ("26_weeks", HORIZON)):
        error = np.abs(found["forecast"] - following)[:, :weeks].mean()
        metrics[f"mae_{label}"] = float(error)
        for name, said in naive.items():
            theirs = np.abs(said - following)[:, :weeks].mean()
            metrics[f"skill_{label}_over_{name}"] = float(1 - error / theirs)
    return metrics


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return three windows a year apart, and one series with half a year ahead."""
    window = held_out["window"]
    return [
        {"window": window[[0, 52, 104]], "horizon": np.array([4], np.int64)},
        {"values": window[208, :, 0], "horizon": np.array([HORIZON], np.int64)},
    ]


def _scaled(windows: Array, training: Weeks) -> Array:
    return ((windows - windows[:, -1:]) / training.window).astype(np.float32)[:, :, None]


def _series(archive: Path) -> Array:
    raw = read_member(archive, "statsmodels/datasets/co2/co2.csv").decode("ascii")
    cells = [row["co2"] for row in csv.DictReader(io.StringIO(raw))]
    values = np.array([float(cell) if cell else np.nan for cell in cells])
    known = np.flatnonzero(~np.isnan(values))
    filled: Array = np.interp(np.arange(len(values)), known, values[known])
    return filled
