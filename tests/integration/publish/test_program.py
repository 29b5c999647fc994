"""A model that is Python, published: by the function's own code, in an environment of its own, or refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hotplate.manifest.schema import Manifest, decode
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor
from hotplate.runtime.program import load_program
from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.local import local_description, measure_published
from hotplate_tools.planning.describe import published_description
from hotplate_tools.publish.pipeline import Described, describe, prepare, publish_model, publish_prepared
from tests.support.memory_store import MemoryStore
from tests.support.published import republished

MODEL = '''
"""y = factor * x for every word of the tables."""
import json, sys
import numpy as np
from hotplate.errors import ValueRangeError

class Scale:
    def __init__(self, assets):
        self.factor = np.float32(json.loads((assets / "tables/deep/factor.json").read_text()))
        self.seen = sorted(str(f.relative_to(assets)) for f in assets.rglob("*") if f.is_file())

    def predict(self, inputs):
        assert "onnxruntime" not in sys.modules
        x = inputs["x"]
        if (x < 0).any():
            raise ValueRangeError("x", expected="0 or more", received="less")
        names = np.empty(len(self.seen), object)
        names[:] = [name.encode() for name in self.seen]
        return {"y": x * self.factor, "seen": names}

def load(assets):
    return Scale(assets)
'''
SPEC: dict[str, Any] = {
    "name": "tiny-scale",
    "kind": "python",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
    "outputs": [
        {"name": "y", "datatype": "FP32", "shape": [-1]},
        {"name": "seen", "datatype": "BYTES", "shape": [-1]},
    ],
    "assets": ["words.txt", "tables"],
    "golden": {"file": "golden.jsonl"},
}
SEEN = ["tables/deep/factor.json", "tables/empty", "words.txt"]
ROW: dict[str, Any] = {"inputs": {"x": [1.0, 2.0]}, "outputs": {"y": [3.0, 6.0], "seen": SEEN}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's functions, and a source folder `model` beside them."""
    function = tmp_path / "functions" / "tiny_scale"
    function.mkdir(parents=True)
    for package in (function.parent, function):
        (package / "__init__.py").touch()
    (function / "model.py").write_text(MODEL)
    source = tmp_path / "model"
    (source / "tables/deep").mkdir(parents=True)
    (source / "tables/deep/factor.json").write_text("3")
    (source / "tables/empty").touch()
    (source / "words.txt").write_text("one two")
    (source / "unused.txt").write_text("not an asset")
    write(source)
    return tmp_path


def write(source: Path, *, row: dict[str, Any] = ROW, **changes: Any) -> None:
    spec = {key: value for key, value in {**SPEC, **changes}.items() if value is not None}
    (source / "model.yaml").write_text(yaml.safe_dump(spec))
    (source / "golden.jsonl").write_text(json.dumps(row) + "\n")


def described(folder: Path) -> Described:
    options = ConvertOptions(source_path=folder)
    return describe(folder / "model", options=options, console=Console(as_json=True))


def published(folder: Path, store: MemoryStore) -> Manifest:
    done = publish_model(
        folder / "model",
        store=store,
        options=ConvertOptions(source_path=folder),
        console=Console(as_json=True),
    )
    return decode(store.objects[done.actions.manifest.key])


def test_published_program_is_loaded_from_the_registry_and_answers(folder: Path) -> None:
    store = MemoryStore()
    manifest = published(folder, store)
    assert manifest.platform == "python"
    assert [entry.path for entry in manifest.files if entry.role == "asset"] == SEEN
    assert manifest.golden is not None
    version = republished(manifest, store.objects)
    namespace: dict[str, Any] = {}
    exec(MODEL.replace('assert "onnxruntime" not in sys.modules', "pass"), namespace)  # noqa: S102
    model = load_program(version.settings, version.reader, namespace["load"])
    x = Tensor("x", "FP32", np.array([5, 6], np.float32))
    wanted = (RequestOutput("y", binary=True), RequestOutput("seen", binary=True))
    answer = model.predict(InferenceRequest(None, (x,), wanted))
    assert answer.outputs[0].array.tolist() == [15, 18]
    assert answer.outputs[1].array.tolist() == [name.encode() for name in SEEN]


def test_same_source_is_the_same_version(folder: Path) -> None:
    assert described(folder).manifest_sha256 == described(folder).manifest_sha256


def test_program_without_assets_is_published(folder: Path) -> None:
    (folder / "functions/tiny_scale/model.py").write_text(
        "class P:\n    def predict(self, inputs):\n        return {'y': inputs['x']}\n\ndef load(assets):\n"
        "    assert not list(assets.iterdir())\n    return P()\n"
    )
    row = {"inputs": {"x": [1.0]}, "outputs": {"y": [1.0]}}
    write(folder / "model", row=row, assets=None, outputs=SPEC["outputs"][:1])
    assert [entry.role for entry in described(folder).manifest.files] == ["card", "golden"]


