"""Forms on their way from a graph through a registry into a session, and their measurements."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from hotplate.manifest.layout import blob_key, measurements_key
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor
from hotplate.runtime.isa import this_isa
from hotplate.runtime.loader import load_model
from hotplate.runtime.session import Session
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.optimise import forms
from hotplate_tools.planning.commands import plan
from hotplate_tools.planning.describe import read_measurements
from hotplate_tools.publish.commands import publish
from hotplate_tools.publish.pipeline import Described, describe
from tests.support.planned_models import convolutions, perceptron
from tests.support.published import Published, republished
from tests.support.tiny_models import affine, write_folder, write_onnx

if TYPE_CHECKING:
    import onnx


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTPLATE_CACHE", str(tmp_path / "cache"))


def roles(described: Described) -> dict[str, str]:
    return {
        entry.path: entry.role for entry in described.manifest.files if entry.role not in ("golden", "card")
    }


def loaded(described: Described) -> Published:
    blobs = {
        blob_key(file.entry.sha256): file.body if isinstance(file.body, bytes) else file.body.read_bytes()
        for file in described.files
    }
    return republished(described.manifest, blobs)


def answers(version: Published, name: str, array: np.ndarray, expected: np.ndarray) -> None:
    request = InferenceRequest("", (Tensor(name, "FP32", array),), (RequestOutput("y", binary=True),))
    got = load_model(version.settings, version.reader).predict(request).outputs[0].array
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def source_answer(model: onnx.ModelProto, array: np.ndarray) -> np.ndarray:
    session = Session(model.SerializeToString(), weights={}, threads=1)
    return session.run({"x": array}, ["y"])["y"]


def test_large_matrix_model_is_borrowed_and_answers_as_before(tmp_path: Path) -> None:
    model = perceptron(110_000)
    described = describe(write_onnx(tmp_path / "m.onnx", model))
    assert roles(described) == {"model.onnx": "graph", "model.weights": "weights"}
    found = described.manifest.plan
    assert (found.weight_form, found.prepacking, found.load_level, found.isa) == (
        "borrowed",
        "parallel",
        "none",
        None,
    )
    array = np.random.default_rng(0).random((4, 10), np.float32)
    answers(loaded(described), "x", array, source_answer(model, array))
    assert describe(tmp_path / "m.onnx").version == described.version


def test_large_convolutions_carry_files_for_this_processor_and_fall_back(tmp_path: Path) -> None:
    model = convolutions(4, 256)
    described = describe(write_onnx(tmp_path / "m.onnx", model))
    isa = this_isa()
    assert roles(described) == {
        "model.onnx": "graph",
        "model.weights": "weights",
        f"model.{isa}.onnx": "native-graph",
        f"model.{isa}.weights": "native-weights",
    }
    array = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    expected = source_answer(model, array)
    native = loaded(described)
    answers(native, "x", array, expected)
    of_role = {entry.role: blob_key(entry.sha256) for entry in described.manifest.files}
    assert native.reader.reads[2:] == [of_role["native-graph"], of_role["native-weights"]]
    elsewhere = msgspec.structs.replace(described.manifest.plan, isa="x86-64-avx1024")
    moved = msgspec.structs.replace(described.manifest, plan=elsewhere)
    portable = republished(moved, native.reader.objects)
    portable.reader.reads.clear()
    answers(portable, "x", array, expected)
    assert portable.reader.reads[2:] == [of_role["graph"], of_role["weights"]]
    ledger = load_model(portable.settings, portable.reader).ledger
    assert any("x86-64-avx1024" in note for note in ledger.notes)


def test_owner_can_keep_the_graph_as_given(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", plan={"weight_form": "source"})
    described = describe(folder)
    assert described.manifest.plan.weight_form == "source"
    assert (
        described.manifest.file("graph").sha256
        == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    )


def test_form_that_answers_otherwise_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = forms._made

    def nudged(*arguments: object) -> object:
        portable, native = real(*arguments)  # type: ignore[arg-type]
        return replace(portable, graph=affine(2.02).SerializeToString()), native

    monkeypatch.setattr(forms, "_made", nudged)
    file = write_onnx(tmp_path / "m.onnx", affine(2.0))
    described = describe(file)
    assert described.manifest.plan.weight_form == "source"
    assert "answers otherwise" in described.warnings[0]


def test_publishing_measures_once_and_the_plan_reads_it(tmp_path: Path) -> None:
    file = str(write_onnx(tmp_path / "m.onnx", perceptron(8)))
    where = ["--registry", str(tmp_path / "r")]
    assert CliRunner().invoke(publish, [file, *where], catch_exceptions=False).exit_code == 0
    store, version = FilesystemStore(tmp_path / "r"), describe(Path(file)).version
    before = store.get(measurements_key("m", version), max_bytes=10**6).body
    assert CliRunner().invoke(publish, [file, *where], catch_exceptions=False).exit_code == 0
    assert store.get(measurements_key("m", version), max_bytes=10**6).body == before
    taken = read_measurements(store, "m", version)
    assert taken is not None
    assert [(form.form, form.served) for form in taken.forms] == [("source", False), ("inline", True)]
    assert all(form.peak_mb > 20 and form.steady_ms > 0 for form in taken.forms)
    told = CliRunner().invoke(plan, ["m", *where, "--traffic", "5"], catch_exceptions=False)
    assert (told.exit_code, "Measured on the publishing machine" in told.stdout) == (0, True)
    blind = CliRunner().invoke(plan, ["m", *where, "--no-measure"], catch_exceptions=False)
    assert "Not measured" in blind.stdout
