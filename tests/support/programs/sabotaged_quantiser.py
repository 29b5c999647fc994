"""A sabotaged quantiser: every second scale of the weights is doubled."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts/hotplate_tools/convert/runners"))

import numpy as np
import onnx
import run_quantiser
from onnx import numpy_helper
from wire import serve


def quantise(job):
    done = run_quantiser.quantise(job)
    model = onnx.load(job["output"])
    scales = {
        node.input[2 if node.op_type == "MatMulNBits" else 1]
        for node in model.graph.node
        if node.op_type in {"DequantizeLinear", "MatMulNBits"}
    }
    for tensor in model.graph.initializer:
        if tensor.name in scales and numpy_helper.to_array(tensor).size > 1:
            array = numpy_helper.to_array(tensor).copy()
            array[::2] *= np.float32(2)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, job["output"])
    return done


serve({"quantise": quantise})
