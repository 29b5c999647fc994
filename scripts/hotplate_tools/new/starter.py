"""The source folder of a new model: the user's own, or a starter that answers at once.

The starter gives back what it is sent. It is a whole model on purpose: the first `hotplate up`
answers, and each part is replaced when there is something better.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.source import inside, read_source

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["copied_folder", "python_folder", "starter_folder"]

_YAML = """\
# What callers see of {name}. Replace model.onnx, golden.jsonl and what is said here by your own.
name: {name}
task: ""
inputs:
  - name: x
    datatype: FP32
    shape: [-1, 4]
    description: "Rows of four numbers"
outputs:
  - name: y
    datatype: FP32
    shape: [-1, 4]
    description: "The same numbers"
artefact: model.onnx
golden: {{file: golden.jsonl, rtol: 1.0e-5, atol: 1.0e-6}}
card: card.md
"""
_CARD = """\
# {name}

Gives back what it is sent: the model that `hotplate new` starts with. Say here what yours is for, what it was
trained and measured on, and what it cannot do.
"""
_GOLDEN = '{"inputs": {"x": [[1.0, 2.0, 3.0, 4.0]]}, "outputs": {"y": [[1.0, 2.0, 3.0, 4.0]]}}\n'


def starter_folder(name: str) -> dict[str, bytes]:
    """Return the files of the starter by path."""
    texts = {
        "model.yaml": _YAML.format(name=name),
        "card.md": _CARD.format(name=name),
        "golden.jsonl": _GOLDEN,
    }
    return {"model.onnx": _identity(), **{path: text.encode() for path, text in texts.items()}}


def python_folder(name: str) -> dict[str, bytes]:
    """Return the files of the starter that is Python, by path; it doubles what it is sent."""
    spec = _YAML.replace("model.onnx, golden.jsonl", "settings.json, golden.jsonl")
    spec = spec.replace("artefact: model.onnx", "assets: [settings.json]")
    spec = spec.replace("name: {name}\n", "name: {name}\nkind: python\n").replace(
        "The same numbers", "Twice the numbers"
    )
    texts = {
        "model.yaml": spec.format(name=name),
        "card.md": _CARD.format(name=name).replace("Gives back what", "Doubles what"),
        "golden.jsonl": _GOLDEN.replace("[[1.0, 2.0, 3.0, 4.0]]}}", "[[2.0, 4.0, 6.0, 8.0]]}}"),
        "settings.json": '{"factor": 2.0}\n',
    }
    return {path: text.encode() for path, text in texts.items()}


def copied_folder(folder: Path, name: str) -> dict[str, bytes]:
    """Return the files of a source folder by path, its model named `name`.

    Raises:
        RefusedError: It is no source folder, or a file of it lies outside.
    """
    source = read_source(folder, name)
    if source.is_program or source.is_pipeline:
        raise RefusedError(
            f"{folder.name} is a {source.platform} model, whose code is not in its folder",
            advice=f"Start with `hotplate new {name} --python`, and put folder and code in its place.",
        )
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    files = {path: inside(source.folder, path, "file").read_bytes() for path in paths}
    head = files["model.yaml"].decode()
    files["model.yaml"] = re.sub(r"(?m)^name:.*$", f"name: {name}", head, count=1).encode()
    return files


def _identity() -> bytes:
    values = [helper.make_tensor_value_info(each, TensorProto.FLOAT, ["rows", 4]) for each in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "starter", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(model, deterministic=True))
