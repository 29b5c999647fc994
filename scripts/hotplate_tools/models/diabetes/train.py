"""The trainer of the diabetes network, saved as Keras' older `.h5`: `hotplate train diabetes`."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.diabetes.model import COLUMNS, SCALER, transforms
from hotplate_tools.training.packages import SCIKIT_LEARN, read_member
from hotplate_tools.training.trainer import ROWS, ask_in_batches, objects

if TYPE_CHECKING:
    import keras

    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare", "train"]

DATA = (SCIKIT_LEARN,)
NOTE = "442 diabetes patients, a quarter held out"
SEED = 11

HELD_OUT = 110
EPOCHS = 100
BATCH = 32
LEARNING_RATE = 5e-3


@dataclass(frozen=True)
class Patients:
    """What is trained on.

    Attributes:
        features: float32 [N, 10], in their own units.
        progression: float32 [N], one year after.
    """

    features: Array
    progression: Array


def prepare(packages: Sequence[Path]) -> tuple[Patients, Arrays]:
    """Return the patients to train on; held out: `features`, `record` (the same by name), `progression`."""
    features = _table(packages[0], "diabetes_data_raw.csv.gz", None)
    progression = _table(packages[0], "diabetes_target.csv.gz", None)
    order = np.random.default_rng(SEED).permutation(len(features))
    rest, kept = order[:HELD_OUT], order[HELD_OUT:]
    records = objects(
        json.dumps(dict(zip(COLUMNS, map(float, row), strict=True))).encode() for row in features[rest]
    )
    held_out = {"features": features[rest], "record": records, "progression": progression[rest]}
    return Patients(features[kept], progression[kept]), held_out


def build(training: Patients) -> keras.Model:
    """Return the untrained network: `scaled` float32 [N, 10] to `progression` float32 [N, 1]."""
    import keras
    import tensorflow
    from keras import layers

    keras.utils.set_random_seed(SEED)
    tensorflow.config.experimental.enable_op_determinism()
    scaled = keras.Input((len(COLUMNS),), name="scaled", dtype="float32")
    x = layers.Dense(10, activation="relu")(scaled)
    return keras.Model(scaled, layers.Dense(1, name="progression")(x), name="diabetes")


def train(network: keras.Model, training: Patients) -> None:
    """Fit the network in place, on targets of mean 0 and deviation 1, then give it their units back."""
    import keras

    mean, scale = training.progression.mean(), training.progression.std()
    network.compile(keras.optimizers.AdamW(LEARNING_RATE, weight_decay=0.02), "mse")
    wanted = (training.progression - mean) / scale
    network.fit(_scaled(training), wanted, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([kernel * scale, bias * scale + mean])


def export(network: keras.Model, training: Patients, held_out: Arrays, folder: Path) -> str:
    """Write the network as `.h5`, the scaler and rows for the parity gate."""
    import keras

    # Named here, because an exporter calls the output of a list by its number.
    keras.Model(network.input, {"progression": network.output}).save(folder / "diabetes.h5")
    (folder / SCALER).write_bytes(_scaler(training))
    steps = transforms({SCALER: _scaler(training)})
    np.savez(folder / ROWS, scaled=steps.preprocess({"features": held_out["features"]})["scaled"])
    return "diabetes.h5"


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return R², for both forms of input, and the mean error against that of saying the mean always."""
    truth = held_out["progression"]
    spread = np.square(truth - truth.mean()).sum()
    metrics = {}
    for name, form in (("r2", "features"), ("r2_record", "record")):
        found = ask_in_batches(ask, {form: held_out[form]}, rows=64)["progression"][:, 0]
        metrics[name] = float(1 - np.square(found - truth).sum() / spread)
    metrics["mean_absolute_error"] = float(np.abs(found - truth).mean())
    metrics["mean_absolute_error_of_the_mean"] = float(np.abs(truth.mean() - truth).mean())
    return metrics


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return eight held-out patients, in both forms."""
    return [{form: held_out[form][:8]} for form in ("features", "record")]


def _scaled(training: Patients) -> Array:
    return transforms({SCALER: _scaler(training)}).preprocess({"features": training.features})["scaled"]


def _scaler(training: Patients) -> bytes:
    features = training.features.astype(np.float64)
    document = {"mean": features.mean(axis=0).round(6), "scale": features.std(axis=0).round(6)}
    lists = {name: array.tolist() for name, array in document.items()}
    return (json.dumps({"columns": COLUMNS, **lists}, indent=1) + "\n").encode()


def _table(archive: Path, file: str, delimiter: str | None) -> Array:
    raw = gzip.decompress(read_member(archive, f"sklearn/datasets/data/{file}"))
    return np.loadtxt(io.BytesIO(raw), np.float64, delimiter=delimiter).astype(np.float32)
