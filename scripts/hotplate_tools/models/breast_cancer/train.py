"""The trainer of the breast-cancer forest, saved as `.skops`: `hotplate train breast-cancer`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.breast_cancer.model import CLASSES, COLUMNS
from hotplate_tools.training.packages import SCIKIT_LEARN, read_member
from hotplate_tools.training.trainer import ROWS, ask_in_batches, objects

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare", "train"]

DATA = (SCIKIT_LEARN,)
NOTE = "569 samples of breast tissue, a quarter of each class held out"
SEED = 7

HELD_OUT = 0.25
TREES = 100
DEPTH = 5


@dataclass(frozen=True)
class Samples:
    """What is trained on.

    Attributes:
        features: float32 [N, 30].
        classes: int64 [N], places in `CLASSES`.
    """

    features: Array
    classes: Array


def prepare(packages: Sequence[Path]) -> tuple[Samples, Arrays]:
    """Return the samples to train on; held out: `features`, `record` (the same by name), `diagnosis`."""
    raw = read_member(packages[0], "sklearn/datasets/data/breast_cancer.csv")
    table = np.loadtxt(io.BytesIO(raw), np.float64, delimiter=",", skiprows=1)
    features, classes = table[:, :-1].astype(np.float32), table[:, -1].astype(np.int64)
    random = np.random.default_rng(SEED)
    kept, rest = [], []
    for number in range(len(CLASSES)):
        order = random.permutation(np.flatnonzero(classes == number))
        cut = round(len(order) * HELD_OUT)
        rest.append(order[:cut])
        kept.append(order[cut:])
    training, held_out = (random.permutation(np.concatenate(part)) for part in (kept, rest))
    words = objects(CLASSES[number].encode() for number in classes[held_out])
    asked = {"features": features[held_out], "record": _records(features[held_out]), "diagnosis": words}
    return Samples(features[training], classes[training]), asked


def build(training: Samples) -> RandomForestClassifier:
    """Return the unfitted forest."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=TREES, max_depth=DEPTH, random_state=SEED)


def train(network: RandomForestClassifier, training: Samples) -> None:
    """Fit the forest in place."""
    network.fit(training.features, training.classes)


def export(network: RandomForestClassifier, training: Samples, held_out: Arrays, folder: Path) -> str:
    """Write the forest and rows for the parity gate."""
    from skops.io import dump

    dump(network, folder / "breast-cancer.skops", compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    np.savez(folder / ROWS, input=held_out["features"])
    return "breast-cancer.skops"


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return the accuracy, for both forms of input, and how much of the malignant is found."""
    truth = held_out["diagnosis"]
    metrics = {}
    for name, form in (("accuracy", "features"), ("accuracy_record", "record")):
        found = ask_in_batches(ask, {form: held_out[form]}, rows=64)["diagnosis"]
        metrics[name] = float((found == truth).mean())
    malignant = truth == CLASSES[0].encode()
    metrics["recall_malignant"] = float((found == truth)[malignant].mean())
    return metrics


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return eight held-out samples, in both forms."""
    return [{form: held_out[form][:8]} for form in ("features", "record")]


def _records(features: Array) -> Array:
    """Return each row as a JSON object, object [N] of bytes; the numbers as the data has them."""
    return objects(
        json.dumps({name: float(str(value)) for name, value in zip(COLUMNS, row, strict=True)}).encode()
        for row in features
    )
