"""The documents cannot drift: what exists is in them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from hotplate import errors, limits
from hotplate_tools.cli import cli

ROOT = Path(__file__).parents[2]
DOCS = "\n".join(page.read_text() for page in sorted((ROOT / "docs").rglob("*.md")))


@pytest.mark.parametrize("name", [name for name, _ in inspect.getmembers(errors, inspect.isclass)])
def test_error_class_is_documented(name: str) -> None:
    assert name in DOCS or name == "annotations"


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_command_is_documented(name: str) -> None:
    assert f"`hotplate {name}" in DOCS


@pytest.mark.parametrize("source", ["layers/serving/python/hotplate/settings.py"])
def test_setting_is_documented(source: str) -> None:
    settings = set(re.findall(r'"(HOTPLATE_[A-Z0-9_]+)"', (ROOT / source).read_text()))
    assert len(settings) >= 6
    assert {name for name in settings if f"`{name}`" not in DOCS} == set()


@pytest.mark.parametrize(
    "name", ["MAX_BODY_BYTES", "MAX_TENSOR_ELEMENTS", "MAX_IMAGE_PIXELS", "MAX_UPLOAD_BYTES"]
)
def test_limit_in_the_docs_is_the_one_in_the_code(name: str) -> None:
    assert f"{getattr(limits, name):,}" in DOCS


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link
