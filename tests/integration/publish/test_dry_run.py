"""`hotplate publish --dry-run` of what is ONNX already: the plan is printed, nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.dry_runs import assert_dry_run_plans_and_writes_nothing
from tests.support.sources import ONNX_SOURCES, SourceKind, write_onnx_sources
from tests.support.tiny_models import write_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def onnx_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_onnx_sources(tmp_path_factory.mktemp("onnx"))


@pytest.mark.parametrize("source", ONNX_SOURCES, ids=lambda source: source.name)
def test_dry_run_plans_and_writes_nothing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, source: SourceKind, tmp_path: Path
) -> None:
    assert_dry_run_plans_and_writes_nothing(
        source.arguments(request), source.name, tmp_path / "registry", monkeypatch
    )


def test_dry_run_of_a_source_folder_plans_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "folder", name="in-yaml")
    assert_dry_run_plans_and_writes_nothing([str(folder)], "in-yaml", tmp_path / "registry", monkeypatch)
