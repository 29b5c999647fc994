"""`hotplate choose` as its page shows it: the page's own programs, the real frameworks, the real picture."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hotplate_tools.choose.candidates import Given
from hotplate_tools.choose.compare import Compared, Wanted, compare
from hotplate_tools.choose.plot import plot_job
from hotplate_tools.choose.ranking import Scored, front, picks, ranked
from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.drawing import draw
from hotplate_tools.environments import ensure
from hotplate_tools.planning.prices import read_prices
from hotplate_tools.planning.rules import propose
from hotplate_tools.planning.whatif import what_if
from hotplate_tools.planning.whatif_answers import what_if_job
from tests.support.planned_models import MODELS

PAGE = (Path(__file__).parents[2] / "docs/10-choosing.md").read_text()


def program(name: str) -> str:
    found = re.search(rf"```python\n# {name}\n(.*?)```", PAGE, re.S)
    assert found
    return found[1]


def test_the_pages_programs_make_candidates_that_are_ranked(tmp_path: Path) -> None:
    # Fewer rows to train on, as this is about the path and not about the figures.
    fewer = program("rivals.py").replace('np.load("training.npz")', 'dict(np.load("few.npz"))')
    assert fewer != program("rivals.py")
    subprocess.run([sys.executable, "-c", program("rows.py")], cwd=tmp_path, check=True)
    with np.load(tmp_path / "training.npz") as training:
        np.savez(tmp_path / "few.npz", **{name: training[name][:500] for name in training.files})
    sklearn = ensure("convert-sklearn", Console()) / "python"
    subprocess.run([sklearn, "-W", "ignore", "-c", fewer], cwd=tmp_path, check=True)
    files = [tmp_path / f"{name}.skops" for name in ("logistic", "mlp", "forest")]
    given = (Given("digits", "project"), *(Given(str(file), "path", file) for file in files))
    found = compare(Wanted(given, tmp_path / "digits.npz", ConvertOptions()), Console(), repeats=1)
    assert not found.refused
    assert found.ranked[0].name == found.picks["quality"].name == "digits"
    assert {name: found.outputs[name] for name in ("digits", "mlp")} == {"digits": "digit", "mlp": "label"}
    assert all(one.quality > 0.7 for one in found.ranked)


def scored(index: int, quality: float, p95_ms: float) -> Scored:
    return Scored(
        f"candidate-{index}", quality, p95_ms / 2, p95_ms, 60 + 40 * index, 1769, 0.6 + index, 5.0, 10, "t"
    )


@pytest.mark.parametrize("count", [1, 2, 9])
def test_picture_is_written(count: int, tmp_path: Path) -> None:
    found = [scored(index, 0.9 + index / 100, 0.1 * 2**index) for index in range(count)]
    front_names = frozenset(one.name for one in front(found))
    compared = Compared(
        tuple(ranked(found)), front_names, picks(found), {}, "accuracy", {}, "rows.npz", "", 9, None
    )
    draw("run_plot.py", plot_job(compared), tmp_path / "p.png", Console())
    with Image.open(tmp_path / "p.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (880, 550))
        # Dark ink of text and edges, and more colours than grey.
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 50
    assert 5_000 < (tmp_path / "p.png").stat().st_size < 100_000


def test_what_if_is_drawn_with_its_crossings(tmp_path: Path) -> None:
    proposal = propose(MODELS["encoder-11gb"], read_prices(), traffic=300)
    found = what_if(proposal, read_prices(), gpu_ms=40.0)
    draw("run_what_if.py", what_if_job(found, proposal, read_prices()), tmp_path / "w.png", Console())
    with Image.open(tmp_path / "w.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (880, 495))
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 50
    assert 5_000 < (tmp_path / "w.png").stat().st_size < 100_000
