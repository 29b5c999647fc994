"""Variants on their way from a float graph through the gate and a registry into a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from hotplate.manifest.layout import blob_key
from hotplate.manifest.schema import Golden, Variant, VariantKind
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor
from hotplate.runtime.loader import load_model
from hotplate.runtime.session import Session
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.environments import cache_root
from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.choice import VariantOptions
from hotplate_tools.planning.commands import plan
from hotplate_tools.planning.describe import operator_types, read_measurements
from hotplate_tools.publish.commands import publish
from hotplate_tools.publish.pipeline import Described, describe
from tests.support.published import republished
from tests.support.tiny_models import affine, write_folder, write_onnx
from tests.support.trained_models import Trained, pictures, sequences

SABOTAGED = Path(__file__).parents[2] / "support/programs/sabotaged_quantiser.py"
DIGITS = Path(__file__).parents[3] / "scripts/hotplate_tools/models/digits"
# Of 256 rows a quarter gives the ranges, the rest is measured.
MEASURED = 192


@pytest.fixture(scope="module")
def fresh_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache in which variants are made anew, once, by the environments that are there already."""
    environments = cache_root() / "envs"
    environments.mkdir(parents=True, exist_ok=True)
    folder = tmp_path_factory.mktemp("cache")
    (folder / "envs").symlink_to(environments)
    return folder


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTPLATE_CACHE", str(fresh_cache))


@dataclass
class Case:
    """A trained model in a file, and its rows."""

    trained: Trained
    file: Path
    rows: Path

    def described(self, *kinds: VariantKind, budget: float = 0.05, program: Path | None = None) -> Described:
        return describe(
            self.file,
            options=ConvertOptions(rows=self.rows),
            variants=VariantOptions(kinds, budget, program),
        )


@pytest.fixture
def case(tmp_path: Path) -> Callable[..., Case]:
    def make(model: Callable[[], Trained], *, labelled: bool = True) -> Case:
        trained = model()
        file = write_onnx(tmp_path / "m.onnx", trained.model)
        return Case(trained, file, trained.write_rows(tmp_path / "rows.npz", labelled=labelled))

    return make


def served_answers(described: Described, array: np.ndarray) -> np.ndarray:
    """Return what a function answers, by the loader and the protocol."""
    blobs = {
        blob_key(file.entry.sha256): file.body if isinstance(file.body, bytes) else file.body.read_bytes()
        for file in described.files
    }
    version = republished(described.manifest, blobs)
    request = InferenceRequest("", (Tensor("x", "FP32", array),), (RequestOutput("y", binary=True),))
    answered: np.ndarray = load_model(version.settings, version.reader).predict(request).outputs[0].array
    return answered


def taken(described: Described) -> Variant:
    assert described.manifest.variant is not None, described.warnings
    return described.manifest.variant


def measured_rows(trained: Trained) -> np.ndarray:
    """Return which rows are measured: those drawn last, with seed 0."""
    order = np.random.default_rng(0).permutation(len(trained.rows))
    return np.sort(order[len(trained.rows) - MEASURED :])


