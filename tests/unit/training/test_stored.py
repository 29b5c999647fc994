"""Where a model's files are looked for, and that one to be built breaks nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hotplate_tools.console import Console
from hotplate_tools.failures import RefusedError
from hotplate_tools.local.deployed import ServedModel, deploy_parameters, described_models
from hotplate_tools.training import stored

SPEC = """\
name: big
inputs: [{name: x, datatype: FP32, shape: [-1]}]
outputs: [{name: y, datatype: FP32, shape: [-1]}]
artefact: model.onnx
training: {environment: train-keras, bars: {accuracy: 0.5}}
"""


@pytest.fixture
def big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source folder of a model `big` that is not built."""
    monkeypatch.setenv("HOTPLATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stored, "MODELS", tmp_path / "models")
    folder = tmp_path / "models" / "big"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(SPEC)
    (folder / "train.py").write_text("SEED = 1\n")
    return folder


def test_model_that_is_not_built_is_missing_and_says_how_to_build_it(big: Path) -> None:
    assert not stored.is_built("big")
    assert stored.missing_models() == ["big"]
    with pytest.raises(RefusedError, match="big is not built on this machine") as refused:
        stored.model_folder("big")
    assert "make models" in refused.value.advice


def test_model_in_the_cache_is_found_until_its_trainer_changes(big: Path) -> None:
    built = stored.built_folder("big")
    built.mkdir(parents=True)
    assert not stored.is_built("big"), "a folder without model.yaml is none"
    (built / "model.yaml").write_text(SPEC)
    assert stored.model_folder("big") == built
    (big / "train.py").write_text("SEED = 2\n")
    assert not stored.is_built("big")


def test_graph_beside_its_model_yaml_is_taken_first(big: Path) -> None:
    (big / "model.onnx").write_bytes(b"")
    assert stored.model_folder("big") == big
    assert stored.missing_models() == []


def test_model_that_is_not_built_is_left_out_in_one_line(
    big: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.warn_of_missing(["big", "no-such"], Console(as_json=True))
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line) == {"warning": "left out, because not built on this machine: big (`make models`)"}


def test_deployment_keeps_the_templates_pins_of_a_model_that_is_not_built(big: Path) -> None:
    served = ServedModel("BigFunction", "big", "BigModelVersion", "BigManifestSha256", None)
    assert set(deploy_parameters([served], described_models([served]), None, public_key=None)) == {
        "Architecture",
        "Fallbacks",
    }


def test_name_that_no_model_has_is_refused() -> None:
    assert not stored.is_built("no-such")
    with pytest.raises(RefusedError, match="no model 'no-such' comes with this project"):
        stored.model_folder("no-such")


def test_every_module_of_the_function_but_its_edge_decides_what_is_built(
    big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "project_root", lambda: tmp_path)
    function = tmp_path / "functions" / "big"
    function.mkdir(parents=True)
    before = stored.built_folder("big")
    (function / "app.py").write_text("lambda_handler = None\n")
    assert stored.built_folder("big") == before
    (function / "words.py").write_text("WORDS = 1\n")
    assert stored.built_folder("big") != before
