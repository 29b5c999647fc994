"""Small networks that know something: their weights are fitted, so that quality can be lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hotplate.runtime.session import Session
from tests.support.tiny_models import info, model_of

CLASSES = 32
SIDE = 16
STEPS = 6
WIDTH = 64


@dataclass(frozen=True)
class Trained:
    """A model `x` → `y`, rows that it was not fitted on, and their classes."""

    model: onnx.ModelProto
    rows: np.ndarray
    classes: np.ndarray

    def accuracy(self, rows: slice = slice(None)) -> float:
        """Return the share of rows whose largest score is the right one's."""
        return float((self.scores()[rows].argmax(axis=1) == self.classes[rows]).mean())

    def scores(self) -> np.ndarray:
        session = Session(self.model.SerializeToString(), weights={}, threads=1)
        return session.run({"x": self.rows}, ["y"])["y"]

    def write_rows(self, file: Path, *, labelled: bool = True) -> Path:
        if labelled:
            np.savez(file, x=self.rows, expected_y=self.classes)
        else:
            np.savez(file, x=self.rows)
        return file


def pictures(count: int = 256) -> Trained:
    """Return a CNN that finds which of 32 patterns a noisy picture shows: right eight times in ten."""
    generator = np.random.default_rng(3)
    patterns = generator.standard_normal((CLASSES, 3, SIDE, SIDE), np.float32)
    classes = generator.integers(0, CLASSES, count)
    noise = generator.standard_normal((count, 3, SIDE, SIDE), np.float32) * np.float32(9)
    filters = patterns / np.float32(patterns[0].size)
    nodes = [
        helper.make_node("Conv", ["x", "filters"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "mixed"], ["y"]),
    ]
    mixed = np.linalg.pinv(np.eye(CLASSES) + 0.1).astype(np.float32)
    weights = [numpy_helper.from_array(filters, "filters"), numpy_helper.from_array(mixed, "mixed")]
    model = model_of(
        nodes, [info("x", ["n", 3, SIDE, SIDE])], [info("y", ["n", CLASSES])], initializers=weights
    )
    return Trained(model, patterns[classes] + noise, classes.astype(np.int64))


def sequences(count: int = 256) -> Trained:
    """Return a block of attention with a fitted reading of its mean: right seven times in ten."""
    generator = np.random.default_rng(4)
    shape = (WIDTH, WIDTH)
    weights = {
        name: generator.standard_normal(shape, np.float32) / np.float32(8) for name in ("q", "k", "v", "o")
    }
    patterns = generator.standard_normal((CLASSES, STEPS, WIDTH), np.float32)
    classes = generator.integers(0, CLASSES, 4 * count)
    rows = patterns[classes] + generator.standard_normal((4 * count, STEPS, WIDTH), np.float32) * np.float32(
        2
    )
    body = _attention(weights, None)
    hidden = Session(body.SerializeToString(), weights={}, threads=1).run({"x": rows}, ["m"])["m"]
    wanted = np.eye(CLASSES, dtype=np.float32)[classes]
    read, *_ = np.linalg.lstsq(hidden[count:], wanted[count:], rcond=None)
    model = _attention(weights, read.astype(np.float32))
    return Trained(model, rows[:count], classes[:count].astype(np.int64))


def _attention(weights: dict[str, np.ndarray], read: np.ndarray | None) -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["x", name], [f"x{name}"]) for name in ("q", "k", "v")]
    nodes += [
        helper.make_node("Transpose", ["xk"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["xq", "kt"], ["s"]),
        helper.make_node("Mul", ["s", "eighth"], ["sd"]),
        helper.make_node("Softmax", ["sd"], ["a"], axis=-1),
        helper.make_node("MatMul", ["a", "xv"], ["h"]),
        helper.make_node("MatMul", ["h", "o"], ["p"]),
        helper.make_node("Add", ["p", "x"], ["z"]),
        helper.make_node("ReduceMean", ["z"], ["m"], axes=[1], keepdims=0),
    ]
    arrays = {**weights, "eighth": np.array([1 / 8], np.float32)}
    outputs = [info("m", ["n", WIDTH])]
    if read is not None:
        nodes.append(helper.make_node("MatMul", ["m", "read"], ["y"]))
        arrays["read"], outputs = read, [info("y", ["n", CLASSES])]
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    return model_of(nodes, [info("x", ["n", "s", WIDTH])], outputs, initializers=initializers)
