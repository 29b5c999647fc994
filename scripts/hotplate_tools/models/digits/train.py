"""The trainer of the digits network: `hotplate train digits`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.models.digits import data
from hotplate_tools.models.digits.drawing import draw
from hotplate_tools.training.trainer import ROWS, ask_in_batches, objects

if TYPE_CHECKING:
    import keras

    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare", "train"]

DATA = (data.PACKAGE,)
NOTE = "10,000 MNIST digits, a fifth of each held out"
SEED = 20

EPOCHS = 40
BATCH = 32
LEARNING_RATE = 1.5e-3
SAMPLE_DIGIT, SAMPLE_SIDE = 7, 280


def prepare(packages: Sequence[Path]) -> tuple[data.Digits, Arrays]:
    """Return the training digits; held out: `image` and `digit`."""
    training, rest = data.split(data.read(packages[0]), SEED)
    return training, {"image": rest.images, "digit": rest.labels}


def build(training: data.Digits) -> keras.Model:
    """Return the untrained network: `image` float32 [N, 28, 28, 1] to `probabilities` float32 [N, 10]."""
    import keras
    import tensorflow
    from keras import layers

    keras.utils.set_random_seed(SEED)
    tensorflow.config.experimental.enable_op_determinism()
    image = keras.Input((28, 28, 1), name="image", dtype="float32")
    x = layers.Conv2D(32, 3, activation="relu")(image)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(10, activation="softmax")(x)
    return keras.Model(image, {"probabilities": x}, name="digits")


def train(network: keras.Model, training: data.Digits) -> None:
    """Fit the network in place, on digits moved, turned and scaled a little anew in every epoch."""
    import keras
    from keras import layers

    disturbed = keras.Sequential(
        [
            layers.RandomTranslation(0.07, 0.07, fill_mode="constant"),
            layers.RandomRotation(0.03, fill_mode="constant"),
            layers.RandomZoom(0.1, fill_mode="constant"),
            keras.Model(network.input, network.output["probabilities"]),
        ]
    )
    steps = EPOCHS * -(-len(training.labels) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    disturbed.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    disturbed.fit(training.images, training.labels, batch_size=BATCH, epochs=EPOCHS, verbose=2)


def export(network: keras.Model, training: data.Digits, held_out: Arrays, folder: Path) -> str:
    """Write the network, rows for the parity gate, and the sample picture `seven.png`."""
    network.save(folder / "digits.keras")
    np.savez(folder / ROWS, image=held_out["image"][:256])
    first = held_out["image"][held_out["digit"] == SAMPLE_DIGIT][0]
    (folder / "seven.png").write_bytes(draw(_rounded(first), side=SAMPLE_SIDE, kind="PNG"))
    return "digits.keras"


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return the accuracies on held-out digits, as pixels and as drawn PNG and JPEG files."""
    drawn = objects(
        draw(image, side=200 + index % 201, kind="PNG" if index % 2 else "JPEG")
        for index, image in enumerate(held_out["image"])
    )
    forms = {"accuracy": {"image": held_out["image"]}, "accuracy_image_file": {"image_file": drawn}}
    metrics = {}
    for name, inputs in forms.items():
        found = ask_in_batches(ask, inputs, rows=64)["digit"]
        metrics[name] = float((found == held_out["digit"]).mean())
    return metrics


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return the first image of each digit that is recognised."""
    chosen: list[Arrays] = []
    for digit in range(10):
        images = held_out["image"][held_out["digit"] == digit]
        right = ask_in_batches(ask, {"image": images}, rows=64)["digit"] == digit
        chosen.append({"image": _rounded(images[int(right.argmax())])[None]})
    return chosen


def _rounded(image: Array) -> Array:
    """Return the image as it is written into golden rows, which are shorter for it."""
    return image.astype(np.float64).round(4).astype(np.float32)
