"""The steps that run in a framework's environment: which there have to be, and in which order."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hotplate_tools.training import child

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def trainer(steps: list[str], **more: Any) -> SimpleNamespace:
    def prepare(packages: list[Path]) -> tuple[str, dict[str, Any]]:
        steps.append("prepare")
        return "training", {}

    def build(training: str) -> str:
        steps.append("build")
        return "network"

    def export(network: str, training: str, held_out: dict[str, Any], folder: Path) -> str:
        steps.append("export")
        return "model.onnx"

    return SimpleNamespace(SEED=0, prepare=prepare, build=build, export=export, **more)


def report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, made: SimpleNamespace
) -> tuple[dict[str, Any], list[str]]:
    """Return what the child reports, and the steps that it says are done."""
    monkeypatch.setattr(child, "load_trainer", lambda module: made)
    child.main("any", str(folder))
    told = capsys.readouterr().out.split("\n")[:-1]  # the mark is a line break to splitlines
    return json.loads((folder / child.REPORT).read_text()), [json.loads(line[1:])["step"] for line in told]


def test_model_that_somebody_else_trained_needs_no_step_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[str] = []
    found, told = report(monkeypatch, capsys, tmp_path, trainer(steps))
    assert found == {"artefact": "model.onnx", "metrics": {}}
    assert steps == told == ["prepare", "build", "export"]


def test_publishers_program_is_compared_with_what_was_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[str] = []

    def train(network: str, training: str) -> None:
        steps.append(f"train {network} on {training}")

    def compare(network: str, held_out: dict[str, Any], folder: Path) -> dict[str, float]:
        steps.append(f"compare {network}")
        assert folder == tmp_path
        return {"equal": 1.0}

    found, told = report(monkeypatch, capsys, tmp_path, trainer(steps, train=train, compare=compare))
    assert found["metrics"] == {"equal": 1.0}
    assert steps == ["prepare", "build", "train network on training", "export", "compare network"]
    assert told == ["prepare", "build", "train", "export", "compare"]
