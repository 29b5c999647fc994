"""A crafted skops file is refused before compiled code follows it; trees that are sound still convert."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions, as_onnx
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.source import Source, read_source
from tests.convert.conftest import made


@pytest.fixture(scope="module")
def hostile_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("skops", "make_hostile.py", tmp_path_factory.mktemp("hostile"))


def convert(file: Path, folder: Path) -> Source:
    return as_onnx(read_source(file, None), ConvertOptions(cached=False), folder, Console(as_json=True))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("child", "has a child 1000000000"),
        ("feature", "asks for feature 1000000000"),
        ("circle", "reached twice"),
        ("below", "has a child -2"),
        ("depth", "levels below its root"),
        ("classes", "1000000 outputs"),
        ("count", "of 1000000000 nodes holds"),
        ("unusual", "built in an unusual way"),
        ("loss", "of 1000000000 nodes holds"),
        ("narrow", "a tree of 4 features is in a model of 1"),
        ("wide", "50 trees a round add to 1 scores"),
        ("histogram", "has a child 1000000000"),
    ],
)
def test_tree_that_leads_out_of_its_arrays_is_refused(
    hostile_models: Path, tmp_path: Path, name: str, what: str
) -> None:
    with pytest.raises(RefusedError, match=f"is not sound: .*{what}"):
        convert(hostile_models / f"{name}.skops", tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "tree",
        "wood",
        "extra",
        "boosted",
        "boosted-line",
        "histogram-two",
        "histogram-three",
        "histogram-whole",
        "histogram-line",
    ],
)
def test_sound_trees_are_compared_at_their_splits(sklearn_models: Path, tmp_path: Path, name: str) -> None:
    conversion = convert(sklearn_models / f"{name}.skops", tmp_path).conversion
    assert conversion is not None
    cases = " ".join(conversion.parity.cases)
    assert "rows at the splits" in cases
    # Gradient boosting of scikit-learn takes no missing values; the others send them where they learned.
    assert ("rows with a value missing" in cases) == ("boosted" not in name)
