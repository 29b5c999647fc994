"""What a trainer made becomes a source folder: published as it is, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hotplate.manifest.schema import OutputParity, Parity
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.graph import inspect_graph
from hotplate_tools.publish.model_yaml import read_spec
from hotplate_tools.publish.pipeline import describe
from hotplate_tools.training import result, stored
from hotplate_tools.training.packages import Package
from tests.support.published import affine_graph

SPEC = """\
# Kept as it is written.
name: tiny
inputs: [{name: x, datatype: FP32, shape: [-1, 3]}]
outputs: [{name: y, datatype: FP32, shape: [-1, 3]}]
artefact: model.onnx
golden: {file: golden.jsonl}
training: {environment: train-keras, bars: {accuracy: 0.5}, keep: tiny.bin}
provenance: {seed: 1}
"""
PARITY = Parity(framework="frame 1", rows=2, tolerance=1e-4, outputs={"y": OutputParity(0.0, 0.0)})
ROW = {"inputs": {"x": [[1.0, 2.0, 3.0]]}, "outputs": {"y": [[2.0, 4.0, 6.0]]}}
PROVENANCE = {
    "command": "hotplate train tiny",
    "seed": 1,
    "framework": "frame 1",
    "metrics": {"accuracy": 0.75},
}


@dataclass
class Tiny:
    """What `provenance_of` looks at."""

    DATA: tuple[Package, ...] = (Package("npm", "a", "1.0.0", "0" * 64),)
    SEED: int = 1
    NOTE: str = "two rows"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source folder of `tiny`, as its owner wrote it."""
    monkeypatch.setattr(stored, "MODELS", tmp_path / "models")
    monkeypatch.setenv("HOTPLATE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(SPEC)
    (folder / "train.py").write_text("SEED = 1\n")
    return folder


def made(home: Path, tmp_path: Path, row: dict[str, Any] = ROW) -> dict[str, bytes]:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "tiny.frame").write_bytes(b"the framework's")
    (folder / "rows.npz").write_bytes(b"rows")
    (folder / "picture.png").write_bytes(b"a picture")
    (tmp_path / "converted.onnx").write_bytes(affine_graph())
    graph = inspect_graph(tmp_path / "converted.onnx")
    golden = json.dumps(row).encode() + b"\n"
    spec = read_spec(home / "model.yaml")
    return result.folder_files(result.Made(spec, folder, "tiny.frame", graph, PARITY, {}, golden), PROVENANCE)


def test_small_result_is_written_beside_what_its_owner_wrote(home: Path, tmp_path: Path) -> None:
    written = result.write(read_spec(home / "model.yaml"), made(home, tmp_path), dry_run=False)
    assert written.folder == home
    assert sorted(file.name for file in home.iterdir()) == [
        "golden.jsonl",
        "model.onnx",
        "model.yaml",
        "parity.json",
        "picture.png",
        "tiny.bin",
        "train.py",
    ]
    assert (home / "tiny.bin").read_bytes() == b"the framework's"
    assert (home / "model.yaml").read_text().startswith(SPEC.partition("provenance:")[0])
    described = describe(home, "tiny")
    assert (described.version, described.manifest_sha256) == (written.version, written.manifest_sha256)
    assert described.manifest.parity == PARITY
    assert described.manifest.provenance.metrics == {"accuracy": 0.75}


def test_writing_again_changes_nothing(home: Path, tmp_path: Path) -> None:
    files = made(home, tmp_path)
    first = result.write(read_spec(home / "model.yaml"), files, dry_run=False)
    text = (home / "model.yaml").read_bytes()
    assert result.write(read_spec(home / "model.yaml"), files, dry_run=False) == first
    assert (home / "model.yaml").read_bytes() == text


def test_dry_run_writes_nothing(home: Path, tmp_path: Path) -> None:
    result.write(read_spec(home / "model.yaml"), made(home, tmp_path), dry_run=True)
    assert sorted(file.name for file in home.iterdir()) == ["model.yaml", "train.py"]


def test_result_that_could_not_be_published_is_refused_and_not_written(home: Path, tmp_path: Path) -> None:
    wrong = {**ROW, "outputs": {"y": [[2.0, 4.0, 7.0]]}}
    with pytest.raises(RefusedError, match="golden row 1, output 'y'"):
        result.write(read_spec(home / "model.yaml"), made(home, tmp_path, wrong), dry_run=False)
    assert sorted(file.name for file in home.iterdir()) == ["model.yaml", "train.py"]


def test_large_result_goes_into_the_cache_and_is_found_there(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "MAX_COMMITTED_BYTES", 100)
    files = made(home, tmp_path)
    assert not stored.is_built("tiny")
    written = result.write(read_spec(home / "model.yaml"), files, dry_run=False)
    assert sorted(file.name for file in home.iterdir()) == ["model.yaml", "train.py"]
    assert stored.model_folder("tiny") == written.folder
    assert describe(stored.model_folder("tiny"), "tiny").version == written.version
    assert [folder.name for folder in written.folder.parent.iterdir()] == [written.folder.name]


def test_result_that_outgrew_its_folder_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "MAX_COMMITTED_BYTES", 100)
    (home / "model.onnx").write_bytes(b"an older one")
    with pytest.raises(RefusedError, match="tiny has grown to"):
        result.write(read_spec(home / "model.yaml"), made(home, tmp_path), dry_run=False)


def test_provenance_says_how_to_make_it_again() -> None:
    trainer: Any = Tiny()
    assert result.provenance_of(trainer, "tiny", PARITY, {"accuracy": 0.75}) == {
        "command": "hotplate train tiny",
        "data": "npm a@1.0.0: two rows",
        "data_sha256": "0" * 64,
        "seed": 1,
        "framework": "frame 1",
        "metrics": {"accuracy": 0.75},
    }
