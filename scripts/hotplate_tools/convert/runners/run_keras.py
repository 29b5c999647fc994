"""Keras and TensorFlow to ONNX: `.keras`, `.h5` and SavedModel folders.

Rules kept here: Keras' own exporter first; a SavedModel goes through tf2onnx by its serving
signature; code inside of a `.keras` file (Lambda layers) is not run; the batch stays open; the same
source gives the same bytes.

Source: Keras, "Model.export"; tf2onnx, "Using the Python API".
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnx.tools.update_model_dims import update_inputs_outputs_dims
from tf2onnx.graph import Node
from wire import Refusal, answer_each, clean, serve

OPSET = 18  # the newest that tf2onnx writes

# tf2onnx makes lists of sets of nodes, in the order of their addresses, and merges equal constants in
# that order. By name the order is the same in each process, because PYTHONHASHSEED is set.
Node.__hash__ = lambda node: hash(node.name)

state: dict[str, Any] = {}


def convert(job: dict[str, Any]) -> dict[str, Any]:
    """Write `model.onnx`; the model is kept for `answer`."""
    keras.utils.set_random_seed(0)
    proto = _saved_model(job) if job["kind"] == "savedmodel" else _keras(job)
    state["outputs"] = [output.name for output in proto.graph.output]
    Path(job["output"]).write_bytes(clean(proto).SerializeToString(deterministic=True))
    versions = [f"tensorflow {tf.__version__}", f"tf2onnx {version('tf2onnx')}"]
    return {"framework": ", ".join([f"keras {version('keras')}", *versions])}


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Run the model on every case."""
    found: dict[str, Any] = answer_each(job, state["run"])
    return found


def _keras(job: dict[str, Any]) -> Any:
    try:
        model = keras.models.load_model(job["source"], compile=False, safe_mode=True)
    except ValueError as fault:
        if "safe_mode" in str(fault) or "deserialization of a `Lambda`" in str(fault):
            raise Refusal(
                "the file holds Python code (a Lambda layer), which reading it would run",
                "Write the layer as a class, or export the model to ONNX yourself.",
            ) from fault
        raise
    if not model.built:
        raise Refusal("the model has no weights yet: it was never built", "Call it once, then save it again.")
    model(model.input)  # on symbols, not numbers: the exporter wants a model that was called
    shapes = {tensor.name: list(tensor.shape) for tensor in model.inputs}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        model.export(str(file), format="onnx", opset_version=OPSET, verbose=False)
        proto = onnx.load(str(file))
    given = [node.name for node in proto.graph.input]
    if set(given) != set(shapes):
        raise Refusal(f"the exporter gave inputs {', '.join(given)} for {', '.join(shapes)}")
    if isinstance(model.output, dict):
        _rename_outputs(proto, sorted(model.output))

    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        structure = keras.tree.map_structure(lambda tensor: feeds[tensor.name], model.input)
        arrays = [np.asarray(array) for array in tf.nest.flatten(model(structure, training=False))]
        return dict(zip(state["outputs"], arrays, strict=True))

    state["run"] = run
    return _open_batch(proto, shapes)


def _saved_model(job: dict[str, Any]) -> Any:
    loaded = tf.saved_model.load(job["source"])
    signatures = loaded.signatures
    if "serving_default" not in signatures:
        found = ", ".join(signatures) or "none"
        raise Refusal(f"the SavedModel has no signature serving_default; it has {found}")
    function = signatures["serving_default"]
    specs = function.structured_input_signature[1]
    names = sorted(specs)
    wanted = [tf.TensorSpec(specs[name].shape, specs[name].dtype, name=name) for name in names]

    def by_position(*arguments: Any) -> Any:
        return function(**dict(zip(names, arguments, strict=True)))

    call = tf.function(by_position, input_signature=wanted)
    proto, _ = tf2onnx.convert.from_function(call, input_signature=wanted, opset=OPSET)
    keys = sorted(function.structured_outputs)
    _rename_outputs(proto, keys)
    # The loaded object holds the variables; without it the function's would be gone.
    state["loaded"] = loaded

    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        answers = function(**{name: tf.constant(feeds[name], specs[name].dtype) for name in names})
        return {key: answers[key].numpy() for key in keys}

    state["run"] = run
    return _open_batch(proto, {name: specs[name].shape.as_list() for name in names})


def _rename_outputs(proto: Any, keys: list[str]) -> None:
    """Give the graph's outputs, which come in the order of the sorted keys, the signature's names."""
    if len(proto.graph.output) != len(keys):
        raise Refusal(f"the exporter gave {len(proto.graph.output)} outputs for {', '.join(keys)}")
    taken = {name for node in proto.graph.node for name in node.output} | {
        node.name for node in proto.graph.input
    }
    for output, key in zip(proto.graph.output, keys, strict=True):
        if output.name == key:
            continue
        name = key if key not in taken else f"{key}_output"
        node = proto.graph.node.add(op_type="Identity", input=[output.name], output=[name])
        node.name = f"name_{name}"
        output.name = name


def _open_batch(proto: Any, shapes: dict[str, list[int | None]]) -> Any:
    """Give open dimensions names: tf2onnx calls them `unk__` and a number that differs from run to run."""
    inputs = {
        node.name: [
            size if size else ("batch" if axis == 0 else f"{node.name}_{axis}")
            for axis, size in enumerate(shapes[node.name])
        ]
        for node in proto.graph.input
    }
    outputs = {
        node.name: [
            dim.dim_value if dim.dim_value else ("batch" if axis == 0 else f"{node.name}_{axis}")
            for axis, dim in enumerate(node.type.tensor_type.shape.dim)
        ]
        for node in proto.graph.output
    }
    del proto.graph.value_info[:]
    return update_inputs_outputs_dims(proto, inputs, outputs)


if __name__ == "__main__":
    serve({"convert": convert, "answer": answer})
