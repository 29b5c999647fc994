"""Tiny ONNX graphs, good and hostile, and source folders around them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import yaml
from onnx import TensorProto, helper

GOLDEN = ({"inputs": {"x": [[1.0, 2.0, 3.0]]}, "outputs": {"y": [[2.0, 4.0, 6.0]]}},)


def info(
    name: str, shape: Sequence[int | str | None] | None, kind: int = TensorProto.FLOAT
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    *,
    initializers: Sequence[onnx.TensorProto] = (),
    opsets: Mapping[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
    ir_version: int = 9,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, list(initializers))
    imports = [helper.make_opsetid(domain, version) for domain, version in (opsets or {"": 17}).items()]
    return helper.make_model(
        graph, opset_imports=imports, ir_version=ir_version, functions=list(functions), producer_name="tests"
    )


def affine(factor: float = 2.0) -> onnx.ModelProto:
    """Return y = factor·x over FP32 [n, 3]."""
    scale = helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    return model_of([node], [info("x", ["n", 3])], [info("y", ["n", 3])], initializers=[scale])


def picker() -> onnx.ModelProto:
    """Return y = [0.5, 1.5, 2.5][x] over INT64 [n]; it fails on any other x than 0, 1, 2 (and -1, -2, -3)."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [0.5, 1.5, 2.5])
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    inputs = [info("x", ["n"], TensorProto.INT64)]
    return model_of([node], inputs, [info("y", ["n"])], initializers=[table])


def one_node(
    operator: str, *, domain: str = "", opset: int = 17, ir_version: int = 9, **attributes: Any
) -> onnx.ModelProto:
    """Return y = operator(x) over FP32 [n, 3]."""
    node = helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)
    opsets = {"": opset, domain: 1} if domain else {"": opset}
    return model_of(
        [node], [info("x", ["n", 3])], [info("y", ["n", 3])], opsets=opsets, ir_version=ir_version
    )


def with_external_weights(location: str, *, offset: int = 0, length: int = 12) -> onnx.ModelProto:
    """Return y = x + w, where the three floats of w are bytes of the file `location`."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": offset, "length": length}.items():
        weights.external_data.add(key=key, value=str(value))
    node = helper.make_node("Add", ["x", "w"], ["y"])
    return model_of([node], [info("x", ["n", 3])], [info("y", ["n", 3])], initializers=[weights])


def write_onnx(path: Path, model: onnx.ModelProto) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def spec_of(**changes: Any) -> dict[str, Any]:
    """Return `model.yaml` of `affine`, with some keys replaced; None drops a key."""
    spec: dict[str, Any] = {
        "name": "affine",
        "task": "scaling",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3], "description": "rows of three"}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        "labels": {"y": ["a", "b", "c"]},
        "artefact": "model.onnx",
        "golden": {"file": "golden.jsonl", "rtol": 1e-4, "atol": 1e-5},
        "card": "card.md",
        "plan": {"memory_mb": 512, "intra_op_threads": 1},
        "provenance": {"command": "python train.py", "seed": 7, "metrics": {"accuracy": 0.98}},
    }
    spec.update(changes)
    return {key: value for key, value in spec.items() if value is not None}


def write_folder(
    folder: Path,
    *,
    model: onnx.ModelProto | None = None,
    rows: Sequence[Mapping[str, Any]] = GOLDEN,
    **changes: Any,
) -> Path:
    """Write a source folder of `affine` and return it."""
    write_onnx(folder / "model.onnx", model or affine())
    (folder / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "card.md").write_text("# Affine\n")
    (folder / "model.yaml").write_text(yaml.safe_dump(spec_of(**changes)))
    return folder


def write_picker(folder: Path) -> Path:
    """Write a source folder of `picker` and return it."""
    return write_folder(
        folder,
        model=picker(),
        rows=[{"inputs": {"x": [2, 0]}, "outputs": {"y": [2.5, 0.5]}}],
        name="picker",
        inputs=[{"name": "x", "datatype": "INT64", "shape": [-1], "description": "places"}],
        outputs=[{"name": "y", "datatype": "FP32", "shape": [-1]}],
        labels=None,
    )


def slow() -> onnx.ModelProto:
    """Return y = 0 after as many steps as the largest of x, over INT64 [n]; a million take seconds."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["goes_on"], ["still"]),
            helper.make_node("Identity", ["kept"], ["given"]),
        ],
        "step",
        [info("i", [], TensorProto.INT64), info("goes_on", [], TensorProto.BOOL), info("kept", ["n"])],
        [info("still", [], TensorProto.BOOL), info("given", ["n"])],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["steps"], keepdims=0),
        helper.make_node("Cast", ["x"], ["asked"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["asked", "asked"], ["zeros"]),
        helper.make_node("Loop", ["steps", "", "zeros"], ["y"], body=body),
    ]
    return model_of(nodes, [info("x", ["n"], TensorProto.INT64)], [info("y", ["n"])])


def write_slow(folder: Path) -> Path:
    """Write a source folder of `slow` and return it."""
    return write_folder(
        folder,
        model=slow(),
        rows=[{"inputs": {"x": [3, 1]}, "outputs": {"y": [0.0, 0.0]}}],
        name="slow",
        inputs=[{"name": "x", "datatype": "INT64", "shape": [-1], "description": "steps"}],
        outputs=[{"name": "y", "datatype": "FP32", "shape": [-1]}],
        labels=None,
    )
