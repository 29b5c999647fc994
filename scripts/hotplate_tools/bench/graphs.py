"""Networks of stated size with random weights: what a cold start costs depends on size and shape alone.

Weights are drawn from one seed and scaled so that activations neither vanish nor overflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    Array = np.ndarray[Any, Any]

__all__ = ["write_encoder", "write_mlp", "write_resnet50"]

_SEED = 7
_OPSET = 17


class _Graph:
    """Nodes and weights as they are added; each adder returns the name of what it computes."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(_SEED)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, *shape: int, fan_in: int | None = None) -> str:
        scale = (2 / (fan_in or shape[0])) ** 0.5
        array = self._random.standard_normal(shape, np.float32) * np.float32(scale)
        return self.constant(array)

    def constant(self, array: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        product = self.add("MatMul", x, self.weight(inputs, outputs))
        return self.add("Add", product, self.constant(np.zeros(outputs, np.float32)))

    def convolution(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> str:
        weight = self.weight(outputs, inputs, kernel, kernel, fan_in=inputs * kernel * kernel)
        bias = self.constant(np.zeros(outputs, np.float32))
        pad = kernel // 2
        return self.add("Conv", x, weight, bias, strides=[stride, stride], pads=[pad] * 4)

    def normalised(self, x: str, width: int) -> str:
        ones, zeros = self.constant(np.ones(width, np.float32)), self.constant(np.zeros(width, np.float32))
        return self.add("LayerNormalization", x, ones, zeros, axis=-1)

    def write(self, file: Path, inputs: list[Any], outputs: list[Any], result: str) -> None:
        self.nodes.append(helper.make_node("Identity", [result], [outputs[0].name]))
        graph = helper.make_graph(self.nodes, file.stem, inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
        onnx.save(model, str(file))


def write_resnet50(file: Path) -> None:
    """Write a ResNet-50 without batch normalisation, 102 MB.

    `x` FP32 [N, 3, 224, 224] → `y` FP32 [N, 1000].
    """
    graph = _Graph()
    x = graph.add("Relu", graph.convolution("x", 3, 64, 7, 2))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    width = 64
    for blocks, inner, stride in ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            y = graph.add("Relu", graph.convolution(x, width, inner, 1))
            y = graph.add("Relu", graph.convolution(y, inner, inner, 3, step))
            y = graph.convolution(y, inner, inner * 4, 1)
            short = graph.convolution(x, width, inner * 4, 1, step) if block == 0 else x
            half = graph.constant(np.array(0.5, np.float32))
            x, width = graph.add("Relu", graph.add("Mul", graph.add("Add", y, short), half)), inner * 4
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    result = graph.dense(x, width, 1000)
    graph.write(file, [_tensor("x", ["n", 3, 224, 224])], [_tensor("y", ["n", 1000])], result)


def write_encoder(file: Path, *, layers: int = 14, width: int = 768, words: int = 30_522) -> None:
    """Write a transformer encoder, 490 MB as it stands.

    `ids` INT64 [N, length] → `y` FP32 [N, length, width].
    """
    graph, heads = _Graph(), width // 64
    x = graph.add("Gather", graph.weight(words, width, fan_in=1), "ids")
    split = graph.constant(np.array([0, 0, heads, 64], np.int64))
    merge = graph.constant(np.array([0, 0, width], np.int64))
    eighth = graph.constant(np.array(1 / 8, np.float32))
    for _ in range(layers):
        parts = [graph.add("Reshape", graph.dense(x, width, width), split) for _ in range(3)]
        q, k, v = (graph.add("Transpose", part, perm=[0, 2, 1, 3]) for part in parts)
        scores = graph.add("MatMul", q, graph.add("Transpose", k, perm=[0, 1, 3, 2]))
        weights = graph.add("Softmax", graph.add("Mul", scores, eighth), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", weights, v), perm=[0, 2, 1, 3])
        mixed = graph.dense(graph.add("Reshape", mixed, merge), width, width)
        x = graph.normalised(graph.add("Add", x, mixed), width)
        wide = graph.add("Relu", graph.dense(x, width, 4 * width))
        x = graph.normalised(graph.add("Add", x, graph.dense(wide, 4 * width, width)), width)
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "length"])
    graph.write(file, [ids], [_tensor("y", ["n", "length", width])], x)


def write_mlp(file: Path, *, inputs: int = 784, inner: int = 128, outputs: int = 10) -> None:
    """Write a small network: 0.4 MB as it stands; `x` FP32 [N, inputs] → `y` FP32 [N, outputs]."""
    graph = _Graph()
    x = graph.add("Relu", graph.dense("x", inputs, inner))
    result = graph.dense(x, inner, outputs)
    graph.write(file, [_tensor("x", ["n", inputs])], [_tensor("y", ["n", outputs])], result)


def _tensor(name: str, shape: list[str | int]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
