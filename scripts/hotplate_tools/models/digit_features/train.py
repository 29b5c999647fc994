"""The trainer of the digit-features network, a SavedModel of TensorFlow: `hotplate train digit-features`."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.digit_features.model import FEATURES, SCALER, SIDE, expanded, transforms
from hotplate_tools.training.packages import SCIKIT_LEARN, read_member
from hotplate_tools.training.trainer import ROWS, ask_in_batches

if TYPE_CHECKING:
    import keras

    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare", "train"]

DATA = (SCIKIT_LEARN,)
NOTE = "1,797 digits of 8 by 8 pixels, a quarter held out"
SEED = 7

HELD_OUT = 450
EPOCHS = 40
BATCH = 32
LEARNING_RATE = 2e-3


@dataclass(frozen=True)
class Digits:
    """What is trained on.

    Attributes:
        image: float32 [N, 8, 8], 0 to 16.
        digit: int64 [N].
    """

    image: Array
    digit: Array


def prepare(packages: Sequence[Path]) -> tuple[Digits, Arrays]:
    """Return the digits to train on; held out: `image`, its `features`, and `digit`."""
    raw = gzip.decompress(read_member(packages[0], "sklearn/datasets/data/digits.csv.gz"))
    table = np.loadtxt(io.BytesIO(raw), np.float32, delimiter=",")
    image, digit = table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(table))
    rest, kept = order[:HELD_OUT], order[HELD_OUT:]
    held_out = {"image": image[rest], "features": expanded(image[rest]), "digit": digit[rest]}
    return Digits(image[kept], digit[kept]), held_out


def build(training: Digits) -> keras.Model:
    """Return the untrained network: `scaled` float32 [N, 100] to `probabilities` float32 [N, 10]."""
    import keras
    import tensorflow
    from keras import layers

    keras.utils.set_random_seed(SEED)
    tensorflow.config.experimental.enable_op_determinism()
    scaled = keras.Input((FEATURES,), name="scaled", dtype="float32")
    x = layers.Dense(64, activation="relu")(scaled)
    x = layers.Dense(64, activation="relu")(x)
    return keras.Model(scaled, layers.Dense(10, activation="softmax")(x), name="digit-features")


def train(network: keras.Model, training: Digits) -> None:
    """Fit the network in place."""
    import keras

    network.compile(keras.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy")
    network.fit(_scaled(training), training.digit, batch_size=BATCH, epochs=EPOCHS, verbose=0)


def export(network: keras.Model, training: Digits, held_out: Arrays, folder: Path) -> str:
    """Write the network as a SavedModel, the scaler and rows for the parity gate."""
    import tensorflow

    wanted = tensorflow.TensorSpec((None, FEATURES), tensorflow.float32, name="scaled")

    def serve(scaled: Any) -> Any:
        return {"probabilities": network(scaled, training=False)}

    function = tensorflow.function(serve, input_signature=[wanted])
    tensorflow.saved_model.save(network, str(folder / "saved"), signatures={"serving_default": function})
    (folder / SCALER).write_bytes(_scaler(training))
    steps = transforms({SCALER: _scaler(training)})
    np.savez(folder / ROWS, scaled=steps.preprocess({"image": held_out["image"][:256]})["scaled"])
    return "saved"


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return the accuracy of both forms of input."""
    metrics = {}
    for name, form in (("accuracy", "features"), ("accuracy_image", "image")):
        found = ask_in_batches(ask, {form: held_out[form]}, rows=128)["digit"]
        metrics[name] = float((found == held_out["digit"]).mean())
    return metrics


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return six held-out digits, in both forms."""
    return [{form: held_out[form][:6]} for form in ("features", "image")]


def _scaled(training: Digits) -> Array:
    return transforms({SCALER: _scaler(training)}).preprocess({"image": training.image})["scaled"]


def _scaler(training: Digits) -> bytes:
    features = expanded(training.image).astype(np.float64)
    # A pixel that is always paper has no spread, and stays 0.
    spread = features.std(axis=0)
    document = {"mean": features.mean(axis=0), "scale": np.where(spread > 0, spread, 1.0)}
    lists = {name: array.round(6).tolist() for name, array in document.items()}
    return (json.dumps(lists, indent=1) + "\n").encode()
