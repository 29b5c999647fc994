"""Builders of bodies and signatures, written without the codecs under test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.protocol.request import decode_request
from hotplate.protocol.types import InferenceRequest, MetadataTensor

if TYPE_CHECKING:
    from hotplate.protocol.types import DatatypeName, Tensor

ANSWER = (MetadataTensor("y", "FP32", (-1,)),)


def declare(
    datatype: DatatypeName = "FP32",
    shape: Sequence[int] = (-1,),
    *,
    name: str = "x",
    one_of: str | None = None,
) -> MetadataTensor:
    return MetadataTensor(name, datatype, tuple(shape), one_of)


def entry(datatype: Any = "FP32", shape: Any = (2,), data: Any = (1, 2), **more: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "shape": shape, "data": data} | more


def binary_entry(datatype: str, shape: Sequence[int], size: Any, **more: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "datatype": datatype,
        "shape": shape,
        "parameters": {"binary_data_size": size},
    } | more


def body_of(*inputs: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": inputs, **more}, ensure_ascii=False).encode()


def decode(
    body: bytes,
    *declared: MetadataTensor,
    header: str | None = None,
    outputs: Sequence[MetadataTensor] = ANSWER,
) -> InferenceRequest:
    return decode_request(body, header_length=header, inputs=declared or (declare(),), outputs=outputs)


def decode_binary(document: bytes, tail: bytes, *declared: MetadataTensor) -> InferenceRequest:
    return decode(document + tail, *declared, header=str(len(document)))


def plain(tensor: Tensor) -> tuple[Any, ...]:
    """A tensor as values that compare: NaN equals NaN, -0.0 is not 0.0."""
    array = tensor.array
    elements = array.reshape(-1).tolist() if array.dtype == object else np.ascontiguousarray(array).tobytes()
    return tensor.name, tensor.datatype, array.dtype, array.shape, elements, dict(tensor.parameters)
