"""Tiny pipelines over FP32 [n, 3]: members that scale, name or choose, published and loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper

from hotplate.manifest.steps import Member, Pipeline, Step
from hotplate.protocol.types import MetadataTensor
from hotplate_tools.console import Console
from hotplate_tools.publish.pipeline import publish_model
from tests.support.tiny_models import affine, info, model_of, write_onnx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hotplate.store.base import Store
    from hotplate_tools.publish.pipeline import Published

CONSOLE = Console(as_json=True)
X, Y = MetadataTensor("x", "FP32", (-1, 3)), MetadataTensor("y", "FP32", (-1, 3))
KIND = MetadataTensor("kind", "INT64", (-1,))


def largest() -> onnx.ModelProto:
    """Return kind = argmax(x) over FP32 [n, 3]: INT64 [n]."""
    node = helper.make_node("ArgMax", ["x"], ["kind"], axis=1, keepdims=0)
    return model_of([node], [info("x", ["n", 3])], [info("kind", ["n"], TensorProto.INT64)])


def member(name: str, output: MetadataTensor = Y) -> Member:
    """Return a pinned member that takes `x`."""
    return Member(name, "1", "0" * 64, (X,), (output,))


def pipeline(*steps: Step, results: Mapping[str, str], members: Sequence[Member]) -> Pipeline:
    """Return a pipeline with its members in order."""
    return Pipeline(tuple(sorted(members, key=lambda each: each.name)), steps, dict(results))


class Scaled:
    """A predictor: y = factor·x; remembers what it was asked for."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.wanted: list[list[str]] = []

    def run(self, inputs: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
        self.wanted.append(list(wanted))
        return {"y": inputs["x"] * np.float32(self.factor)}


class Constant:
    """A predictor that always answers the same."""

    def __init__(self, **outputs: Any) -> None:
        self.outputs = outputs

    def run(self, inputs: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
        return {name: self.outputs[name] for name in wanted}


def publish_members(folder: Path, store: Store) -> None:
    """Publish `double`, `triple` and `largest`."""
    for name, model in {"double": affine(2), "triple": affine(3), "largest": largest()}.items():
        publish_model(write_onnx(folder / f"{name}.onnx", model), store=store, console=CONSOLE)


def pipeline_spec(steps: Sequence[Mapping[str, Any]], source: str, **changes: Any) -> dict[str, Any]:
    """Return `model.yaml` of a pipeline from `x` to `y`, which is answered from `source`."""
    tensor = {"datatype": "FP32", "shape": [-1, 3]}
    spec = {
        "name": "chain",
        "kind": "pipeline",
        "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "y", **tensor}],
        "steps": list(steps),
        "results": {"y": source},
        "golden": {"file": "golden.jsonl"},
        **changes,
    }
    return {key: value for key, value in spec.items() if value is not None}


def write_pipeline(folder: Path, spec: Mapping[str, Any], *, asked: Any, answer: Any) -> Path:
    """Write a pipeline's source folder with one golden row."""
    folder.mkdir(parents=True, exist_ok=True)
    # Through JSON, because YAML writes a value that is there twice as an alias.
    (folder / "model.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(spec))))
    row = {"inputs": {"x": asked}, "outputs": {"y": answer}}
    (folder / "golden.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def publish_pipeline(folder: Path, store: Store) -> Published:
    """Publish a source folder."""
    return publish_model(folder, store=store, console=CONSOLE)
