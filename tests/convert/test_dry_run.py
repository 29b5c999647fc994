"""`hotplate publish --dry-run` of every kind that is converted: the plan is printed, nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.dry_runs import assert_dry_run_plans_and_writes_nothing
from tests.support.sources import FRAMEWORK_SOURCES, SourceKind

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("source", FRAMEWORK_SOURCES, ids=lambda source: source.name)
def test_dry_run_plans_and_writes_nothing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, source: SourceKind, tmp_path: Path
) -> None:
    assert_dry_run_plans_and_writes_nothing(
        source.arguments(request), source.name, tmp_path / "registry", monkeypatch
    )
