"""A version of some megabytes whose graph borrows its weights, for what weights cost."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from hotplate.manifest.layout import blob_key
from hotplate.manifest.schema import FileEntry, Manifest, Plan
from hotplate.protocol.types import MetadataTensor
from tests.support.published import Published, republished

if TYPE_CHECKING:
    from hotplate.manifest.schema import Prepacking

__all__ = ["EVENT", "LAYER_BYTES", "WEIGHTS_FILE", "heavy"]

WIDTH = 1024
LAYER_BYTES = WIDTH * WIDTH * 4
WEIGHTS_FILE = "model.weights"

# Asks for one row of ones.
EVENT = {
    "httpMethod": "POST",
    "path": "/v2/models/heavy/infer",
    "headers": {},
    "body": json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "data": [1] * WIDTH}]}
    ),
    "isBase64Encoded": False,
}


def heavy(
    layers: int, *, prepacking: Prepacking = "off", load_level: Literal["all", "none"] = "all"
) -> Published:
    """Return y = x·W·W·…, FP32 [n, 1024], with `layers` matrices of 4 MiB in one file beside the graph."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", "y")]
    names = ["x", *(f"h{layer}" for layer in range(1, layers)), "y"]
    nodes = [helper.make_node("MatMul", [names[at], f"w{at}"], [names[at + 1]]) for at in range(layers)]
    graph = helper.make_graph(nodes, "heavy", values[:1], values[1:], [_outside(at) for at in range(layers)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    body = bytes(onnx.ModelProto.SerializeToString(model))
    random = np.random.default_rng(0)
    weights = (random.standard_normal((layers, WIDTH, WIDTH), np.float32) / np.float32(32)).tobytes()
    digests = [hashlib.sha256(each).hexdigest() for each in (body, weights)]
    manifest = Manifest(
        format=1,
        name="heavy",
        inputs=(MetadataTensor("x", "FP32", (-1, WIDTH)),),
        outputs=(MetadataTensor("y", "FP32", (-1, WIDTH)),),
        files=(
            FileEntry("model.onnx", "graph", len(body), digests[0]),
            FileEntry(WEIGHTS_FILE, "weights", len(weights), digests[1]),
        ),
        plan=Plan(weight_form="borrowed", prepacking=prepacking, load_level=load_level),
    )
    return republished(manifest, dict(zip(map(blob_key, digests), (body, weights), strict=True)))


def _outside(layer: int) -> TensorProto:
    tensor = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH])
    tensor.data_location = TensorProto.EXTERNAL
    where = {"location": WEIGHTS_FILE, "offset": layer * LAYER_BYTES, "length": LAYER_BYTES}
    for key, value in where.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor
