"""Graphs of some size with seeded weights, and descriptions of models that need no bytes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hotplate.manifest.schema import Plan
from hotplate_tools.planning.records import BatchPoint, Description, FormMeasured, Measurements
from tests.support.tiny_models import info, model_of


def weight(generator: np.random.Generator, name: str, *shape: int) -> onnx.TensorProto:
    scale = np.float32(np.prod(shape[1:]) ** -0.5)
    return numpy_helper.from_array(generator.standard_normal(shape, np.float32) * scale, name)


def perceptron(width: int) -> onnx.ModelProto:
    """Return softmax(relu(x·a)·b) over FP32 [n, 10]; 52 bytes of weights for each of `width`."""
    generator = np.random.default_rng(1)
    weights = [weight(generator, "a", 10, width), weight(generator, "b", width, 3)]
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["k"]),
        helper.make_node("MatMul", ["k", "b"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"]),
    ]
    return model_of(nodes, [info("x", ["n", 10])], [info("y", ["n", 3])], initializers=weights)


def convolutions(depth: int, width: int, side: int = 8) -> onnx.ModelProto:
    """Return `depth` 3×3 convolutions over FP32 [n, 3, side, side], the mean of each channel last."""
    generator = np.random.default_rng(2)
    nodes, weights, name, channels = [], [], "x", 3
    for index in range(depth):
        weights.append(weight(generator, f"w{index}", width, channels, 3, 3))
        nodes.append(helper.make_node("Conv", [name, f"w{index}"], [f"c{index}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        name, channels = f"r{index}", width
    nodes.append(helper.make_node("GlobalAveragePool", [name], ["y"]))
    inputs, outputs = [info("x", ["n", 3, side, side])], [info("y", ["n", width, 1, 1])]
    return model_of(nodes, inputs, outputs, initializers=weights)


def measured(
    form: str, prepacking: str, size: int, figures: tuple[float, float, float, float], *runs: float
) -> Measurements:
    """Return measurements of one form: (session, first run, steady, peak), then runs of 1, 8, 32 rows."""
    points = tuple(BatchPoint(batch, run) for batch, run in zip((1, 8, 32), runs, strict=False))
    served = FormMeasured(form, prepacking, True, size, *figures, 0.0, points)
    return Measurements("Test CPU", 4, "x86-64-avx2", "1.32.0", 1, 3, (served,))


CODE = 150_000_000
MODELS = {
    "tiny-mlp": Description(
        "tiny-mlp",
        "aaaaaaaaaaaa",
        2_048,
        0,
        0,
        frozenset({"MatMul", "Softmax"}),
        40,
        12,
        True,
        CODE,
        Plan(weight_form="inline", load_level="none"),
        measured("inline", "on", 2_048, (5.4, 0.5, 0.02, 64), 0.02, 0.02, 0.023),
    ),
    "small-cnn": Description(
        "small-cnn",
        "bbbbbbbbbbbb",
        1_200_000,
        0,
        0,
        frozenset({"FusedConv", "Gemm"}),
        3_136,
        40,
        True,
        CODE,
        Plan(weight_form="inline"),
        measured("inline", "on", 1_200_000, (12.4, 0.8, 0.1, 71), 0.1, 0.4, 1.4),
    ),
    "cnn-27mb": Description(
        "cnn-27mb",
        "cccccccccccc",
        60_000,
        27_540_000,
        0,
        frozenset({"FusedConv", "Gemm"}),
        602_112,
        4_000,
        True,
        CODE,
        Plan(weight_form="borrowed", isa="x86-64-avx2", native_onnxruntime="1.32.0"),
        measured("native", "on", 27_600_000, (26, 62, 27.9, 96), 27.9, 223, 850),
    ),
    "encoder-25mb": Description(
        "encoder-25mb",
        "dddddddddddd",
        40_000,
        25_660_000,
        0,
        frozenset({"MatMul", "Attention"}),
        None,
        None,
        True,
        CODE,
        Plan(weight_form="borrowed", prepacking="parallel", load_level="none"),
    ),
    "encoder-297mb": Description(
        "encoder-297mb",
        "eeeeeeeeeeee",
        200_000,
        297_200_000,
        0,
        frozenset({"MatMul"}),
        512,
        3_072,
        True,
        297_400_000,
        Plan(weight_form="borrowed", prepacking="later", load_level="none"),
    ),
    "encoder-11gb": Description(
        "encoder-11gb",
        "ffffffffffff",
        900_000,
        8_500_000_000,
        0,
        frozenset({"MatMul"}),
        512,
        3_072,
        True,
        CODE,
        Plan(weight_form="borrowed", prepacking="off", load_level="none"),
    ),
}
