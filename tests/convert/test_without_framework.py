"""A converted model becomes a folder that publishes as the framework's file does; a trainer's is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from hotplate_tools.cli import cli
from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.convert.folder import convert_into
from hotplate_tools.publish.pipeline import describe
from hotplate_tools.training.driver import train
from hotplate_tools.training.stored import model_folder

CONSOLE = Console(as_json=True)


def test_folder_of_a_bare_model_carries_the_same_parity_and_golden_rows(
    sklearn_models: Path, tmp_path: Path
) -> None:
    source, folder = sklearn_models / "line.skops", tmp_path / "out"
    convert_into(source, folder, name="line", options=ConvertOptions(), dry_run=False, console=CONSOLE)
    direct, again = describe(source, "line").manifest, describe(folder).manifest
    assert direct.parity is not None
    assert again.parity == direct.parity
    assert again.golden == direct.golden
    assert (again.name, again.inputs, again.outputs) == ("line", direct.inputs, direct.outputs)
    assert again.file("graph").sha256 == direct.file("graph").sha256
    assert again.file("golden").sha256 == direct.file("golden").sha256


def test_keras_file_that_its_trainer_kept_is_deployed_by_the_converter(tmp_path: Path) -> None:
    """From the `.h5`, between the function's own steps, to the very graph that is committed."""
    committed = model_folder("diabetes")
    folder = tmp_path / "diabetes"
    shutil.copytree(committed, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "*.onnx"))
    document = yaml.safe_load((folder / "model.yaml").read_text())
    del document["parity"]
    (folder / "model.yaml").write_text(yaml.safe_dump({**document, "artefact": "diabetes.h5"}))
    from_h5, from_graph = describe(folder).manifest, describe(committed).manifest
    assert from_h5.parity is not None
    assert from_h5.parity.framework.startswith("keras ")
    assert from_h5.file("graph").sha256 == from_graph.file("graph").sha256
    assert from_h5.golden == from_graph.golden


def test_source_folder_converts_to_the_version_that_it_is_itself(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(
        model_folder("diabetes"), folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "*.onnx")
    )
    document = yaml.safe_load((folder / "model.yaml").read_text())
    del document["parity"]
    (folder / "model.yaml").write_text(yaml.safe_dump({**document, "artefact": "diabetes.h5"}))
    out = tmp_path / "out"
    cli.main(["convert", str(folder), "--out", str(out), "--json"], standalone_mode=False)
    assert sorted(file.name for file in out.iterdir()) == [
        "card.md",
        "golden.jsonl",
        "model.onnx",
        "model.yaml",
        "parity.json",
        "scaler.json",
    ]
    assert describe(out).manifest_sha256 == describe(folder).manifest_sha256


def test_trainer_reaches_its_bar_again_and_a_dry_run_changes_no_file() -> None:
    folder = model_folder("diabetes")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    trained = train("diabetes", dry_run=True, console=CONSOLE)
    assert all(trained.metrics[name] >= bar for name, bar in trained.bars.items())
    assert list(trained.seconds) == ["prepare", "build", "train", "export"]
    assert trained.written.folder == folder
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert {file for file in before if after.get(file) != before[file]} == set()
