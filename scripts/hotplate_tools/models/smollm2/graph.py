"""The graph of a Llama in ONNX Runtime's own operators, with its weights in blocks in a file beside it.

Tensors have the names that onnxruntime-genai and Optimum give them, so both run the folder too:
`input_ids` int64 [1, S], `attention_mask` int64 [1, P + S], `past_key_values.{layer}.key|value` float32
[1, H, P, D] → `logits` float32 [1, 1, V] of the last token alone, `present.{layer}.key|value`.

A prompt of 8,192 tokens would have 1.6 GB of logits if all were computed, and nobody asks for them. Where
`past` and `present` are one buffer, nothing of the past is copied.

Axes: S new tokens, P past ones, H heads of keys, D their features, V the vocabulary.

Source: ONNX Runtime, "Contrib operators", `GroupQueryAttention`, `MatMulNBits`, `GatherBlockQuantized`,
`SkipSimplifiedLayerNormalization`; Touvron et al., "LLaMA" (2023).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

from hotplate_tools.models.smollm2.blocks import BLOCK, Packed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from onnx import NodeProto

    from hotplate_tools.models.smollm2.weights import Shape

    Array = np.ndarray[Any, Any]

__all__ = ["write_graph"]

_MS = "com.microsoft"
# Least size that lies in the file of weights and not in the graph.
_OUTSIDE_BYTES = 1024
# Activations in int8, by blocks: what makes four-bit weights fast. Source: `MatMulNBits`, accuracy_level.
_INT8 = 4


@dataclass
class _Builder:
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def constant(self, name: str, array: Array) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(
        self, kind: str, inputs: list[str], name: str, outputs: list[str] | None = None, **more: Any
    ) -> str:
        domain = _MS if kind in _OURS else ""
        made = outputs or [name]
        self.nodes.append(helper.make_node(kind, inputs, made, name=name, domain=domain, **more))
        return made[0]

    def packed(self, name: str, matrix: Packed) -> list[str]:
        parts = [self.constant(f"{name}.codes", matrix.codes), self.constant(f"{name}.scales", matrix.scales)]
        return parts if matrix.zeros is None else [*parts, self.constant(f"{name}.zeros", matrix.zeros)]

    def product(self, value: str, parts: list[str], matrix: Packed, name: str) -> str:
        rows, blocks = matrix.scales.shape
        sizes = {
            "N": rows,
            "K": blocks * BLOCK,
            "bits": matrix.bits,
            "block_size": BLOCK,
            "accuracy_level": _INT8,
        }
        return self.add("MatMulNBits", [value, *parts], name, **sizes)


_OURS = frozenset(
    (
        "GatherBlockQuantized",
        "GroupQueryAttention",
        "MatMulNBits",
        "QuickGelu",
        "SkipSimplifiedLayerNormalization",
    )
)


def write_graph(shape: Shape, weights: Mapping[str, Any], file: Path) -> None:
    """Write the graph into `file`, and its weights into `<file>.data`.

    Args:
        shape: Of the network.
        weights: `embedding`, which is the last product too, in blocks or float32; `norm`; and of each layer
            `{n}.input_norm`, `{n}.qkv`, `{n}.output`, `{n}.gate_up`, `{n}.down`, `{n}.post_norm`.
        file: Name of the graph.
    """
    make = _Builder()
    table = weights["embedding"]
    parts = (
        make.packed("embedding", table) if isinstance(table, Packed) else [make.constant("embedding", table)]
    )
    _lengths(make)
    make.constant("cos", shape.rotations()[0])
    make.constant("sin", shape.rotations()[1])
    stream = _looked_up(make, table, parts)
    norm = make.constant("0.input_norm", weights["0.input_norm"])
    normed = make.add("RMSNormalization", [stream, norm], "0.normed", epsilon=shape.epsilon, axis=-1)
    for layer in range(shape.layers):
        after = weights["norm"] if layer + 1 == shape.layers else weights[f"{layer + 1}.input_norm"]
        stream, normed = _layer(make, shape, weights, layer, stream, normed, after)
    last = make.add("Gather", [normed, make.constant("last", np.array([-1], np.int64))], "last_state", axis=1)
    _logits(make, shape, last, table, parts)
    _save(make, shape, file)


def _looked_up(make: _Builder, table: Packed | Array, parts: list[str]) -> str:
    if not isinstance(table, Packed):
        return make.add("Gather", [parts[0], "input_ids"], "embedded")  # (1, S, features)
    # In blocks as the product has them, and put together after the look-up: a table of another shape would be
    # kept twice. Its scales are, which is a sixteenth of that.
    scales = make.constant("embedding.look_up_scales", table.scales[..., None])
    looked_up = make.add(
        "GatherBlockQuantized",
        [parts[0], "input_ids", scales],
        "looked_up",
        bits=table.bits,
        block_size=BLOCK,
        quantize_axis=2,
    )  # (1, S, blocks, 64)
    whole = make.constant("stream_shape", np.array([0, 0, -1], np.int64))
    return make.add("Reshape", [looked_up, whole], "embedded")


def _logits(make: _Builder, shape: Shape, last: str, table: Packed | Array, parts: list[str]) -> None:
    if isinstance(table, Packed):
        make.product(last, parts, table, "logits")
        return
    row = make.constant("row_shape", np.array([1, shape.features], np.int64))
    product = make.add("Gemm", [make.add("Reshape", [last, row], "last_row"), parts[0]], "row", transB=1)
    whole = make.constant("logits_shape", np.array([1, 1, shape.words], np.int64))
    make.add("Reshape", [product, whole], "logits")


def _lengths(make: _Builder) -> None:
    """From the mask how many tokens there are, and the index of the last."""
    one = make.constant("one", np.array([1], np.int64))
    total = make.add("Shape", ["attention_mask"], "mask_length", start=1, end=2)
    make.add("Cast", [make.add("Squeeze", [total], "mask_size")], "total", to=TensorProto.INT32)
    summed = make.add("ReduceSum", ["attention_mask", one], "mask_sum", keepdims=0)
    make.add("Cast", [make.add("Sub", [summed, one], "mask_last")], "last_index", to=TensorProto.INT32)


def _layer(
    make: _Builder,
    shape: Shape,
    weights: Mapping[str, Any],
    layer: int,
    stream: str,
    normed: str,
    after: Array,
) -> tuple[str, str]:
    def product(value: str, part: str) -> str:
        matrix = weights[f"{layer}.{part}"]
        return make.product(value, make.packed(f"{layer}.{part}", matrix), matrix, f"{layer}.{part}.out")

    def skipped(value: str, norm: str, scale: Array) -> tuple[str, str]:
        names = [f"{norm}.out", "", "", f"{norm}.stream"]
        inputs = [stream, value, make.constant(f"{norm}.scale", scale)]
        make.add("SkipSimplifiedLayerNormalization", inputs, norm, names, epsilon=shape.epsilon)
        return names[3], names[0]

    past = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
    present = [f"present.{layer}.{part}" for part in ("key", "value")]
    seen = make.add(
        "GroupQueryAttention",
        [product(normed, "qkv"), "", "", *past, "last_index", "total", "cos", "sin"],
        f"{layer}.attention", [f"{layer}.attention", *present],
        num_heads=shape.heads, kv_num_heads=shape.key_heads, do_rotary=1, rotary_interleaved=0,
    )  # fmt: skip
    stream, normed = skipped(product(seen, "output"), f"{layer}.post", weights[f"{layer}.post_norm"])
    both = product(normed, "gate_up")
    gate, up = f"{layer}.gate", f"{layer}.up"
    make.add("Split", [both], f"{layer}.split", [gate, up], axis=-1, num_outputs=2)
    opened = make.add("QuickGelu", [gate], f"{layer}.silu", alpha=1.0)
    hidden = make.add("Mul", [opened, up], f"{layer}.hidden")
    return skipped(product(hidden, "down"), f"{layer}.next", after)


def _save(make: _Builder, shape: Shape, file: Path) -> None:
    value, integer, real = helper.make_tensor_value_info, TensorProto.INT64, TensorProto.FLOAT
    layers = [f"{layer}.{part}" for layer in range(shape.layers) for part in ("key", "value")]

    def caches(prefix: str, axis: str) -> list[Any]:
        sizes: list[str | int | None] = [1, shape.key_heads, axis, shape.features // shape.heads]
        return [value(f"{prefix}.{name}", real, sizes) for name in layers]

    inputs = [value("input_ids", integer, [1, "S"]), value("attention_mask", integer, [1, "T"])]
    outputs = [value("logits", real, [1, 1, shape.words]), *caches("present", "T")]
    graph = helper.make_graph(
        make.nodes, "llama", [*inputs, *caches("past_key_values", "P")], outputs, initializer=make.weights
    )
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid(_MS, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=11, producer_name="hotplate")
    save_model(
        model, file, save_as_external_data=True, all_tensors_to_one_file=True,
        location=f"{file.name}.data", size_threshold=_OUTSIDE_BYTES,
    )  # fmt: skip
