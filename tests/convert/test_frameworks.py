"""Each framework's model is published, loaded as a function loads it, and answers as the framework did."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hotplate.manifest.schema import Manifest, decode
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor
from hotplate.runtime.loader import load_model
from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.convert.kinds import KINDS, Converter
from hotplate_tools.convert.process import Runner
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.pipeline import Published, publish_model
from tests.support.memory_store import MemoryStore
from tests.support.published import republished
from tests.support.sources import asked_and_expected

PROGRAMS = Path(__file__).parent / "programs"
SKLEARN = "sklearn_models"
KERAS = "keras_models"
TORCH = "torch_models"
BOOSTED = "boosted_models"


def publish(
    path: Path, options: ConvertOptions | None = None, store: MemoryStore | None = None, **more: Any
) -> tuple[MemoryStore, Published]:
    store, options = store or MemoryStore(), replace(options or ConvertOptions(), cached=False)
    return store, publish_model(
        path, name="tiny", store=store, options=options, console=Console(as_json=True), **more
    )


def manifest_of(store: MemoryStore, published: Published) -> Manifest:
    return decode(store.objects[published.actions.manifest.key])


def answers(manifest: Manifest, store: MemoryStore, feeds: dict[str, Any]) -> dict[str, Any]:
    version = republished(manifest, store.objects)
    model = load_model(version.settings, version.reader)
    declared = {spec.name: spec.datatype for spec in manifest.inputs}
    tensors = tuple(Tensor(name, declared[name], array) for name, array in feeds.items())
    wanted = tuple(RequestOutput(spec.name, binary=True) for spec in manifest.outputs)
    response = model.predict(InferenceRequest("1", tensors, wanted))
    return {tensor.name: tensor.array for tensor in response.outputs}


@pytest.mark.parametrize(
    ("models", "source", "facts", "framework"),
    [
        (SKLEARN, "scaled.skops", "scaled", "scikit-learn"),
        (SKLEARN, "forest.skops", "forest", "scikit-learn"),
        (SKLEARN, "line.skops", "line", "scikit-learn"),
        (SKLEARN, "words.skops", "words", "scikit-learn"),
        (KERAS, "picture.keras", "picture", "keras"),
        (KERAS, "picture.h5", "picture", "keras"),
        (KERAS, "saved", "picture", "keras"),
        (KERAS, "tags.keras", "tags", "keras"),
        (KERAS, "two.keras", "two", "keras"),
        (TORCH, "pool.pt2", "pool", "torch"),
        (TORCH, "make_torch:pool", "pool", "torch"),
        (TORCH, "make_torch:dense", "dense", "torch"),
        (BOOSTED, "light-two.txt", "light-two", "lightgbm"),
        (BOOSTED, "extreme-three.ubj", "extreme-three", "xgboost"),
        (BOOSTED, "extreme-text.json", "extreme-text", "xgboost"),
        (TORCH, "make_torch:recurrent", "recurrent", "torch"),
    ],
)
def test_published_model_answers_as_its_framework_did(
    request: pytest.FixtureRequest, models: str, source: str, facts: str, framework: str
) -> None:
    folder: Path = request.getfixturevalue(models)
    path = Path(source) if ":" in source else folder / source
    rows = folder / f"{facts}-rows.npz"
    options = ConvertOptions(rows=rows if rows.exists() else None, source_path=PROGRAMS)
    store, published = publish(path, options)
    manifest = manifest_of(store, published)
    feeds, expected = asked_and_expected(folder / f"{facts}.npz")
    got = answers(manifest, store, feeds)
    for name, array in expected.items():
        found = got[name or manifest.outputs[0].name]
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found, array, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(found, array)
    parity, golden = manifest.parity, manifest.golden
    assert parity is not None
    assert golden is not None
    assert parity.framework.startswith(framework)
    assert set(parity.outputs) == {spec.name for spec in manifest.outputs}
    assert all(output.max_rel <= 1e-4 for output in parity.outputs.values())
    assert manifest.provenance.framework == parity.framework


@pytest.mark.parametrize(
    ("models", "source", "runner"),
    [
        (SKLEARN, "scaled.skops", "run_sklearn"),
        (KERAS, "picture.keras", "run_keras"),
        (TORCH, "make_torch:dense", "run_torch"),
        (BOOSTED, "light-line.txt", "run_boosted"),
        (BOOSTED, "extreme-line.ubj", "run_boosted"),
    ],
)
def test_converter_that_nudges_weights_by_one_per_cent_is_refused(
    request: pytest.FixtureRequest, models: str, source: str, runner: str
) -> None:
    folder: Path = request.getfixturevalue(models)
    path = Path(source) if ":" in source else folder / source
    store = MemoryStore()
    with pytest.raises(RefusedError, match=r"differs from .* by up to(.|\n)*, row \d+: ") as refused:
        publish(path, ConvertOptions(source_path=PROGRAMS, program=PROGRAMS / f"nudged_{runner}.py"), store)
    assert refused.value.exit_code == 3
    assert not store.objects


@pytest.mark.parametrize(
    ("models", "source", "what"),
    [
        (TORCH, "make_torch:frozen", "size baked in: at batch 1, length 12 PyTorch answers"),
        (TORCH, "fixed.pt2", "size baked in: axis 0 of input 'input' is always 2"),
        (KERAS, "fixed.keras", "size baked in: axis 0 of input 'x' is always 2"),
    ],
)
def test_export_with_a_size_baked_in_is_refused(
    request: pytest.FixtureRequest, models: str, source: str, what: str
) -> None:
    folder: Path = request.getfixturevalue(models)
    path = Path(source) if ":" in source else folder / source
    with pytest.raises(RefusedError, match=what):
        publish(path, ConvertOptions(source_path=PROGRAMS))


def test_publishing_again_changes_nothing(sklearn_models: Path) -> None:
    store, first = publish(sklearn_models / "scaled.skops")
    _, again = publish(sklearn_models / "scaled.skops", store=store)
    assert (again.wrote, again.manifest_sha256) == (False, first.manifest_sha256)


def test_tensorflow_gives_the_same_bytes_in_each_process(keras_models: Path, tmp_path: Path) -> None:
    converter = KINDS["keras"]
    assert isinstance(converter, Converter)
    found = set()
    for number in range(3):
        graph = tmp_path / f"{number}.onnx"
        with Runner(converter, tmp_path, Console(as_json=True)) as runner:
            runner.ask("convert", kind="keras", source=str(keras_models / "picture.keras"), output=str(graph))
        found.add(graph.read_bytes())
    assert len(found) == 1


def test_dry_run_of_a_converted_source_writes_nothing(sklearn_models: Path) -> None:
    store, published = publish(sklearn_models / "line.skops", dry_run=True)
    assert published.actions.pending
    assert not store.objects


def test_pickle_is_read_only_if_it_is_trusted(sklearn_models: Path) -> None:
    with pytest.raises(RefusedError, match="is a pickle"):
        publish(sklearn_models / "scaled.joblib")
    _, published = publish(sklearn_models / "scaled.joblib", ConvertOptions(trust_pickle=True))
    assert published.wrote


def test_skops_file_with_a_foreign_function_is_refused_by_its_name(sklearn_models: Path) -> None:
    with pytest.raises(RefusedError, match=r"not trusted: joblib\.hashing\.hash"):
        publish(sklearn_models / "foreign.skops")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("histogram-counts.skops", "loss 'poisson'"),
        ("histogram-kinds.joblib", "splits on categories"),
    ],
)
def test_histogram_that_the_converter_would_change_is_refused_by_its_name(
    sklearn_models: Path, name: str, what: str
) -> None:
    with pytest.raises(RefusedError, match=what) as refused:
        publish(sklearn_models / name, ConvertOptions(trust_pickle=name.endswith("joblib")))
    assert refused.value.advice


def test_factory_that_returns_no_module_is_refused(torch_models: Path) -> None:
    with pytest.raises(RefusedError, match="returned a NoneType"):
        publish(Path("make_torch:nothing"), ConvertOptions(source_path=PROGRAMS))


def test_source_folder_names_an_artefact_of_a_framework_and_its_rows(
    sklearn_models: Path, tmp_path: Path
) -> None:
    shutil.copy(sklearn_models / "line.skops", tmp_path)
    np.savez(tmp_path / "rows.npz", flowers=np.full((2, 3), 5, np.float32))
    spec = {
        "name": "tiny",
        "artefact": "line.skops",
        "inputs": [{"name": "flowers", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "variable", "datatype": "FP32", "shape": [-1, 1]}],
        "evaluation": "rows.npz",
        "tolerance": 1e-3,
    }
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(spec))
    parity = manifest_of(*publish(tmp_path)).parity
    assert parity is not None
    assert (parity.made_up, parity.tolerance, parity.cases) == (
        False,
        1e-3,
        ("2 rows", "batch 1", "batch 3", "batch 8"),
    )
