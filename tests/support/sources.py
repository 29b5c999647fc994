"""One tiny model of every kind that can be published: the tables that tests of whole ways go through.

A new kind is one more line of `FRAMEWORK_SOURCES`, after its program in `tests/convert/programs` makes
the model and, beside it, `<facts>.npz`: what it was asked (`in_<input>`) and what it answered there
(`out_<output>`; `out_` alone for a model with one output).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.local.prepared import GivenModel
from tests.support.tiny_models import affine, with_external_weights, write_onnx

if TYPE_CHECKING:
    import pytest

PROGRAMS = Path(__file__).parents[1] / "convert" / "programs"


@dataclass(frozen=True)
class SourceKind:
    """A model of one kind.

    Attributes:
        name: It is published under.
        models: Fixture that makes it and returns the folder.
        path: In that folder; or a factory, in `PROGRAMS`.
        facts: Name of the file with questions and answers; evaluation rows, if any, are `<facts>-rows.npz`.
        trust_pickle: Whether it must be trusted.
    """

    name: str
    models: str
    path: str
    facts: str
    trust_pickle: bool = False

    def folder(self, request: pytest.FixtureRequest) -> Path:
        """Return where the model and its facts are."""
        folder: Path = request.getfixturevalue(self.models)
        return folder

    def given(self, request: pytest.FixtureRequest) -> GivenModel:
        """Return the model as `hotplate up` takes it."""
        folder = self.folder(request)
        path = Path(self.path) if ":" in self.path else folder / self.path
        rows = folder / f"{self.facts}-rows.npz"
        options = ConvertOptions(
            rows=rows if rows.exists() else None, trust_pickle=self.trust_pickle, source_path=PROGRAMS
        )
        return GivenModel(path, self.name, options)

    def arguments(self, request: pytest.FixtureRequest) -> list[str]:
        """Return the same as arguments of `hotplate publish`."""
        given = self.given(request)
        assert given.options
        rows = ["--rows", str(given.options.rows)] if given.options.rows else []
        trust = ["--trust-pickle"] if self.trust_pickle else []
        return [str(given.path), "--name", self.name, "--source-path", str(PROGRAMS), *rows, *trust]


ONNX_SOURCES = [
    SourceKind("onnx", "onnx_models", "affine.onnx", "affine"),
    SourceKind("onnx-external", "onnx_models", "external.onnx", "external"),
]
FRAMEWORK_SOURCES = [
    SourceKind("keras", "keras_models", "picture.keras", "picture"),
    SourceKind("h5", "keras_models", "picture.h5", "picture"),
    SourceKind("savedmodel", "keras_models", "saved", "picture"),
    SourceKind("pt2", "torch_models", "pool.pt2", "pool"),
    SourceKind("torch-factory", "torch_models", "make_torch:dense", "dense"),
    SourceKind("skops", "sklearn_models", "forest.skops", "forest"),
    SourceKind("lightgbm", "boosted_models", "light-three.txt", "light-three"),
    SourceKind("xgboost", "boosted_models", "extreme-three.ubj", "extreme-three"),
    SourceKind("xgboost-text", "boosted_models", "extreme-text.json", "extreme-text"),
    SourceKind("skops-text", "sklearn_models", "words.skops", "words"),
    SourceKind("joblib", "sklearn_models", "scaled.joblib", "scaled", trust_pickle=True),
]


def write_onnx_sources(folder: Path) -> Path:
    """Write the models of `ONNX_SOURCES` and their facts, and return the folder."""
    asked = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
    weights = np.array([0.5, -1, 3], np.float32)
    write_onnx(folder / "affine.onnx", affine(3.0))
    np.savez(folder / "affine.npz", in_x=asked, out_y=asked * np.float32(3))
    write_onnx(folder / "external.onnx", with_external_weights("external.bin"))
    (folder / "external.bin").write_bytes(weights.tobytes())
    np.savez(folder / "external.npz", in_x=asked, out_y=asked + weights)
    return folder


def asked_and_expected(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a model was asked and what its framework answered, arrays by name."""
    with np.load(file) as archive:
        feeds = {name[3:]: _bytes(archive[name]) for name in archive.files if name.startswith("in_")}
        expected = {name[4:]: _bytes(archive[name]) for name in archive.files if name.startswith("out_")}
    return feeds, expected


def _bytes(array: Any) -> Any:
    if array.dtype.kind != "U":
        return array
    cells = np.empty(array.size, object)
    cells[:] = [text.encode() for text in array.ravel().tolist()]
    return cells.reshape(array.shape)
