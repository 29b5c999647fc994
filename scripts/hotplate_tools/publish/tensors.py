"""Does a tensor stored in a graph hold as many bytes as its shape says?

A reader that believes the shape reads past the end of what is there; one that believes the bytes
computes with other numbers than the exporter meant. Neither is published.

Not looked at: the values.

Source: ONNX, `onnx.proto`, "TensorProto"; sub-byte elements are packed, the last byte padded.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx
import onnx.helper

from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from onnx import TensorProto

__all__ = ["declared_bytes", "refuse_wrong_size"]

# Bits of the elements that share a byte.
_PACKED = {
    onnx.TensorProto.DataType.Value(name): bits
    for name, bits in {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}.items()
    if name in onnx.TensorProto.DataType.keys()  # noqa: SIM118 - an enum's wrapper, no dict
}
_COMPLEX = {onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128}


def declared_bytes(tensor: TensorProto) -> int:
    """Return how many bytes a tensor's shape and type need.

    Raises:
        RefusedError: A dimension is negative, or the type has no size of its own.
    """
    if any(size < 0 for size in tensor.dims):
        raise RefusedError(f"tensor {tensor.name!r} has a negative dimension: {list(tensor.dims)}")
    count = int(math.prod(tensor.dims))
    if tensor.data_type in _PACKED:
        return -(-count * int(_PACKED[tensor.data_type]) // 8)
    try:
        if tensor.data_type == onnx.TensorProto.STRING:
            raise KeyError(tensor.data_type)
        return count * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except KeyError as fault:
        raise RefusedError(
            f"tensor {tensor.name!r} of type {tensor.data_type} cannot be stored as bytes"
        ) from fault


def refuse_wrong_size(tensor: TensorProto) -> None:
    """Compare the bytes or elements that lie in the graph with the shape.

    Raises:
        RefusedError: They disagree.
    """
    if tensor.HasField("raw_data"):
        _refuse(tensor, len(tensor.raw_data), declared_bytes(tensor), "bytes")
    elif tensor.dims and tensor.data_type not in {*_PACKED, *_COMPLEX, onnx.TensorProto.UNDEFINED}:
        try:
            field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
        except KeyError as fault:
            raise RefusedError(f"tensor {tensor.name!r} has unknown type {tensor.data_type}") from fault
        _refuse(tensor, len(getattr(tensor, field)), math.prod(tensor.dims), "elements")


def _refuse(tensor: TensorProto, found: int, declared: int, unit: str) -> None:
    if found != declared:
        raise RefusedError(
            f"tensor {tensor.name!r} of shape {list(tensor.dims)} needs {declared} {unit}, {found} are there",
            advice="The file is damaged, or was made to mislead: export the model again.",
        )
