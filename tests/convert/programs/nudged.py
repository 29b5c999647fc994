"""A sabotaged converter: started as `nudged_<runner>.py`, with weights one per cent off."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts/hotplate_tools/convert/runners"))

import importlib

import numpy as np
import onnx
from onnx import numpy_helper
from wire import serve

runner = importlib.import_module(Path(sys.argv[0]).stem.removeprefix("nudged_"))


def convert(job):
    done = runner.convert(job)
    model = onnx.load(job["output"])
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array * np.float32(1.01), tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in {"coefficients", "target_weights"}:
                attribute.floats[:] = [value * 1.01 for value in attribute.floats]
    onnx.save(model, job["output"])
    return done


serve({"convert": convert, "answer": runner.answer})