def change(text: str, by: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / "functions/tiny_scale/model.py"
        assert text in file.read_text()
        file.write_text(file.read_text().replace(text, by))

    return apply


def said(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: write(folder / "model", **changes)


def asset(name: str, body: bytes) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / "model/tables" / name).write_bytes(body)

    return apply


def archived(folder: Path) -> None:
    with zipfile.ZipFile(folder / "model/tables/weights.zip", "w") as file:
        file.writestr("x" * 600, b"")
        file.writestr("deep/model.pkl", b"")


def linked(folder: Path) -> None:
    (folder / "model/tables/more").symlink_to(folder / "functions")


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "no rows": (said(golden=None), "has no golden rows"),
    "another answer": (
        said(row={**ROW, "outputs": {"y": [3.0, 7.0]}}),
        r"golden row 1, output 'y': element \[1\] is 6.0, golden has 7.0",
    ),
    "a row it refuses": (
        said(row={"inputs": {"x": [-1.0]}, "outputs": {"y": [1.0]}}),
        "golden row 1: x: expected 0 or more, got less",
    ),
    "another datatype": (change("x * self.factor", "x.astype('f8')"), "y' is float64 .* declares FP32"),
    "an output missing": (change('"seen": names', '"other": names'), "gave no output 'seen'"),
    "a fault in predict": (change("names[:] =", "names.nothing ="), "the program failed: AttributeError"),
    "a fault in load": (change("factor.json", "absent.json"), "does not load: FileNotFoundError"),
    "no load": (change("def load(", "def lood("), r"has no function load\(assets\)"),
    "a requirement missing": (
        change("import json", "import scipy, json"),
        "cannot be imported: ModuleNotFound",
    ),
    "a pickle by name": (asset("a.pkl", b"x"), "'tables/a.pkl' is named like a pickle"),
    "a pickle by its bytes": (asset("a.bin", b"\x80\x04\x95"), "'tables/a.bin' is a pickle"),
    "a pickle deep in an archive": (archived, r"weights.zip/deep/model.pkl' is named like a pickle"),
    "a link out": (linked, "'more', a link to a folder"),
    "an asset outside": (said(assets=["../functions"]), "'../functions' lies outside"),
    "an asset that is not there": (said(assets=["absent"]), "asset 'absent' is not in model"),
    "an asset in the place of the rows": (said(assets=["golden.jsonl"]), "'golden.jsonl' is there twice"),
    "a graph too": (said(artefact="model.onnx"), "kind python has no artefact"),
    "rows for a conversion": (said(evaluation="golden.jsonl"), "evaluation is for graphs"),
    "a tolerance": (said(tolerance=0.1), "tolerance is for graphs"),
    "a form of weights": (said(plan={"weight_form": "inline"}), r"plan\.weight_form is for graphs"),
    "optional output": (
        said(outputs=[{**SPEC["outputs"][0], "optional": True}, SPEC["outputs"][1]]),
        "one_of and optional are for inputs",
    ),
    "no kind": (said(kind=None, assets=None), "artefact is missing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_unfit_program_is_refused(folder: Path, case: str) -> None:
    spoil, words = WRONG[case]
    spoil(folder)
    with pytest.raises(RefusedError, match=words):
        described(folder)


def test_program_without_code_is_refused(folder: Path) -> None:
    options = ConvertOptions(source_path=folder / "model")
    with pytest.raises(RefusedError, match=r"no functions/tiny_scale/model\.py") as caught:
        describe(folder / "model", options=options)
    assert caught.value.advice == "`hotplate new tiny-scale --python` writes one."


def test_option_of_a_conversion_is_refused(folder: Path) -> None:
    for options in (ConvertOptions(tolerance=0.1), ConvertOptions(trust_pickle=True)):
        with pytest.raises(RefusedError, match="is for graphs, and tiny-scale is Python"):
            describe(folder / "model", options=replace(options, source_path=folder))


def test_program_is_neither_measured_nor_planned(folder: Path) -> None:
    store = MemoryStore()
    console = Console(as_json=True)
    with prepare(folder / "model", options=ConvertOptions(source_path=folder)) as prepared:
        publish_prepared(prepared, store=store, console=console)
        before = dict(store.objects)
        assert measure_published(prepared, store=store, console=console) is False
    assert store.objects == before
    with pytest.raises(RefusedError, match="python model, and only graphs"):
        local_description(folder / "model", code_bytes=0, console=console, measured=False)
    with pytest.raises(RefusedError, match="python model, and only graphs"):
        published_description(store, "tiny-scale", "live", code_bytes=0)


def test_functions_folder_is_found_by_the_models_name(folder: Path) -> None:
    write(folder / "model", name="tiny_scale")
    assert described(folder).manifest.name == "tiny_scale"