@pytest.mark.parametrize(
    ("model", "kind", "operators"),
    [
        (pictures, "int8", {"QLinearConv"}),
        (sequences, "int8", {"DynamicQuantizeMatMul"}),
        (sequences, "int4", {"MatMulNBits"}),
        (pictures, "fp16", {"Conv", "Cast"}),
    ],
)
def test_variant_within_the_budget_is_what_is_served(
    case: Callable[..., Case], model: Callable[[], Trained], kind: VariantKind, operators: set[str]
) -> None:
    made = case(model)
    described = made.described(kind, budget=0.2)
    record, graph = taken(described), described.manifest.file("graph")
    body = next(file.body for file in described.files if file.entry is graph or file.entry == graph)
    assert isinstance(body, bytes)
    assert operators <= operator_types(body)
    assert record.bytes == len(body) < record.float_bytes
    assert (record.kind, record.metric, record.reference, record.output) == (
        kind,
        "accuracy",
        "expected",
        "y",
    )
    # The figures are those of the answers that a function gives. Sixteen rows a call: where activations
    # are quantised when they come, their range is that of the call.
    assert record.rows == MEASURED
    rows = measured_rows(made.trained)
    calls = [made.trained.rows[part] for part in np.split(rows, MEASURED // 16)]
    answers = np.concatenate([served_answers(described, call) for call in calls])
    classes, scores = made.trained.classes[rows], made.trained.scores()[rows]
    assert record.quality == pytest.approx((answers.argmax(axis=1) == classes).mean(), abs=1e-6)
    assert record.float_quality == pytest.approx((scores.argmax(axis=1) == classes).mean(), abs=1e-6)
    assert record.loss == pytest.approx(record.float_quality - record.quality, abs=1e-6)
    assert 0 < np.abs(answers - scores).max() < 0.2 * np.abs(scores).max()
    assert described.manifest.plan.prepacking != "off"


def test_same_rows_give_the_same_version(case: Callable[..., Case]) -> None:
    made = case(pictures)
    first = made.described("int8", "fp16", "int4")
    made.rows.rename(made.rows.with_name("moved.npz"))
    made.rows = made.rows.with_name("moved.npz")
    assert made.described("int8", "fp16", "int4").manifest_sha256 == first.manifest_sha256
    for kept in (cache_root() / "variants").iterdir():
        kept.rename(kept.with_name(f"old-{kept.name}"))
    again = made.described("int8", "fp16", "int4")
    assert again.manifest_sha256 == first.manifest_sha256


@pytest.mark.parametrize("model", [pictures, sequences])
def test_smallest_that_passes_is_taken(case: Callable[..., Case], model: Callable[[], Trained]) -> None:
    record = taken(case(model).described("int8", "fp16", "int4", budget=0.3))
    sizes = {kind: one.bytes for kind, one in record.considered.items() if one.bytes is not None}
    assert set(sizes) == {"int8", "fp16", "int4"}
    assert sizes[record.kind] == min(sizes.values()) == record.bytes
    verdicts = {kind: one.verdict for kind, one in record.considered.items()}
    assert verdicts.pop(record.kind) == "taken"
    assert all(record.kind in verdict or "not smaller" in verdict for verdict in verdicts.values())


def test_variant_over_the_budget_leaves_the_float_form(case: Callable[..., Case]) -> None:
    made = case(sequences, labelled=False)
    loss = taken(made.described("int4", budget=0.3)).loss
    assert loss > 0, "the case is too easy to show a loss"
    assert taken(made.described("int4", budget=loss)).loss == loss
    kept = made.described("int4", budget=loss - 1e-4)
    assert kept.manifest == describe(made.file).manifest
    assert any(f"int4: dropped: loses {loss:.6g} of agreement" in note for note in kept.warnings)


@pytest.mark.parametrize("model", [pictures, sequences])
def test_sabotaged_variant_is_dropped(case: Callable[..., Case], model: Callable[[], Trained]) -> None:
    made = case(model)
    kind: VariantKind = "int8" if model is pictures else "int4"
    assert taken(made.described(kind, budget=0.05)).kind == kind
    described = made.described(kind, budget=0.05, program=SABOTAGED)
    assert described.manifest.variant is None
    assert any("dropped: loses" in note for note in described.warnings)


def test_without_expected_answers_the_float_form_is_the_reference(case: Callable[..., Case]) -> None:
    made = case(pictures, labelled=False)
    record = taken(made.described("int8"))
    assert (record.metric, record.reference, record.float_quality) == ("agreement", "float", 1.0)
    assert 0.95 <= record.quality <= 1.0


def test_made_up_rows_are_no_evidence(case: Callable[..., Case]) -> None:
    with pytest.raises(RefusedError, match="no rows of yours"):
        describe(case(pictures).file, variants=VariantOptions(("int8",)))


def test_graph_with_nothing_to_quantise_stays_float(tmp_path: Path) -> None:
    rows = tmp_path / "rows.npz"
    np.savez(rows, x=np.ones((4, 3), np.float32))
    described = describe(
        write_onnx(tmp_path / "m.onnx", affine()),
        options=ConvertOptions(rows=rows),
        variants=VariantOptions(("int8", "fp16", "int4")),
    )
    assert described.manifest.variant is None
    told = " ".join(described.warnings)
    assert "no matrix product with constant weights" in told
    assert "no large float32 weights" in told


def test_quantised_graph_is_not_quantised_again(case: Callable[..., Case]) -> None:
    made = case(pictures)
    body = next(file.body for file in made.described("int8").files if file.entry.role == "graph")
    assert isinstance(body, bytes)
    made.file.write_bytes(body)
    assert any("quantised already" in note for note in made.described("int4").warnings)


def test_golden_rows_keep_their_answers_and_bounds_fit_the_variant(tmp_path: Path) -> None:
    float_form = describe(DIGITS)
    described = describe(DIGITS, variants=VariantOptions(("int8",)))
    record = taken(described)
    assert (record.metric, record.rows, record.loss) == ("accuracy", 10, 0.0)
    assert record.bytes < 0.3 * record.float_bytes
    golden = [file.entry.sha256 for file in described.files if file.entry.role == "golden"]
    assert golden == [file.entry.sha256 for file in float_form.files if file.entry.role == "golden"]
    bounds, before = described.manifest.golden, float_form.manifest.golden
    assert isinstance(bounds, Golden)
    assert isinstance(before, Golden)
    assert (bounds.rtol, before.atol < bounds.atol < 0.05) == (before.rtol, True)
    assert any("measured on 10 rows of golden.jsonl" in note for note in described.warnings)


def test_wrong_golden_rows_are_refused_though_a_variant_has_wide_bounds(tmp_path: Path) -> None:
    wrong = ({"inputs": {"x": [[1.0, 2.0, 3.0]]}, "outputs": {"y": [[2.0, 4.0, 6.5]]}},)
    with pytest.raises(RefusedError, match="golden row 1"):
        describe(write_folder(tmp_path / "a", rows=wrong), variants=VariantOptions(("fp16",), 1.0))


def test_large_half_size_weights_are_borrowed_and_made_whole_by_the_session(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    trained = sequences()
    model = onnx.load_model_from_string(trained.model.SerializeToString())
    extra = generator.standard_normal((32, 100_000), np.float32)
    model.graph.node[-1].output[0] = "y0"
    model.graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(extra / np.float32(100_000) ** 0.5, "up"),
            onnx.numpy_helper.from_array(extra.T / np.float32(100_000) ** 0.5, "down"),
        ]
    )
    model.graph.node.extend(
        [
            onnx.helper.make_node("MatMul", ["y0", "up"], ["y1"]),
            onnx.helper.make_node("MatMul", ["y1", "down"], ["y"]),
        ]
    )
    rows = trained.write_rows(tmp_path / "rows.npz", labelled=False)
    described = describe(
        write_onnx(tmp_path / "m.onnx", model),
        options=ConvertOptions(rows=rows),
        variants=VariantOptions(("fp16",)),
    )
    record = taken(described)
    assert [entry.role for entry in described.manifest.files] == ["card", "golden", "graph", "weights"]
    assert record.bytes < 0.51 * record.float_bytes
    array = trained.rows[:8]
    expected = Session(model.SerializeToString(), weights={}, threads=1).run({"x": array}, ["y"])["y"]
    np.testing.assert_allclose(served_answers(described, array), expected, rtol=1e-2, atol=1e-2)


def test_owner_that_forbids_packing_gets_no_int4(tmp_path: Path) -> None:
    trained = sequences()
    row = {"inputs": {"x": trained.rows[:1].tolist()}, "outputs": {"y": trained.scores()[:1].tolist()}}
    folder = write_folder(
        tmp_path / "a",
        model=trained.model,
        rows=[row],
        inputs=[{"name": "x", "datatype": "FP32", "shape": [-1, -1, 64]}],
        outputs=[{"name": "y", "datatype": "FP32", "shape": [-1, 32]}],
        labels=None,
        plan={"prepacking": "off"},
    )
    described = describe(folder, variants=VariantOptions(("int4",), 1.0))
    assert any("forty times slower" in note for note in described.warnings)


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(publish, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_command_prints_what_was_considered_and_measures_it(
    case: Callable[..., Case], tmp_path: Path
) -> None:
    made = case(pictures)
    where: list[str | Path] = ["--registry", tmp_path / "r", "--rows", made.rows, "--variant", "all"]
    dry = run(made.file, *where, "--dry-run").stdout
    assert "would be taken" in dry
    assert not (tmp_path / "r").exists()
    told = json.loads(run(made.file, *where, "--json").stdout)
    store = FilesystemStore(tmp_path / "r")
    record = told["variants"]["record"]
    assert (told["variants"]["taken"], record["kind"]) == ("int8", "int8")
    assert f"{record['bytes']:,} bytes  quality {record['quality']:.4f}, loss {record['loss']:.4f}" in dry
    measured = read_measurements(store, "m", told["version"])
    assert measured is not None
    assert [form.form for form in measured.forms] == [
        "source",
        "int8-inline",
        "inline",
        *(f"{kind}-{'source' if kind == 'fp16' else 'inline'}" for kind in _by_size(told)),
    ]
    assert [form.form for form in measured.forms if form.served] == ["int8-inline"]
    assert all(form.difference > 0 for form in measured.forms if form.form[:3] in ("int", "fp1"))
    shown = CliRunner().invoke(plan, ["m", "--registry", str(tmp_path / "r")], catch_exceptions=False).stdout
    assert "int8 instead of the float form's" in shown
    assert "*int8-inline" in shown


def _by_size(told: dict[str, dict[str, dict[str, dict[str, int]]]]) -> list[str]:
    return [kind for kind in ("fp16", "int4") if kind in told["variants"]["considered"]]


def test_a_budget_without_a_variant_is_a_mistake(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "m.onnx", affine())
    arguments = [str(file), "--registry", str(tmp_path / "r"), "--max-quality-loss", "0.1"]
    assert CliRunner().invoke(publish, arguments).exit_code == 2


def test_manifest_without_a_variant_says_nothing_of_it(tmp_path: Path) -> None:
    described = describe(write_onnx(tmp_path / "m.onnx", affine()))
    assert b"variant" not in msgspec.json.encode(described.manifest)
    assert describe(DIGITS).version == "6d6cafa8b649"
