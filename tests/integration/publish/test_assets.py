"""Assets travel with a version; a folder of a converted model is believed only with its own record."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.convert.folder import convert_into
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.build import load_transforms
from hotplate_tools.publish.pipeline import describe
from hotplate_tools.training.stored import model_folder
from tests.support.published import affine_graph

CONSOLE = Console(as_json=True)


@pytest.fixture
def diabetes(tmp_path: Path) -> Path:
    """A copy of the source folder."""
    folder = tmp_path / "diabetes"
    shutil.copytree(model_folder("diabetes"), folder)
    return folder


def test_assets_and_parity_are_part_of_the_version(diabetes: Path) -> None:
    described = describe(diabetes)
    asset = described.manifest.file("asset")
    assert (asset.path, asset.size) == ("scaler.json", (diabetes / "scaler.json").stat().st_size)
    assert described.manifest.parity is not None
    (diabetes / "scaler.json").write_text((diabetes / "scaler.json").read_text() + "\n")
    assert describe(diabetes).version != described.version


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            ("assets: [scaler.json]", "assets: []"),
            r"assets of diabetes \(none\) are not what .* KeyError",
        ),
        (("assets: [scaler.json]", "assets: [card.md]"), r"\(card\.md\) are not what"),
        (("assets: [scaler.json]", "assets: [../x]"), r"asset '\.\./x' lies outside of diabetes"),
        (("assets: [scaler.json]", "assets: [absent]"), "asset 'absent' is not in diabetes"),
    ],
)
def test_assets_that_do_not_fit_are_refused(diabetes: Path, change: tuple[str, str], what: str) -> None:
    text = (diabetes / "model.yaml").read_text()
    assert change[0] in text
    (diabetes / "model.yaml").write_text(text.replace(*change))
    with pytest.raises(RefusedError, match=what):
        describe(diabetes)


def test_scaler_that_changes_answers_is_found_by_the_golden_rows(diabetes: Path) -> None:
    text = (diabetes / "scaler.json").read_text()
    mean = text.partition('"mean": [')[2].split(",")[0].strip()
    (diabetes / "scaler.json").write_text(text.replace(mean, "50.0", 1))
    with pytest.raises(RefusedError, match="golden row 1, output 'progression'"):
        describe(diabetes)


def test_graph_that_is_not_the_records_is_refused(diabetes: Path) -> None:
    model = onnx.load(diabetes / "model.onnx")
    model.doc_string = "the same answers, other bytes"
    onnx.save(model, diabetes / "model.onnx")
    with pytest.raises(RefusedError, match=r"parity\.json is the record of another graph: model\.onnx"):
        describe(diabetes)


@pytest.mark.parametrize("name", ["digits", "no-such-model"])
def test_assets_that_nothing_takes_are_refused(name: str) -> None:
    with pytest.raises(RefusedError, match=rf"{name} has assets \(x\), but its function takes none"):
        load_transforms(name, {"x": b""})


def test_onnx_file_becomes_a_folder_of_the_same_graph(tmp_path: Path) -> None:
    (tmp_path / "affine.onnx").write_bytes(affine_graph())
    source, out = tmp_path / "affine.onnx", tmp_path / "out"
    done = convert_into(source, out, name=None, options=ConvertOptions(), dry_run=False, console=CONSOLE)
    assert sorted(done.files) == sorted(file.name for file in out.iterdir())
    assert "parity.json" not in done.files
    direct, again = describe(source).manifest, describe(out).manifest
    assert (again.name, again.golden, again.inputs) == (direct.name, direct.golden, direct.inputs)
    assert again.file("graph").sha256 == direct.file("graph").sha256


def test_folder_that_is_there_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "affine.onnx").write_bytes(affine_graph())
    (tmp_path / "out").mkdir()
    with pytest.raises(RefusedError, match="out is there already"):
        convert_into(
            tmp_path / "affine.onnx",
            tmp_path / "out",
            name=None,
            options=ConvertOptions(),
            dry_run=False,
            console=CONSOLE,
        )


def test_dry_run_of_convert_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "affine.onnx").write_bytes(affine_graph())
    source, out = tmp_path / "affine.onnx", tmp_path / "out"
    done = convert_into(source, out, name=None, options=ConvertOptions(), dry_run=True, console=CONSOLE)
    assert done.files
    assert not out.exists()
