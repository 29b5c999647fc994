"""ONNX Runtime's quantiser: one ONNX graph in, the same with smaller weights out.

| kind | graph | made by |
|---|---|---|
| int8 | with convolutions | `quantize_static`: QDQ, weights and activations, ranges of calibration rows |
| int8 | without | `quantize_dynamic`: weights; activations when they come |
| fp16 | any | large float32 weights stored in half the bytes, cast back when the session is built |
| int4 | any | `MatMulNBits`: weights of matrix products in blocks of 32, a scale each |

Rules kept here: int8 weights use seven bits (`reduce_range`), because a processor without VNNI adds
pairs of products in 16 bits, which eight would overflow: the answers would depend on the processor.
Softmax and sigmoid stay float: their answers are what callers see. Inputs and outputs stay as they are.

Source: ONNX Runtime, "Quantize ONNX models"; contrib operator `com.microsoft.MatMulNBits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.shape_inference import quant_pre_process
from wire import Refusal, clean, serve

# Protocol Buffers' limit on one file, in bytes, with room for the graph itself.
MAX_INLINE_BYTES = 1_500_000_000
# Weights below this stay float32, in bytes: a Cast would cost more than it saves.
MIN_HALVED_BYTES = 1024
BLOCK = 32
# MatMulNBits with activations in int8, which is what its fast kernels take.
INT8_ACTIVATIONS = 4

CONVOLUTIONS = {"Conv", "ConvTranspose"}
STATIC = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
)
QUANTISED = {
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "MatMulNBits",
    "QLinearConv",
    "QuantizeLinear",
}


class Rows(CalibrationDataReader):  # type: ignore[misc]
    """Feeds from `.npz` files, one call each."""

    def __init__(self, files: list[str]) -> None:
        self._files = iter(files)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next feeds, or None after the last."""
        for name in self._files:
            with np.load(name, allow_pickle=False) as file:
                return {key[1:]: file[key] for key in file.files}
        return None


def quantise(job: dict[str, Any]) -> dict[str, Any]:
    """Write the variant `job["kind"]` of `job["source"]` to `job["output"]`."""
    if found := QUANTISED & set(_operators(onnx.load(job["source"], load_external_data=False))):
        raise Refusal(f"the graph is quantised already: it has {', '.join(sorted(found))}")
    model, outside_bytes = KINDS[job["kind"]](job)
    _forget_unused_domains(model)
    size = sum(tensor.ByteSize() for tensor in model.graph.initializer)
    beside: dict[str, Any] = {}
    if size > outside_bytes:
        location = f"{Path(job['output']).stem}.weights"
        beside = {"save_as_external_data": True, "location": location, "size_threshold": MIN_HALVED_BYTES}
    onnx.save_model(clean(model), job["output"], **beside)
    return {}


def _int8(job: dict[str, Any]) -> tuple[Any, int]:
    output = Path(job["output"])
    prepared, made = (output.with_name(f"{word}.onnx") for word in ("prepared", "made"))
    large = _bytes(Path(job["source"])) > MAX_INLINE_BYTES
    quant_pre_process(
        job["source"],
        str(prepared),
        skip_symbolic_shape=True,
        save_as_external_data=large,
        all_tensors_to_one_file=True,
    )
    common = {"per_channel": True, "reduce_range": True, "use_external_data_format": large}
    if CONVOLUTIONS & set(_operators(onnx.load(str(prepared), load_external_data=False))):
        quantize_static(
            str(prepared),
            str(made),
            Rows(job["calibration"]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(STATIC),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            **common,
        )
    else:
        quantize_dynamic(str(prepared), str(made), weight_type=QuantType.QInt8, **common)
    model = onnx.load(str(made))
    if not QUANTISED & set(_operators(model)):
        raise Refusal("no operator of the graph can be computed in int8")
    return model, MAX_INLINE_BYTES


def _int4(job: dict[str, Any]) -> tuple[Any, int]:
    model = ONNXModel(onnx.load(job["source"]))
    model.replace_gemm_with_matmul()
    quantiser = MatMulNBitsQuantizer(
        model.model, bits=4, block_size=BLOCK, is_symmetric=True, accuracy_level=INT8_ACTIVATIONS
    )
    quantiser.process()
    made = quantiser.model.model
    if "MatMulNBits" not in set(_operators(made)):
        raise Refusal("the graph has no matrix product with constant weights")
    return made, MAX_INLINE_BYTES


def _fp16(job: dict[str, Any]) -> tuple[Any, int]:
    model = onnx.load(job["source"])
    inputs = {value.name for value in model.graph.input}
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or tensor.name in inputs:
            continue
        whole = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = whole.astype(np.float16)
        # What fp16 cannot hold becomes infinite; such a tensor stays as it is.
        if whole.nbytes < MIN_HALVED_BYTES or not np.isfinite(half).all():
            continue
        name = f"{tensor.name}.fp16"
        casts.append(helper.make_node("Cast", [name], [tensor.name], name=name, to=onnx.TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(half, name))
    if not casts:
        raise Refusal("the graph has no large float32 weights that fp16 can hold")
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model, int(job["outside_bytes"])


KINDS: dict[str, Callable[[dict[str, Any]], tuple[Any, int]]] = {"int8": _int8, "fp16": _fp16, "int4": _int4}


def _operators(model: Any) -> Iterator[str]:
    """Yield the types of all operators, those inside of branches, loops and functions too."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node.op_type
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)


def _bytes(file: Path) -> int:
    model = onnx.load(str(file), load_external_data=False)
    places = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data
        if entry.key == "location"
    }  # fmt: skip
    return file.stat().st_size + sum(file.with_name(place).stat().st_size for place in places)


def _forget_unused_domains(model: Any) -> None:
    """Drop the operator sets that the library lists and the graph does not use."""
    used = (
        {"", "ai.onnx.ml"} | {node.domain for node in model.graph.node} | {f.domain for f in model.functions}
    )
    kept = [entry for entry in model.opset_import if entry.domain in used]
    if any(node.op_type == "MatMulNBits" for node in model.graph.node) and not any(
        entry.domain == "com.microsoft" for entry in kept
    ):
        kept.append(helper.make_opsetid("com.microsoft", 1))
    del model.opset_import[:]
    model.opset_import.extend(kept)


if __name__ == "__main__":
    serve({"quantise": quantise})
